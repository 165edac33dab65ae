"""A step of ReFT-r1 beside the same in pyvene.

    uv pip install --no-deps pyvene
    python benchmarks/training_step.py [ROUNDS]

Both read the same answers of `bundled:text`. pyvene's intervention is written as AxBench writes it: a projection, relu,
the mean of the k largest, added to every token. Rounds alternate; medians and the range are printed.
"""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

import pyvene
import torch
from torch import Tensor

import mmsteer
from mmsteer import hooks
from mmsteer.adapters import AnyAdapter
from mmsteer.tuning import GatedVectors, Likelihood, measure_sites
from mmsteer.types import Positions, Sample

LAYER, K, CHARGE, RATE = 14, 8, 0.005, 0.01
ANSWERS = (
    "The harbour was full of ships that waited for the tide.",
    "I would walk along the beach and listen to the waves.",
    "A sailor once told me that patience is a kind of wind.",
    "Take a small boat, a map, and a friend who can swim.",
    "The lighthouse shows what a steady habit looks like.",
    "Nothing is as calm as the sea after a storm.",
)
SAMPLES = [Sample(str(at), "What should I do this weekend?", output=text) for at, text in enumerate(ANSWERS)]


class Gated(pyvene.SourcelessIntervention, pyvene.TrainableIntervention, pyvene.DistributedRepresentationIntervention):
    """ReFT-r1 as AxBench writes it: keeps what it found, for the loss."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more, keep_last_dim=True)
        self.proj = torch.nn.Linear(self.embed_dim, 1)
        with torch.no_grad():
            self.proj.bias.fill_(0)

    def forward(self, base: Tensor, source: Tensor | None = None, subspaces: Any = None) -> Tensor:
        del source, subspaces
        self.found = torch.relu(self.proj(base)).squeeze(-1)
        self.largest = self.found.topk(K, dim=1)
        amount = self.largest.values.mean(dim=1, keepdim=True)
        return base + amount.unsqueeze(-1) * self.proj.weight[0]


def mmsteer_step(adapter: AnyAdapter) -> Callable[[], float]:
    where = measure_sites(adapter, SAMPLES, f"text.{LAYER}", Positions("all"))
    vectors = GatedVectors(where, k=K)
    objective = Likelihood(SAMPLES, len(SAMPLES), charge=CHARGE)
    optimiser = torch.optim.AdamW(vectors.parameters(), lr=RATE, weight_decay=0.0)

    def step() -> float:
        optimiser.zero_grad()
        with hooks.frozen(adapter.model):
            numbers = objective.accumulate(vectors, 0, 1.0, [])
        optimiser.step()
        vectors.constrain()
        return numbers["loss"]

    return step


def pyvene_step(adapter: AnyAdapter) -> Callable[[], float]:
    inputs = adapter.reading(SAMPLES).arguments
    prompt = adapter.reading(SAMPLES).call.prompt
    labels = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)
    labels[:, :prompt] = -100
    width = adapter.model.config.hidden_size
    part = {"component": f"model.layers[{LAYER}].output", "intervention": Gated(embed_dim=width, low_rank_dimension=1)}
    trained = pyvene.IntervenableModel(pyvene.IntervenableConfig([part]), model=adapter.model)
    trained.disable_model_gradients()
    (gated,) = [one for one in trained.interventions.values()]
    optimiser = torch.optim.AdamW(gated.parameters(), lr=RATE, weight_decay=0.0)

    def step() -> float:
        optimiser.zero_grad()
        base = {name: inputs[name] for name in ("input_ids", "attention_mask")}
        _, made = trained(base=base, unit_locations=None, labels=labels, use_cache=False)
        charge = (gated.found.sum(1) - gated.largest.values.sum(1)).mean()
        (made.loss + CHARGE * charge).backward()
        optimiser.step()
        with torch.no_grad():
            gated.proj.weight /= gated.proj.weight.norm()
        return float(made.loss)

    return step


def timed(work: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each round, in turn; the first round is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for at in range(rounds + 1):
        for name, run in work.items():
            start = time.process_time()
            run()
            if at:
                seconds[name].append(time.process_time() - start)
    return seconds


def shown(title: str, seconds: Mapping[str, Sequence[float]]) -> None:
    """Print a line a contestant, in seconds of processor time."""
    for name, some in seconds.items():
        print(f"{title}, {name}: {median(some):.2f} s ({min(some):.2f} to {max(some):.2f})", flush=True)


def main() -> None:
    """Print the comparison."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rounds, adapter = int(sys.argv[1]) if len(sys.argv) > 1 else 5, mmsteer.load("bundled:text", dtype="float32")
    shown("ReFT-r1", timed({"mmsteer": mmsteer_step(adapter), "pyvene": pyvene_step(adapter)}, rounds))


if __name__ == "__main__":
    main()
