"""Wrong labels among the training samples of probes on `bundled:text`, found by influence and by datamodels.

    python benchmarks/training_samples.py [--rows examples/seed-methods/spanish.jsonl] [--wrong 8] [--site text.14]

Prompts that ask for Spanish and prompts that do not are read at their last token; some training labels are turned
round. For each probe: how many of the wrong ones are among as many lowest values, the correlation of influence with
what leaving each sample out changes, and seconds.
"""

import argparse
import random
import time
from pathlib import Path

import torch

import mmsteer
from mmsteer.attribution import Effort, ProbeSamples, attribute_training
from mmsteer.record import record
from mmsteer.tasks import read_rows
from mmsteer.types import Positions, Site

OWN = Path(__file__).parents[1] / "examples/seed-methods"
TRAINED, HELD = 80, 48
STRENGTHS = {"mean_difference": 1.0, "linear": 1.0, "logistic": 0.01}


def main() -> None:
    """Print a line for each probe and technique."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=Path, default=OWN / "spanish.jsonl")
    parser.add_argument("--wrong", type=int, default=8)
    parser.add_argument("--site", default="text.14")
    given = parser.parse_args()
    adapter, site = mmsteer.load("bundled:text", dtype="float32"), Site.parse(given.site)
    rows = [row for row in read_rows(given.rows) if row.split == "training"]
    parts = [rows[:TRAINED], rows[TRAINED : TRAINED + HELD]]
    states = [
        record(adapter, [row.sample(adapter) for row in part], [site], positions=Positions("last")).values[site]
        for part in parts
    ]
    y = [torch.tensor([float(row.label == "instructed") for row in part]) for part in parts]
    wrong = random.Random(0).sample(range(len(y[0])), given.wrong)
    y[0][wrong] = 1 - y[0][wrong]
    for kind, strength in STRENGTHS.items():
        learned = ProbeSamples(kind, states[0], y[0], states[1], y[1], strength)  # type: ignore[arg-type]
        values = {}
        for technique in ("influence", "occlusion", "datamodels"):
            start = time.perf_counter()
            values[technique] = attribute_training(learned, technique, Effort(steps=2000, draws=200)).values
            found = len(set(values[technique].argsort()[: given.wrong].tolist()) & set(wrong))
            seconds = time.perf_counter() - start
            print(f"{kind}, {technique}: {found} of {given.wrong} wrong labels come first; {seconds:.1f} s", flush=True)
        pair = torch.stack([values["influence"], values["occlusion"]])
        print(f"{kind}: influence and leaving out correlate at {float(torch.corrcoef(pair)[0, 1]):.3f}", flush=True)


if __name__ == "__main__":
    main()
