"""A vector trained by reward beside prompting, a mean difference at the same divergence, and LoRA with the same budget.

    python benchmarks/rewarded.py comma|the|choice|note|grounded [--steps 25] [--asked 4] [--group 4] [--prompts 40]
        [--greedy] [--sites S] [--out FILE]

All are judged on prompts that nothing was learned from, by outputs drawn at temperature 1, or the most likely ones. The
vector and LoRA (PEFT, rank 4 on the output projection of every attention) take the same RLOO steps of the same number
of outputs. The mean
difference is of the model's own outputs, those with the larger rewards against the others, at the strength at which the
95 % quantile of the divergence from the unsteered model is that of the trained vector. The random vector has the
trained one's length. --out keeps the trained vector.
"""

import argparse
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

import mmsteer
from mmsteer import hooks
from mmsteer.adapters import AnyAdapter
from mmsteer.calibrate import calibrate, divergence
from mmsteer.direction_file import save_directions
from mmsteer.eval.rewards import OutputReward, parse_output_reward, rate_outputs
from mmsteer.layouts import layouts
from mmsteer.likelihood import OutputTokens, output_tokens
from mmsteer.record import record
from mmsteer.steering import Attribute, Steering, steer
from mmsteer.tasks import Row, read_rows
from mmsteer.tuning import AdditiveVectors, Reinforced, Schedule, measure_sites, train
from mmsteer.types import Direction, Positions, Sample, Sampling, Score, mean_score
from mmsteer.worlds.rows import world_of

OWN = Path(__file__).parents[1] / "examples/seed-methods"
RATE, LORA_RATE, SEED = 0.02, 1e-3, 0


@dataclass(frozen=True)
class Task:
    """What is learned: a model, a reward, where, how outputs are drawn, and what a prompt would say."""

    model: str
    reward: str
    sites: str
    sampling: Sampling
    said: str
    modules: str = "o_proj"


def drawn(**length: Any) -> Sampling:
    """Sampling from the model's own distribution."""
    return Sampling(temperature=1.0, top_k=0, top_p=1.0, **length)


TASKS: Mapping[str, Task] = {
    "comma": Task("bundled:text", "instruction:no_comma", "text.14", drawn(tokens=16), " Do not use any commas."),
    "the": Task(
        "bundled:text", "instruction:forbidden=the", "text.14", drawn(tokens=16), ' Do not use the word "the".'
    ),
    "choice": Task(
        "bundled:text", "right_choice", "text.14", drawn(tokens=10), " Write the right option and nothing else."
    ),
    "note": Task(
        "bundled:music", "note:C", "decoder.2", drawn(seconds=2.0, guidance=1.0), ", all on the note C", "out_proj"
    ),
    "grounded": Task("bundled:vision", "grounded", "text.*", drawn(tokens=32), " Name only what is in the image."),
}


def rows_of(name: str, adapter: AnyAdapter) -> tuple[list[Row], list[Row]]:
    """Rows to learn from, and rows to judge on."""
    if name in ("comma", "the"):
        rows = [row for row in read_rows(OWN / "uppercase.jsonl") if row.label == "plain"]
        return [row for row in rows if row.split == "training"], [row for row in rows if row.split != "training"]
    if name == "choice":
        rows = list(read_rows(OWN / "choice.jsonl"))
        return [row for row in rows if row.split == "training"], [row for row in rows if row.split == "test"]
    rows = list(world_of(adapter).rewarded(TASKS[name].reward, 120, 14).rows)
    return rows[:60], rows[60:]


