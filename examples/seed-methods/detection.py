"""Text of people told from a model's own, layer by layer (Kuznetsov et al. 2025, arXiv:2503.03601)."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from shared import SEED, Result, Study, random_dictionary, random_vectors
from torch import Tensor

from mmsteer.latents.detection import BASELINES, DETECTORS, Detector, auc_interval, macro_f1
from mmsteer.latents.token_states import layer_states
from mmsteer.latents.trials import sampled
from mmsteer.probes.metrics import auc
from mmsteer.tasks import Row
from mmsteer.types import Positions, Raw, Sample, Sampling

WORDS, LEAST = 28, 12
TREES = "xgboost" if find_spec("xgboost") else "trees"


def run(study: Study) -> Result:
    """Detectors on every layer beside random dictionaries and projections, surface counts and hidden states."""
    rows = [
        row for split in ("training", "test") for row in study.rows("people.jsonl", split=split)[: study.some(180, 6)]
    ]
    documents, kept = _documents(study, rows)
    y = torch.arange(len(documents)) % 2 == 1
    test = torch.tensor([row.split == "test" for row in kept]).repeat_interleave(2)
    surface = torch.tensor([_surface(one.text) for one in documents])
    found = {"no model": {"surface, trees": _fitted(TREES, surface, y, test)}}
    layers = _layers(study, documents)
    for site, inputs in layers.items():
        found[site] = {
            f"{what}, {name}": _fitted(name, x, y, test)
            for what, x in inputs.items()
            for name in (("single", "logistic", TREES) if what != "states" else ("logistic probe",))
        }
        found[site]["labels exchanged, trees"] = _fitted(TREES, inputs["features"], _exchanged(y), test)
    return {
        "texts": {"training": int((~test).sum()), "test": int(test.sum())},
        "auc": {site: {name: _row(one, y[test]) for name, one in some.items()} for site, some in found.items()},
        "features above controls": {
            site: {
                f"{mine} - {other}": _difference(some[mine][1], some[other][1], y[test])
                for mine in ("features, single", f"features, {TREES}")
                for other in _controls(some, mine.split(", ")[1])
            }
            for site, some in found.items()
            if site != "no model"
        },
        "by domain": {
            site: _domains(some[f"features, {TREES}"][1], y[test], [row.label for row in kept if row.split == "test"])
            for site, some in found.items()
            if site != "no model"
        },
    }


def _documents(study: Study, rows: Sequence[Row]) -> tuple[list[Sample], list[Row]]:
    """Of each beginning the text of people and what the model makes of it, both cut to as many words."""
    make = sampled(study.adapter, Sampling(study.some(52, 8), temperature=0.8, top_k=50), seed=SEED)
    asked = [row.sample(study.adapter) for row in rows]
    made = [one for at in range(0, len(asked), 48) for one in make(asked[at : at + 48])]
    documents, kept = [], []
    for row, one in zip(rows, made, strict=True):
        sides = [str(row.answer).split(), str(one.output).split()]
        words = min(WORDS, *map(len, sides))
        if words < study.some(LEAST, 1):
            continue
        kept.append(row)
        for label, side in zip(("people", "model"), sides, strict=True):
            text = " ".join([*one.text.split(), *side[:words]])
            documents.append(Sample(f"{row.id}-{label}", Raw(text)))
    return documents, kept


@torch.no_grad()
def _layers(study: Study, documents: Sequence[Sample]) -> dict[str, dict[str, Tensor]]:
    """What detectors are given at each layer, (documents, columns): activations are summed over tokens."""
    dictionaries = [one for one, _ in study.bound]
    sites = [one.located(study.adapter) for one in dictionaries]
    first = list(layer_states(study.adapter, documents[:16], sites))
    drawn = [
        random_dictionary(one, torch.cat([read[at].states[read[at].pooled_over(Positions("all"))] for read in first]))
        for at, one in enumerate(dictionaries)
    ]
    rows: list[dict[str, list[Tensor]]] = [{"features": [], "random features": [], "states": []} for _ in sites]
    for read in layer_states(study.adapter, documents, sites, batch=16):
        for one, some, mine, other in zip(read, rows, dictionaries, drawn, strict=True):
            h = one.states[one.pooled_over(Positions("all"))]
            some["features"].append(mine.encode(h).sum(dim=0))
            some["random features"].append(other.encode(h).sum(dim=0))
            some["states"].append(h.mean(dim=0))
    found = {
        str(site): {name: torch.stack(each) for name, each in some.items()}
        for site, some in zip(sites, rows, strict=True)
    }
    for some in found.values():
        columns = random_vectors(some["states"].shape[1], some["features"].shape[1])
        some["random directions"] = some["states"] @ columns.T
    return found


def _surface(text: str) -> list[float]:
    """What needs no model: letters a word, marks, capitals, different words."""
    words = text.split()
    marks = [float(text.count(mark)) for mark in ",.;:()-\"'"]
    capitals = float(sum(map(str.isupper, text)))
    return [sum(map(len, words)) / len(words), *marks, capitals, len(set(words)) / len(words), float(len(text))]


def _fitted(name: str, x: Tensor, y: Tensor, test: Tensor) -> tuple[Detector, Tensor]:
    detector = (DETECTORS | BASELINES)[name](x[~test], y[~test], SEED)
    return detector, detector.score(x[test])


def _exchanged(y: Tensor) -> Tensor:
    return y[torch.randperm(len(y), generator=torch.Generator().manual_seed(SEED))]


def _row(found: tuple[Detector, Tensor], y: Tensor) -> Any:
    detector, scores = found
    low, high = auc_interval(scores, y, SEED)
    said = macro_f1(scores > detector.threshold, y)
    return {
        "auc": [round(one, 3) for one in (auc(scores, y.double()), low, high)],
        "macro F1": round(said, 3),
        "features": [f for f, _ in detector.features[:3]],
    }


def _controls(some: dict[str, Any], detector: str) -> list[str]:
    return [name for name in some if name.startswith("random") and name.endswith(f", {detector}")]


def _difference(first: Tensor, other: Tensor, y: Tensor, draws: int = 500) -> list[float]:
    """How far one AUC is above another: the value and a 95 % bootstrap interval over pairs of texts."""
    generator, pairs = torch.Generator().manual_seed(SEED), len(y) // 2
    labels = y.double()
    found = []
    for _ in range(draws):
        rows = torch.randint(pairs, (pairs,), generator=generator)
        rows = torch.cat([2 * rows, 2 * rows + 1])
        found.append(auc(first[rows], labels[rows]) - auc(other[rows], labels[rows]))
    low, high = np.quantile(found, [0.025, 0.975])
    return [round(float(one), 3) for one in (auc(first, labels) - auc(other, labels), low, high)]


def _domains(scores: Tensor, y: Tensor, labels: Sequence[str | None]) -> dict[str, Any]:
    domains = np.repeat([str(one) for one in labels], 2)
    return {
        domain: [round(auc(scores[chosen], y[chosen].double()), 3), int(chosen.sum())]
        for domain in sorted(set(domains))
        for chosen in [torch.from_numpy(domains == domain)]
    }
