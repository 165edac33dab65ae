"""Where the effect of a trained vector runs in `bundled:text`, and what it brings in a sibling that was fine-tuned.

    mmsteer train ... --out choice.safetensors      # as docs/training.md gives it
    python benchmarks/vector_readings.py choice.safetensors [--steps 20] [--questions 48] [--only paths|transfer]

The sibling is the model after a few steps of all of its weights on answers of AxBench's shipped set, which are about
other things and are no multiple choice. Rewards are those of greedy answers to questions that nothing was trained on.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import torch

import mmsteer
from mmsteer.adapters import AnyAdapter
from mmsteer.calibrate import divergence
from mmsteer.eval.rewards import parse_output_reward
from mmsteer.eval.text import Reference
from mmsteer.formats import load_directions
from mmsteer.latents.vector_paths import read_paths
from mmsteer.latents.vector_transfer import transfer
from mmsteer.layouts import layouts
from mmsteer.likelihood import output_tokens
from mmsteer.steering import Attribute, Steering
from mmsteer.tasks import read_rows
from mmsteer.types import Sample, Sampling

HERE = Path(__file__).parents[1]
RATE, BATCH, CONTEXTS = 2e-5, 6, 6
GREEDY = Sampling(tokens=10, temperature=0.0)


def fine_tuned(steps: int) -> AnyAdapter:
    """The model after some steps of AdamW on all of its weights."""
    adapter = mmsteer.load("bundled:text", dtype="float32")
    lines = [json.loads(line) for line in (HERE / "recipes/axbench/train.jsonl").read_text().splitlines()]
    samples = [Sample(str(at), line["input"], output=line["output"]) for at, line in enumerate(lines[: steps * BATCH])]
    optimiser = torch.optim.AdamW(adapter.model.parameters(), lr=RATE, weight_decay=0.0)
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
        print(f"step {step}: {float(loss):.2f} nats a token", flush=True)
    return adapter


def print_paths(adapter: AnyAdapter, trained: Attribute, contexts: Sequence[Sample]) -> None:
    """Print where the effect runs."""
    paths = read_paths(adapter, trained, contexts)
    assert paths is not None
    print(f"straight to the head: {paths.straight:.2f}")
    for block in paths.blocks:
        parts = ", ".join(f"{name} {value:+.3f}" for name, value in block.parts.items())
        print(f"block {block.layer}: {block.whole:+.3f} ({parts})", flush=True)


def print_transfer(
    adapter: AnyAdapter,
    sibling: AnyAdapter,
    trained: Attribute,
    contexts: Sequence[Sample],
    prompts: Sequence[Sample],
    references: Sequence[Reference],
) -> None:
    """Print rewards in both models."""
    moved = [
        float((mine - other).norm() / mine.norm())
        for mine, other in zip(adapter.model.parameters(), sibling.model.parameters(), strict=True)
    ]
    print(f"weights moved by {sum(moved) / len(moved):.4f} of their norms, mean over tensors")
    for name, model in (("model", adapter), ("sibling", sibling)):
        step = divergence(model, Steering((trained.accepting("architecture"),)), contexts)
        print(f"divergence of the vector in the {name}: {float(step.mean()):.3f} nats a token")
    found = transfer(
        (adapter, sibling),
        trained,
        prompts,
        references,
        parse_output_reward("choice", "text"),
        GREEDY,
    )
    for name, (before, after) in (("model", found.own), ("sibling", found.sibling)):
        print(f"{name}: unsteered {before}, with the vector {after}")


def main() -> None:
    """Print paths and rewards."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--questions", type=int, default=48)
    parser.add_argument("--only", choices=["paths", "transfer"])
    given = parser.parse_args()
    (direction,) = load_directions(str(given.file)).values()
    trained = Attribute(direction, 1.0, unit="trained")
    adapter = mmsteer.load("bundled:text", dtype="float32")
    rows = [row for row in read_rows(HERE / "examples/seed-methods/choice.jsonl") if row.split == "test"]
    prompts = [row.sample(adapter) for row in rows[: given.questions]]
    contexts = adapter.generate(prompts[:CONTEXTS], GREEDY)
    if given.only != "transfer":
        print_paths(adapter, trained, contexts)
    if given.only != "paths":
        references = [row.reference for row in rows[: given.questions]]
        print_transfer(adapter, fine_tuned(given.steps), trained, contexts, prompts, references)


if __name__ == "__main__":
    main()