class LoraPolicy(nn.Module):
    """LoRA in the place of the vectors of `Reinforced`: nothing is added, the weights differ."""

    def __init__(self, adapter: AnyAdapter, where: Any, modules: str) -> None:
        super().__init__()
        from peft import LoraConfig
        from peft.tuners.lora import LoraModel

        self.where = where
        config = LoraConfig(r=4, lora_alpha=32, target_modules=[modules], lora_dropout=0.0)
        torch.manual_seed(SEED)
        self.wrapped = LoraModel(adapter.model, config, "default")

    def steering(self) -> Steering:
        """Nothing is added."""
        return Steering()

    def outputs(self, samples: Sequence[Sample], *, gradient: bool = True, sign: float = 1.0) -> OutputTokens:
        """See `AdditiveVectors.outputs`."""
        adapter = self.where.adapter
        reading = adapter.reading(samples)
        with layouts(adapter, adapter.generator, reading) as found:
            logits = adapter.read(reading, gradient=gradient, logits="outputs")
        return output_tokens(adapter, reading, found[-1], logits)


@contextmanager
def with_lora(adapter: AnyAdapter, where: Any, task: Task, objective: Reinforced, steps: int) -> Iterator[None]:
    """The model with LoRA trained by the reward."""
    policy = LoraPolicy(adapter, where, task.modules)
    try:
        parts = [part for part in policy.parameters() if part.requires_grad]
        optimiser = torch.optim.AdamW(parts, lr=LORA_RATE, weight_decay=0.0)
        with hooks.evaluating(adapter.model):
            past: list[Mapping[str, float]] = []
            for step in range(steps):
                optimiser.zero_grad()
                numbers = objective.accumulate(policy, step, step / steps, past)  # type: ignore[arg-type]
                past.append(numbers)
                torch.nn.utils.clip_grad_norm_(parts, 1.0)
                optimiser.step()
                say(f"LoRA step {step}: reward {numbers['reward']:.3f}")
        yield
    finally:
        policy.wrapped.unload()


