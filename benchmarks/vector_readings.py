"""What is read of a vector trained on `bundled:text`: where its effect runs, what it brings in a sibling, its gate.

    mmsteer train ... --out choice.safetensors      # as docs/training.md gives it
    python benchmarks/vector_readings.py choice.safetensors --only paths
    python benchmarks/vector_readings.py comma.safetensors --only transfer --data examples/seed-methods/plain.jsonl
        --reward instruction:no_comma --tokens 16 [--steps 20] [--rate 2e-5] [--questions 48]
    python benchmarks/vector_readings.py docs.safetensors --only scaling --data examples/seed-methods/people.jsonl

The sibling is the model after some steps of all of its weights on answers of AxBench's shipped set, which are about
other things. Rewards are those of greedy answers to prompts of the split `test`, which nothing was trained on; the
random vectors have the trained one's length. The gate, relu(h w) of a ReFT-r1 vector, is read in the rows of that
split, those of each label apart, beside the same of random vectors.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

import mmsteer
from mmsteer.adapters import AnyAdapter
from mmsteer.calibrate import divergence
from mmsteer.eval.rewards import parse_output_reward
from mmsteer.eval.text import Reference
from mmsteer.formats import load_directions
from mmsteer.latents.token_states import token_states
from mmsteer.latents.vector_paths import read_paths
from mmsteer.latents.vector_scaling import SiteScaling, read_scaling
from mmsteer.latents.vector_transfer import transfer
from mmsteer.layouts import layouts
from mmsteer.likelihood import output_tokens
from mmsteer.steering import Attribute, Steering
from mmsteer.tasks import Row, read_rows
from mmsteer.types import Direction, Positions, Sample, Sampling, Site, mean_score

HERE = Path(__file__).parents[1]
BATCH, CONTEXTS, RANDOM = 6, 6, 2


def fine_tuned(steps: int, rate: float) -> AnyAdapter:
    """The model after some steps of AdamW on all of its weights."""
    adapter = mmsteer.load("bundled:text", dtype="float32")
    lines = [json.loads(line) for line in (HERE / "recipes/axbench/train.jsonl").read_text().splitlines()]
    samples = [Sample(str(at), line["input"], output=line["output"]) for at, line in enumerate(lines[: steps * BATCH])]
    optimiser = torch.optim.AdamW(adapter.model.parameters(), lr=rate, weight_decay=0.0)
    for step in range(steps):
        reading = adapter.reading(samples[step * BATCH : (step + 1) * BATCH])
        with layouts(adapter, adapter.generator, reading) as found:
            logits = adapter.read(reading, gradient=True, logits="outputs")
        read = output_tokens(adapter, reading, found[-1], logits)
        loss = -read.sums.sum() / read.sizes.sum()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(adapter.model.parameters(), 1.0)
        optimiser.step()
        print(f"step {step}: {float(loss.detach()):.2f} nats a token", flush=True)
    return adapter


def print_paths(adapter: AnyAdapter, trained: Attribute, contexts: Sequence[Sample]) -> None:
    """Print where the effect runs."""
    paths = read_paths(adapter, trained, contexts)
    assert paths is not None
    print(f"straight to the head: {paths.straight:.2f}")
    for block in paths.blocks:
        parts = ", ".join(f"{name} {value:+.3f}" for name, value in block.parts.items())
        print(f"block {block.layer}: {block.whole:+.3f} ({parts})", flush=True)


def random_ones(direction: Direction) -> list[Direction]:
    """Random unit vectors in the place of a direction's."""
    found = []
    for seed in range(RANDOM):
        generator = torch.Generator().manual_seed(seed)
        draws = {site: torch.randn(vector.shape, generator=generator) for site, vector in direction.vectors.items()}
        vectors = {site: draw / draw.norm() for site, draw in draws.items()}
        found.append(replace(direction, name=f"random {seed}", vectors=vectors))
    return found


