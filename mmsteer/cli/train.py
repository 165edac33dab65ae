"""`mmsteer train`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mmsteer.cli.files import check_out
from mmsteer.cli.options import ReportTo, refuse_idle
from mmsteer.errors import DataError

if TYPE_CHECKING:
    from mmsteer.latents.vector_transfer import Transfer
    from mmsteer.steering import Attribute
    from mmsteer.tasks import Row
    from mmsteer.tuning import AdditiveVectors, Objective, TrainedSites
    from mmsteer.types import Adapter, Sample, Sampling

MethodName = Literal["ssv", "reft-r1", "loreft", "direft", "bipo", "rloo", "grpo"]
REWARDED = ("rloo", "grpo")
READ = 8
"""Outputs in which the page says what vectors raise."""
LOW_RANK = ("loreft", "direft")
RANK = 4
"""Of low-rank edits, where nothing is said."""
OF_REWARDS = ("reward", "asked", "group", "kl", "kl_budget", "tokens", "seconds", "sibling")


@dataclass(frozen=True)
class Usual:
    """What a method takes where nothing is said.

    Attributes:
        rate: See `Schedule`.
        steps: How many.
        batch: Outputs a step; of rewards those that are drawn together.
    """

    rate: float
    steps: int
    batch: int


USUAL = {
    "ssv": Usual(0.02, 100, 6),
    "reft-r1": Usual(0.1, 100, 6),
    "loreft": Usual(0.02, 100, 6),
    "direft": Usual(0.02, 100, 6),
    "bipo": Usual(0.01, 200, 4),
    "rloo": Usual(0.02, 100, 16),
    "grpo": Usual(0.02, 100, 16),
}


def train(
    context: typer.Context,
    model: Annotated[str, typer.Option(help="a bundled model, a folder, or a Hugging Face name")],
    data: Annotated[Path, typer.Option(help="JSON lines: prompts with answers, or with what the reward asks of them")],
    sites: Annotated[str, typer.Option(help="where vectors are added, such as text.14 or text.10-14")],
    out: Annotated[Path, typer.Option(help="the file of directions to write: .safetensors")],
    method: Annotated[
        MethodName,
        typer.Option(help="by likelihood (ssv, reft-r1, loreft, direft), preference (bipo) or reward (rloo, grpo)"),
    ] = "rloo",
    reward: Annotated[
        str | None, typer.Option(help="rloo, grpo: what is wanted, such as instruction:lowercase, or note:C of clips")
    ] = None,
    label: Annotated[str | None, typer.Option(help="of the rows whose outputs are wanted; rewards need none")] = None,
    name: Annotated[str | None, typer.Option(help="of the direction (usual: the file of the data, and label)")] = None,
    split: Annotated[str | None, typer.Option(help="only rows of this `split`")] = None,
    at: Annotated[str, typer.Option("--at", help="to which tokens the vectors are added")] = "all",
    rank: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="loreft, direft: dimensions that are read and written (usual: 4); rloo, grpo: the same in place of "
            "vectors, 1 being a gate for each token",
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="usual: 100, bipo 200")] = None,
    rate: Annotated[
        float | None, typer.Option(help="about the share of the typical norm by which a step moves a vector")
    ] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="outputs that are read together (usual: 6, 4 or 16)")] = None,
    asked: Annotated[int, typer.Option(min=1, help="rloo, grpo: prompts a step")] = 8,
    group: Annotated[int, typer.Option(min=2, help="rloo, grpo: outputs of each prompt")] = 8,
    kl: Annotated[float, typer.Option(min=0, help="rloo, grpo: what a nat a token costs, in reward")] = 0.0,
    kl_budget: Annotated[
        float | None, typer.Option(help="rloo, grpo: nats a token that are kept to, by a cost that follows them")
    ] = None,
    tokens: Annotated[
        int | None, typer.Option(min=1, help="rloo, grpo: at most this many an answer (usual: 32)")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(help="rloo, grpo: of each clip (usual: as the model is asked)")
    ] = None,
    sibling: Annotated[
        str | None, typer.Option(help="rloo, grpo: a fine-tuned model in which the reward is measured as well")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="of orders, and of what is drawn")] = 0,
    folder: Annotated[Path | None, typer.Option(help="of checkpoints and the page (usual: runs/train-NAME)")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto")] = "cpu",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16, float16, or auto: as the checkpoint says")] = "float32",
    force: Annotated[bool, typer.Option("--force", help="overwrite the file")] = False,
    report_to: ReportTo = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="show no progress")] = False,
) -> None:
    """Train vectors, or low-rank edits, through the frozen model; `1trained` steers as was trained.

    Training that was stopped goes on when the same command is given again. Under torchrun or `accelerate launch` each
    process takes a part of every step, on a card of its own.

    [bold]Examples[/]

    mmsteer train --model bundled:text --data asked.jsonl --reward instruction:lowercase --sites text.14
    --out low.safetensors

    mmsteer train --model bundled:text --data style.jsonl --method reft-r1 --label pirate --sites text.14
    --out pirate.safetensors

    torchrun --nproc-per-node 4 -m mmsteer train --model bundled:text --data asked.jsonl --reward instruction:lowercase
    --sites text.14 --device cuda --out low.safetensors
    """
    from mmsteer.api import load
    from mmsteer.cli.quiet import hush
    from mmsteer.direction_file import save_directions
    from mmsteer.eval.rewards import parse_output_reward
    from mmsteer.ranks import joined
    from mmsteer.report.training_page import LivePage
    from mmsteer.steering import Attribute
    from mmsteer.tasks import digest, read_rows
    from mmsteer.tracking import check_trackers, opened_trackers
    from mmsteer.tuning import LowRankEdits, Schedule, measure_sites
    from mmsteer.tuning import train as fit
    from mmsteer.types import Positions

    hush()
    with joined(device) as (ranks, own), ranks.fail_together():
        check_out(out, force, data)
        _check_options(context, method, reward)
        check_trackers(report_to or ())
        if reward is not None:
            parse_output_reward(reward)
        positions, rows = Positions(at), read_rows(data, split=split)
        called = name or f"{data.stem}:{label or method}"
        home, usual = folder or Path("runs") / f"train-{called.replace(':', '-')}", USUAL[method]
        adapter = load(model, device=own, dtype=dtype)
        options = Options(
            method, label, reward, batch or usual.batch, seed, asked, group, kl, kl_budget, tokens, seconds
        )
        objective, samples = options.objective(adapter, rows)
        schedule = Schedule(
            steps or usual.steps,
            usual.rate if rate is None else rate,
            decay="constant" if method in REWARDED else "linear",
        )
        where = measure_sites(adapter, samples, sites, positions)
        vectors = _vectors(method, where, rank, seed)
        written = {
            **asdict(options),
            **({"rank": vectors.rank} if isinstance(vectors, LowRankEdits) else {}),
            "sites": sites,
            "positions": at,
            "model": adapter.run_identity,
            "rows": digest(rows),
        }
        settings = {**written, **asdict(schedule)}
        use = f"{called} 1trained" + ("" if at == "all" else f" at {at}")
        with opened_trackers(report_to or () if ranks.first else (), home, called, settings) as trackers:
            follow = (LivePage(home, called, use), *trackers)
            log = fit(vectors, objective, schedule, settings=written, folder=home, progress=not quiet, report_to=follow)
        if not ranks.first:
            return
        direction = vectors.direction(called, {"probe": method, "settings": json.dumps(settings)})
        save_directions(out, [direction], overwrite=force)
        trained = Attribute(direction, 1.0, positions=positions, unit="trained")
        moved = _moved(adapter, load(sibling, device=own, dtype=dtype), trained, objective) if sibling else None
        _write_page(home / "index.html", use, adapter, trained, samples[:READ], log, moved)
        print(f'{out}: {called}\n--steer "{use}"\npage: {home / "index.html"}')


def _write_page(
    path: Path,
    use: str,
    adapter: "Adapter",
    trained: "Attribute",
    some: "Sequence[Sample]",
    log: "Sequence[Mapping[str, float]]",
    moved: "Transfer | None",
) -> None:
    """Write what the trained vectors do in some outputs, beside the curves of their training."""
    from mmsteer.cli.files import write_out
    from mmsteer.latents.vector_paths import read_paths
    from mmsteer.latents.vector_readings import read_vectors
    from mmsteer.latents.vector_scaling import read_scaling
    from mmsteer.report.training_page import training_page

    direction = trained.direction
    gated = direction.provenance["probe"] == "reft-r1"
    scaling = read_scaling(adapter, direction, some, positions=trained.positions) if gated else ()
    found, paths = read_vectors(adapter, trained, some), read_paths(adapter, trained, some)
    write_out(path, training_page(direction.name, use, log, found, paths, scaling, moved).encode())


def _moved(adapter: "Adapter", sibling: "Adapter", trained: "Attribute", objective: "Objective") -> "Transfer":
    from dataclasses import replace

    from mmsteer.latents.vector_transfer import transfer
    from mmsteer.tuning import Reinforced

    assert isinstance(objective, Reinforced)  # options of other methods refuse a sibling
    sampling = replace(objective.sampling, temperature=0.0) if adapter.output_kind == "text" else objective.sampling
    return transfer((adapter, sibling), trained, objective.prompts, objective.references, objective.reward, sampling)


def _vectors(method: str, where: "TrainedSites", rank: int | None, seed: int) -> "AdditiveVectors":
    from mmsteer.tuning import AdditiveVectors, GatedVectors, LowRankEdits

    if method in LOW_RANK or rank is not None:
        return LowRankEdits(where, rank or RANK, "loreft" if method == "loreft" else "direft", seed)
    return GatedVectors(where, seed=seed) if method == "reft-r1" else AdditiveVectors(where)


def _check_options(context: typer.Context, method: str, reward: str | None) -> None:
    """Refuse options of another method.

    Raises:
        DataError: One was given, or there is no reward to learn from.
    """
    if method not in LOW_RANK + REWARDED:
        refuse_idle(context, ("rank",), f"is for low-rank edits, and does nothing for {method}; choose direft")
    if method not in REWARDED:
        refuse_idle(context, OF_REWARDS, f"is for rloo and grpo, and does nothing for {method}; choose one of them")
        return
    refuse_idle(context, ("label",), f"is for ssv, reft-r1, loreft, direft and bipo; {method} learns from a reward")
    if reward is None:
        raise DataError(f"{method} learns from a reward: give --reward, such as instruction:lowercase")


@dataclass(frozen=True)
class Options:
    """What a method is given.

    Attributes:
        method: Its name.
        label: Of the rows whose outputs are wanted.
        reward: What is wanted of outputs that are drawn.
        batch: Outputs that are read together.
        seed: Of orders and of what is drawn.
        asked: Prompts a step.
        group: Outputs of each.
        kl: What a nat a token costs.
        kl_budget: Nats a token that are kept to.
        tokens: Most of an answer.
        seconds: Of a clip.
    """

    method: MethodName
    label: str | None
    reward: str | None
    batch: int
    seed: int
    asked: int
    group: int
    kl: float
    kl_budget: float | None
    tokens: int | None
    seconds: float | None

    def objective(self, adapter: "Adapter", rows: "Sequence[Row]") -> "tuple[Objective, list[Sample]]":
        """What is trained for, and samples of what is steered.

        Args:
            adapter: The model.
            rows: The rows.
        """
        from mmsteer.tuning import Likelihood, Preference, paired_outputs, wanted_outputs

        if self.reward is not None:
            return self._reinforced(adapter, rows, self.reward)
        if self.method == "bipo":
            better, worse = paired_outputs(rows, adapter, self.label)
            return Preference(better, worse, self.batch, self.seed), [*better, *worse]
        wanted = wanted_outputs(rows, adapter, self.label)
        return Likelihood(wanted, self.batch, self.seed), wanted

    def _reinforced(self, adapter: "Adapter", rows: "Sequence[Row]", reward: str) -> "tuple[Objective, list[Sample]]":
        from mmsteer.eval.rewards import parse_output_reward
        from mmsteer.tuning import Reinforced

        prompts, sampling = [row.sample(adapter) for row in rows], self._sampling(adapter)
        objective = Reinforced(
            prompts,
            [row.reference for row in rows],
            parse_output_reward(reward, adapter.output_kind),
            sampling,
            "grpo" if self.method == "grpo" else "rloo",
            self.asked,
            self.group,
            self.kl,
            self.batch,
            self.seed,
            self.kl_budget,
        )
        some = prompts[: self.batch]
        return objective, adapter.generate(some, sampling, range(len(some)))

    def _sampling(self, adapter: "Adapter") -> "Sampling":
        from mmsteer.types import Sampling

        idle = {"text": ("--seconds", self.seconds), "audio": ("--tokens", self.tokens)}[adapter.output_kind]
        if idle[1] is not None:
            raise DataError(f"{idle[0]} is of no use here: this model makes {adapter.output_kind}; leave it out")
        usual = Sampling(tokens=32 if adapter.output_kind == "text" else None)
        # The gradient is that of the model's own distribution.
        return Sampling(self.tokens, self.seconds, temperature=1.0, top_k=0, top_p=1.0).filled(usual)
