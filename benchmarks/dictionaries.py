"""Training sparse dictionaries, beside the libraries that others train them with.

    uv run --with sae-lens --with eai-sparsify python benchmarks/dictionaries.py [--out runs/benchmarks]

Everything runs in one process, on the same hidden states, with the same PyTorch. Peers that do not import are left
out; any environment that has them beside mmsteer will do. dictionary_learning asks for old versions of its own
dependencies: `pip install --no-deps dictionary-learning` and `pip install 'nnsight<0.4'` is enough for its trainers.

Three questions, a table each:

- What does a step cost? Whole short trainings, start included, by turns; a ratio compares neighbours in time.
- How much is left unexplained after the same steps, with the same number of active features? Every trainer has the
  same batches, the same schedule, and takes the best of the same learning rates. Each result goes through its own
  library's file, is read here, and is judged on states held out with exactly k active features a state.
- Is a planted dictionary found? Mean over planted directions of the largest cosine with a feature's.

JumpReLU and Gated are timed alone: their number of active features follows from a penalty and is equal by no setting.
"""

import argparse
import itertools
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path

os.environ.setdefault("TQDM_DISABLE", "1")
os.environ.setdefault("SPARSIFY_DISABLE_TRITON", "1")  # it takes a CPU for a GPU wherever triton is installed

import torch
from report import Row, ratio, seconds_apart, write_report
from torch import Tensor
from torch.nn import functional

from mmsteer.sae import (
    BatchTopK,
    Gated,
    Held,
    JumpReLU,
    Shuffled,
    SparseDictionary,
    TopK,
    Training,
    matryoshka,
    read_dictionary,
    train_dictionary,
)

OURS = "mmsteer"
ARCHITECTURES = ("TopK", "BatchTopK", "Matryoshka", "JumpReLU", "Gated")
RATES = (1e-3, 3e-3, 1e-2)
PREFIXES = (1 / 16, 1 / 8, 1 / 4, 1 / 2)