def say(text: str) -> None:
    """Print at once."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def show(name: str, score: Score) -> None:
    """Print the reward of a condition, how many outputs have none, and the mean if those count as 0."""
    found, every = score.n * (score.value or 0.0), score.n + score.unscored
    missing = f", {score.unscored} without a reward; {found / every:.3f} if those count as 0"
    say(f"{name}: {score}{missing if score.unscored else ''}")


def made(adapter: AnyAdapter, samples: Sequence[Sample], sampling: Sampling, steering: Steering) -> list[Sample]:
    """Outputs, drawn by seeds of their own."""
    seeds = [random.Random(f"{SEED}:{at}").getrandbits(31) for at in range(len(samples))]
    found: list[Sample] = []
    with steer(adapter, steering) if steering.attributes else nullcontext():
        for at in range(0, len(samples), 16):
            found += adapter.generate(samples[at : at + 16], sampling, seeds[at : at + 16])
    return found


def rated(
    adapter: AnyAdapter, rows: Sequence[Row], outputs: Sequence[Sample], reward: OutputReward
) -> list[float | None]:
    """Rewards of outputs."""
    return rate_outputs(reward, [one.output for one in outputs], [row.reference for row in rows], adapter.sample_rate)


def mean_difference(
    adapter: AnyAdapter, rows: Sequence[Row], task: Task, reward: OutputReward, like: Direction
) -> Direction:
    """From outputs with smaller rewards to those with larger ones, unit vectors where `like` has them."""
    several = [row for row in rows for _ in range(2)]
    outputs = made(adapter, [row.sample(adapter) for row in several], task.sampling, Steering())
    values = rated(adapter, several, outputs, reward)
    pairs = [
        (replace(o, id=str(at)), r) for at, (o, r) in enumerate(zip(outputs, values, strict=True)) if r is not None
    ]
    middle = sum(r for _, r in pairs) / len(pairs)
    states = record(adapter, [o for o, _ in pairs], like.sites, positions=Positions("generated"))
    high = torch.tensor([r > middle for _, r in pairs])
    say(f"mean difference of {int(high.sum())} and {int((~high).sum())} outputs")
    apart = {site: values[high].mean(0) - values[~high].mean(0) for site, values in states.values.items()}
    return replace(like, name="mean:difference", vectors={site: v / v.norm() for site, v in apart.items()})


def options() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("task", choices=list(TASKS))
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--asked", type=int, default=4, help="prompts a step")
    parser.add_argument("--group", type=int, default=4, help="outputs of a prompt")
    parser.add_argument("--prompts", type=int, default=40, help="outputs that a condition is judged by")
    parser.add_argument("--greedy", action="store_true", help="judge the most likely outputs")
    parser.add_argument("--sites")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


@dataclass(frozen=True)
class Judge:
    """Outputs for prompts that nothing was learned from, and their rewards."""

    adapter: AnyAdapter
    held: Sequence[Row]
    sampling: Sampling
    reward: OutputReward

    def score(self, steering: Steering, added: str = "") -> Score:
        """The mean reward of the steered model; `added` stands behind every prompt."""
        samples = [row.sample(self.adapter) for row in self.held]
        samples = [replace(one, prompt=f"{one.prompt}{added}") for one in samples] if added else samples
        outputs = made(self.adapter, samples, self.sampling, steering)
        for one in outputs[:3]:
            say(f"  {str(one.output)[:100]!r}" if self.adapter.output_kind == "text" else "  a clip")
        return mean_score(rated(self.adapter, self.held, outputs, self.reward), groups=[row.id for row in self.held])


def steerings(
    adapter: AnyAdapter, direction: Direction, difference: Direction, plain: Sequence[Sample]
) -> Mapping[str, Steering]:
    """The trained vector, and what it is compared with at its length or at its divergence."""

    def as_trained(one: Direction) -> Steering:
        return Steering((Attribute(one, 1.0, unit="trained"),))

    kl = float(torch.quantile(divergence(adapter, as_trained(direction), plain).double(), 0.95))
    say(f"the vector moves the 95 % quantile of the divergence to {kl:.3f} nats")
    dose = calibrate(adapter, as_trained(difference), plain, kl)
    say(f"mean difference: factor {dose.factor:.2f} gives {dose.kl:.3f} nats")
    generator = torch.Generator().manual_seed(SEED)
    noise = {site: torch.randn(v.shape, generator=generator) for site, v in direction.vectors.items()}
    return {
        "unsteered": Steering(),
        "random vector": as_trained(replace(direction, vectors={site: v / v.norm() for site, v in noise.items()})),
        "mean difference, same divergence": as_trained(difference).scaled(dose.factor),
        "trained vector": as_trained(direction),
    }


def main() -> None:
    """Print the reward of every condition."""
    torch.set_num_threads(1)
    given = options()
    task, adapter = TASKS[given.task], mmsteer.load(TASKS[given.task].model, dtype="float32")
    reward = parse_output_reward(task.reward, adapter.output_kind)
    learned, held = rows_of(given.task, adapter)
    held = (held * (given.prompts // len(held) + 1))[: given.prompts]
    prompts = [row.sample(adapter) for row in learned]
    plain = made(adapter, prompts[:8], task.sampling, Steering())
    where = measure_sites(adapter, plain, given.sites or task.sites, Positions("all"))
    references = [row.reference for row in learned]
    budget = (given.asked, given.group)
    objective = Reinforced(prompts, references, reward, task.sampling, "rloo", *budget, batch=16, seed=SEED)
    direction = _trained(where, objective, given.steps)
    if given.out:
        save_directions(given.out, [direction])
    difference = mean_difference(adapter, learned, task, reward, direction)
    judging = replace(task.sampling, temperature=0.0) if given.greedy else task.sampling
    judge = Judge(adapter, held, judging, reward)
    for name, steering in steerings(adapter, direction, difference, plain).items():
        show(name, judge.score(steering))
    show("prompting", judge.score(Steering(), task.said))
    with with_lora(adapter, where, task, objective, given.steps):
        show("LoRA", judge.score(Steering()))


def _trained(where: Any, objective: Reinforced, steps: int) -> Direction:
    vectors = AdditiveVectors(where)
    log = train(vectors, objective, Schedule(steps, RATE, decay="constant"), settings={})
    say("rewards of the steps: " + " ".join(f"{one['reward']:.2f}" for one in log))
    return vectors.direction("trained:vector", {})


if __name__ == "__main__":
    main()
