"""Text written for this project told from the model's own, layer by layer, by features and by what stands beside them.

python examples/seed-methods/detect.py DICTIONARY [DICTIONARY ...]
"""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

import mmsteer
from mmsteer.adapters import AnyAdapter
from mmsteer.bundled.dictionary import open_dictionary
from mmsteer.latents.detection import BASELINES, DETECTORS, Detection, detect
from mmsteer.latents.pooling import POOLS
from mmsteer.latents.token_states import token_states
from mmsteer.sae import SparseDictionary
from mmsteer.tasks import Row
from mmsteer.types import Positions

HERE, SEED = Path(__file__).parent, 0


def surface(text: str) -> list[float]:
    """What needs no model: words, letters a word, marks, capitals, different words."""
    words = text.split()
    letters = sum(map(len, words)) / len(words)
    return [letters, text.count(","), text.count("."), sum(map(str.isupper, text)), len(set(words)) / len(words)]


def layer(
    adapter: AnyAdapter, dictionary: SparseDictionary, rows: Sequence[Row], parts: Sequence[Tensor], y: Tensor
) -> list[Detection]:
    """Detectors on one layer; the same search over as many random directions, and over exchanged labels."""
    read = token_states(adapter, [row.sample(adapter) for row in rows], dictionary.site)
    states = [one.states[one.pooled_over(Positions("all"))] for one in read]
    z = torch.stack([POOLS["sum"](dictionary.encode(h)) for h in states])
    h = torch.stack([one.mean(dim=0) for one in states])
    drawn = h @ torch.randn(h.shape[1], z.shape[1], generator=torch.Generator().manual_seed(SEED))
    exchanged = y[torch.randperm(len(y), generator=torch.Generator().manual_seed(SEED))]
    given = {
        "features": (z, y, ("single", "logistic", "trees")),
        "random directions": (drawn, y, ("single", "trees")),
        "features, labels exchanged": (z, exchanged, ("single", "logistic", "trees")),
    }
    train, test = parts
    return [
        detect(fit, (x[train], labels[train]), (x[test], labels[test]), inputs=inputs, seed=SEED)
        for inputs, (x, labels, names) in given.items()
        for fit in map(DETECTORS.__getitem__, names)
    ] + [detect(fit, (h[train], y[train]), (h[test], y[test]), inputs="states") for fit in BASELINES.values()]


@torch.no_grad()
def main(*dictionaries: str) -> None:
    """Print how well each detector does on the texts of the other half of the prompts."""
    torch.set_num_threads(1)
    start, adapter, rows = time.time(), mmsteer.load("bundled:text"), mmsteer.read_rows(HERE / "detection.jsonl")
    parts = [torch.tensor([at for at, row in enumerate(rows) if row.split == side]) for side in ("training", "test")]
    y = torch.tensor([row.label == "model" for row in rows])
    plain = torch.tensor([surface(row.asked().text) for row in rows])
    train, test = parts
    sides = [(plain[part], y[part]) for part in (train, test)]
    tables = {"no model": [detect(fit, *sides, inputs="surface").row() for fit in BASELINES.values()]}
    for name in dictionaries:
        found = open_dictionary(name)
        tables[str(found.site)] = [one.row() for one in layer(adapter, found, rows, parts, y)]
    for place, table in tables.items():
        for row in table:
            print(place, json.dumps(row))
    print(f"{time.time() - start:.0f} s")


if __name__ == "__main__":
    main(*sys.argv[1:])