@dataclass(frozen=True)
class Task:
    """What every trainer is given.

    Attributes:
        states: Hidden states of mean square norm 1, (rows, width).
        held: Others, to judge by.
        features: Features to learn.
        k: Active ones.
        batch: Rows a step.
        steps: Steps.
        rate: Highest learning rate: warm-up over a tenth of the steps, linear end over the last fifth.
    """

    states: Tensor
    held: Tensor
    features: int
    k: int
    batch: int
    steps: int
    rate: float = 1e-3

    @property
    def width(self) -> int:
        return self.states.shape[1]

    def batches(self) -> Iterator[Tensor]:
        return Shuffled(Held(self.states), batch=self.batch).batches(0)

    def rate_at(self, step: int) -> float:
        return Training(1, self.steps, self.rate, warmup=self.steps // 10).rate_at(step)


Trainer = Callable[[Task], SparseDictionary]


def ours(task: Task, kind: str) -> SparseDictionary:
    architecture = {
        "TopK": TopK(task.k),
        "BatchTopK": BatchTopK(task.k, threshold_start=task.steps // 2),
        "Matryoshka": replace(matryoshka(task.k, PREFIXES), threshold_start=task.steps // 2),
        "JumpReLU": JumpReLU(task.k, warmup=task.steps),
        "Gated": Gated(0.1, warmup=task.steps),
    }[kind]
    training = Training(task.features, task.steps, task.rate, warmup=task.steps // 10, scale_batches=10)
    return train_dictionary(Shuffled(Held(task.states), batch=task.batch), architecture, training)


def sae_lens(task: Task, kind: str) -> SparseDictionary:
    import sae_lens as library
    from sae_lens.config import SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    torch.manual_seed(0)
    sizes = {"d_in": task.width, "d_sae": task.features, "normalize_activations": "expected_average_only_in"}
    widths = [round(share * task.features) for share in PREFIXES]
    make, more = {
        "TopK": ("TopK", {"k": task.k}),
        "BatchTopK": ("BatchTopK", {"k": task.k}),
        "Matryoshka": ("MatryoshkaBatchTopK", {"k": task.k, "matryoshka_widths": widths}),
        "JumpReLU": ("JumpReLU", {}),
        "Gated": ("Gated", {}),
    }[kind]
    config = getattr(library, f"{make}TrainingSAEConfig")(**sizes, **more)
    settings = SAETrainerConfig(
        total_training_samples=task.steps * task.batch,
        train_batch_size_samples=task.batch,
        lr=task.rate,
        lr_end=0.0,
        lr_warm_up_steps=task.steps // 10,
        lr_decay_steps=task.steps // 5,
        n_batches_for_norm_estimate=min(10, task.steps),
    )
    sae = SAETrainer(settings, getattr(library, f"{make}TrainingSAE")(config), task.batches()).fit()
    return _through_a_file(sae.save_inference_model)


def sparsify(task: Task, kind: str) -> SparseDictionary:
    """Its SparseCoder in the loop that its trainer makes around it; the trainer itself takes language models alone."""
    from sparsify import SparseCoder, SparseCoderConfig

    torch.manual_seed(0)
    sae = SparseCoder(task.width, SparseCoderConfig(num_latents=task.features, k=task.k))
    with torch.no_grad():
        sae.b_dec.copy_(task.states[: task.batch].mean(dim=0))
    adam = torch.optim.Adam(sae.parameters(), lr=task.rate)
    silent = torch.zeros(task.features, dtype=torch.long)
    for step, x in enumerate(itertools.islice(task.batches(), task.steps)):
        adam.param_groups[0]["lr"] = task.rate_at(step)
        sae.set_decoder_norm_to_unit_norm()
        out = sae(x, dead_mask=silent > 10_000_000)
        (out.fvu + out.auxk_loss / 32).backward()
        sae.remove_gradient_parallel_to_decoder_directions()
        silent += len(x)
        silent[out.latent_indices.flatten()] = 0
        adam.step()
        adam.zero_grad()
    return _through_a_file(sae.save_to_disk)


def dictionary_learning(task: Task, kind: str) -> SparseDictionary:
    from dictionary_learning.trainers import batch_top_k, matryoshka_batch_top_k, top_k

    names = {
        "TopK": (top_k.TopKTrainer, "AutoEncoderTopK", {}),
        "BatchTopK": (batch_top_k.BatchTopKTrainer, "BatchTopKSAE", {}),
        "Matryoshka": (
            matryoshka_batch_top_k.MatryoshkaBatchTopKTrainer,
            "MatryoshkaBatchTopKSAE",
            {"group_fractions": [1 / 16, 1 / 16, 1 / 8, 1 / 4, 1 / 2]},
        ),
    }
    make, name, more = names[kind]
    sizes = {"activation_dim": task.width, "dict_size": task.features, "k": task.k}
    schedule = {"lr": task.rate, "warmup_steps": task.steps // 10, "decay_start": task.steps - max(1, task.steps // 5)}
    schedule["threshold_start_step"] = task.steps // 2
    trainer = make(steps=task.steps, layer=0, lm_name="none", seed=0, device="cpu", **sizes, **schedule, **more)
    for step, x in enumerate(itertools.islice(task.batches(), task.steps)):
        trainer.update(step, x)

    def save(folder: Path) -> None:
        torch.save(trainer.ae.state_dict(), folder / "ae.pt")
        (folder / "config.json").write_text(json.dumps({"trainer": {"dict_class": name, **sizes}}))

    return _through_a_file(save)


def _through_a_file(save: Callable[[Path], object]) -> SparseDictionary:
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder))
        return read_dictionary(folder)


def peers() -> dict[str, Callable[[Task, str], SparseDictionary]]:
    """Those that import here."""
    found = {}
    for name, module, train in (
        ("sae-lens", "sae_lens", sae_lens),
        ("sparsify", "sparsify", sparsify),
        ("dictionary_learning", "dictionary_learning.trainers", dictionary_learning),
    ):
        with suppress(ImportError):
            import_module(module)
            found[name] = train
    return found


KINDS = {
    "sae-lens": ("TopK", "BatchTopK", "Matryoshka", "JumpReLU", "Gated"),
    "sparsify": ("TopK",),
    "dictionary_learning": ("TopK", "BatchTopK", "Matryoshka"),
}


def compare_steps(task: Task, kinds: Sequence[str], repeats: int) -> list[Row]:
    """Milliseconds a step of each trainer, and how many times as long as ours a peer takes."""
    rows: list[Row] = []
    for kind in kinds:
        jobs: dict[str, Callable[[], object]] = {OURS: partial(ours, task, kind)}
        jobs |= {peer: partial(train, task, kind) for peer, train in peers().items() if kind in KINDS[peer]}
        seconds = seconds_apart(jobs, repeats)
        for name, each in seconds.items():
            row: dict[str, object] = {"architecture": kind, "trainer": name}
            row["ms a step"] = sorted(each)[len(each) // 2] * 1000 / task.steps
            row["times ours"] = None if name == OURS else ratio(each, seconds[OURS])
            rows.append(row)  # type: ignore[arg-type]
        print(rows[-len(jobs) :], flush=True)
    return rows


@torch.no_grad()
def unexplained(dictionary: SparseDictionary, held: Tensor, k: int, *, whole_batch: bool) -> float:
    """FVU with exactly k active features a state, or k on average over all states."""
    z = replace(dictionary, k=None, threshold=torch.zeros(dictionary.features)).encode(held)
    ranked, count = (z.reshape(1, -1), k * len(z)) if whole_batch else (z, k)
    least = ranked.topk(count, dim=1).values[:, -1:]
    missing = held - dictionary.decode((ranked * (ranked >= least)).reshape(z.shape))
    return float(missing.square().sum() / (held - held.mean(dim=0)).square().sum())


def best(train: Trainer, task: Task, *, whole_batch: bool) -> tuple[float, float, SparseDictionary]:
    """FVU and rate of the best of the rates, and its dictionary."""
    found = []
    for rate in RATES:
        dictionary = train(replace(task, rate=rate))
        found.append((unexplained(dictionary, task.held, task.k, whole_batch=whole_batch), rate, dictionary))
    return min(found, key=lambda one: one[0])


def compare_quality(data: str, task: Task, planted: Tensor | None) -> list[Row]:
    """FVU of each trainer, and how much of a planted dictionary it found."""
    rows: list[Row] = []
    for kind in ("TopK", "BatchTopK", "Matryoshka"):
        trainers = {OURS: ours} | {name: train for name, train in peers().items() if kind in KINDS[name]}
        for name, train in trainers.items():
            fvu, rate, dictionary = best(partial(train, kind=kind), task, whole_batch=kind != "TopK")
            row: dict[str, object] = {"data": data, "architecture": kind, "trainer": name, "FVU": fvu, "rate": rate}
            if planted is not None:
                row["recovered"] = recovered(dictionary, planted)
            rows.append(row)  # type: ignore[arg-type]
            print(row, flush=True)
    return rows


def recovered(dictionary: SparseDictionary, planted: Tensor) -> float:
    return float((planted @ functional.normalize(dictionary.decoder, dim=1).T).amax(dim=1).mean())


def planted_task(width: int = 64, features: int = 256, k: int = 8) -> tuple[Task, Tensor]:
    """Sums of k of as many unit directions as there are features to learn, with unequal shares, and noise."""
    generator = torch.Generator().manual_seed(0)
    directions = functional.normalize(torch.randn(features, width, generator=generator), dim=1)
    # A feature's share falls with its number, as in a language: the last is met a tenth as often as the first.
    shares = torch.linspace(1, 0.1, features).expand(40_000, -1)
    which = torch.multinomial(shares, k, generator=generator)
    z = torch.zeros(40_000, features).scatter(1, which, 1 + torch.rand(40_000, k, generator=generator))
    states = z @ directions + 0.05 * torch.randn(40_000, width, generator=generator)
    return _task(states, features, k, batch=512, steps=600), directions


def music_task(clips: int) -> Task:
    """States of the bundled music model in the middle of its decoder, while it reads clips of its world."""
    from mmsteer.api import load
    from mmsteer.streams import ReadStates
    from mmsteer.types import Sample, Site
    from mmsteer.worlds.music.concepts import concept_clips
    from mmsteer.worlds.music.world import render_clip

    adapter = load("bundled:music")
    drawn = concept_clips("texture", clips // 5 + 1, 0)[:clips]
    samples = [Sample(str(n), one.clip.prompt, output=render_clip(one.clip)) for n, one in enumerate(drawn)]
    chunks = ReadStates(adapter, samples, Site("decoder", 3), tokens=150)
    states = torch.cat([chunks[index] for index in range(len(chunks.rows))])
    return _task(states[torch.randperm(len(states), generator=torch.Generator().manual_seed(0))], 1024, 16, 512, 500)


def _task(states: Tensor, features: int, k: int, batch: int, steps: int) -> Task:
    states = states / states.square().sum(dim=1).mean().sqrt()
    return Task(states[4096:], states[:4096], features, k, batch, steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--width", type=int, default=256, help="of the timed states")
    parser.add_argument("--features", type=int, default=2048, help="of the timed dictionaries")
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--active", type=int, default=32)
    parser.add_argument("--steps", type=int, default=6, help="of a timed training")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--clips", type=int, default=240, help="of the music; 0 leaves it out")
    parser.add_argument("--kinds", nargs="+", default=ARCHITECTURES, choices=ARCHITECTURES, help="that are timed")
    parser.add_argument("--only", choices=("speed", "quality"))
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks"))
    asked = parser.parse_args()
    states = torch.randn(8192, asked.width, generator=torch.Generator().manual_seed(0)) / asked.width**0.5
    timed = Task(states, states[:1024], asked.features, asked.active, asked.batch, asked.steps)
    tables: dict[str, list[Row]] = {}
    if asked.only != "quality":
        tables["A step"] = compare_steps(timed, asked.kinds, asked.repeats)
    if asked.only != "speed":
        task, directions = planted_task()
        tables["Unexplained"] = compare_quality("planted", task, directions)
        if asked.clips:
            tables["Unexplained"] += compare_quality("bundled:music, decoder.3", music_task(asked.clips), None)
    note = f"A step: width {asked.width}, {asked.features} features, k {asked.active}, batch {asked.batch}."
    packages = ("sae-lens", "eai-sparsify", "dictionary-learning")
    print(*write_report("dictionaries", tables, asked.out, [note], packages))


if __name__ == "__main__":
    main()