def print_transfer(
    adapter: AnyAdapter,
    sibling: AnyAdapter,
    trained: Attribute,
    contexts: Sequence[Sample],
    prompts: Sequence[Sample],
    references: Sequence[Reference],
    reward: str,
    sampling: Sampling,
) -> None:
    """Print rewards in both models."""
    moved = [
        float((mine - other).norm() / mine.norm())
        for mine, other in zip(adapter.model.parameters(), sibling.model.parameters(), strict=True)
    ]
    print(f"weights moved by {sum(moved) / len(moved):.4f} of their norms, mean over tensors")
    for item in (trained, *(replace(trained, direction=one) for one in random_ones(trained.direction))):
        for name, model in (("model", adapter), ("sibling", sibling)):
            step = divergence(model, Steering((item.accepting("architecture"),)), contexts)
            print(f"divergence of {item.direction.name} in the {name}: {float(step.mean()):.3f} nats a token")
        found = transfer((adapter, sibling), item, prompts, references, parse_output_reward(reward, "text"), sampling)
        for name, (before, after) in (("model", found.own), ("sibling", found.sibling)):
            print(f"{name}: unsteered {before}, with {item.direction.name} {after}", flush=True)


def print_scaling(adapter: AnyAdapter, direction: Direction, rows: Sequence[Row], positions: Positions) -> None:
    """Print where the gate of a vector is open, in rows with their answers, of each label and beside random vectors."""
    labelled = defaultdict(list)
    for row in rows:
        labelled[row.label].append(replace(row.sample(adapter), output=row.answer))
    for label, samples in labelled.items():
        for one in (direction, *random_ones(direction)):
            for found in read_scaling(adapter, one, samples, positions=positions):
                added = mean_score(list(strengths(adapter, one, samples, found.site, positions)))
                print(f"{label} ({len(samples)} rows), {one.name}: adds {added}, {_written(found)}", flush=True)


def strengths(
    adapter: AnyAdapter, direction: Direction, samples: Sequence[Sample], site: Site, positions: Positions
) -> Iterator[float]:
    """What the gate adds to each sample: the mean of the 8 largest."""
    for one in token_states(adapter, samples, site):
        gate = (one.states @ direction.vectors[site].float()).relu() * one.chosen(positions)
        yield float(gate.topk(min(8, len(gate))).values.mean())


def _written(found: SiteScaling) -> str:
    tokens = ", ".join(f"{name!r} {value:.1f}" for name, value in found.strongest)
    return (
        f"the 8 strongest tokens hold {found.held:.2f} (evenly {found.even:.2f}), the first {found.first:.2f}, "
        f"the output {found.outputs:.2f} (of the tokens {found.output_tokens:.2f}); {tokens}"
    )


def main() -> None:
    """Print paths, rewards, or the gate."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rate", type=float, default=2e-5)
    parser.add_argument("--questions", type=int, default=48)
    parser.add_argument("--data", type=Path, default=HERE / "examples/seed-methods/choice.jsonl")
    parser.add_argument("--at", default="all", help="scaling: the tokens that the gate was trained on")
    parser.add_argument("--reward", default="choice")
    parser.add_argument("--tokens", type=int, default=10)
    parser.add_argument("--only", choices=["paths", "transfer", "scaling"], required=True)
    given = parser.parse_args()
    (direction,) = load_directions(str(given.file)).values()
    trained = Attribute(direction, 1.0, unit="trained")
    adapter = mmsteer.load("bundled:text", dtype="float32")
    rows = list(read_rows(given.data, split="test"))[: given.questions]
    if given.only == "scaling":
        print_scaling(adapter, direction, rows, Positions(given.at))
        return
    greedy = Sampling(tokens=given.tokens, temperature=0.0)
    prompts = [row.sample(adapter) for row in rows]
    contexts = adapter.generate(prompts[:CONTEXTS], greedy)
    if given.only == "paths":
        print_paths(adapter, trained, contexts)
        return
    references = [row.reference for row in rows]
    sibling = fine_tuned(given.steps, given.rate)
    print_transfer(adapter, sibling, trained, contexts, prompts, references, given.reward, greedy)


if __name__ == "__main__":
    main()
