"""Texts of people and of models, what detectors are given of them, and how well these do."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from shared import SEED, Study, random_dictionary, random_vectors
from torch import Tensor

from mmsteer.adapters import AnyAdapter
from mmsteer.latents.detection import BASELINES, DETECTORS, Detector, auc_interval, macro_f1
from mmsteer.latents.token_states import layer_states
from mmsteer.latents.trials import sampled
from mmsteer.probes.metrics import auc
from mmsteer.sae import SparseDictionary
from mmsteer.tasks import Row
from mmsteer.types import Positions, Raw, Sample, Sampling

WORDS, LEAST = 28, 12
TREES = "xgboost" if find_spec("xgboost") else "trees"
NO_MODEL = "no model"
Fitted = tuple[Detector, Tensor]
"""A detector and its scores of the test texts."""


@dataclass(frozen=True, eq=False)
class Texts:
    """Two texts of each beginning, and what detectors are given.

    Attributes:
        rows: One a beginning.
        documents: Two a beginning; the second is the one to find.
        inputs: By site, or `NO_MODEL`, and kind, (documents, columns).
        drawn: The random dictionaries, one a site.
    """

    rows: tuple[Row, ...]
    documents: tuple[Sample, ...]
    inputs: dict[str, dict[str, Tensor]]
    drawn: tuple[SparseDictionary, ...]

    @property
    def y(self) -> Tensor:
        """Which documents are to be found."""
        return torch.arange(len(self.documents)) % 2 == 1

    @property
    def test(self) -> Tensor:
        """Which documents judge detectors."""
        return torch.tensor([row.split == "test" for row in self.rows]).repeat_interleave(2)

    def domains(self) -> np.ndarray:
        """Of each document where its beginning is from."""
        return np.repeat([str(row.label) for row in self.rows], 2)


def read_texts(study: Study, writer: AnyAdapter, drawn: Sequence[SparseDictionary] = ()) -> Texts:
    """The project's beginnings, written on by people and by a model, as the study's model reads them.

    `drawn`: random dictionaries; those of the first texts where none are given.
    """
    asked = [
        row for split in ("training", "test") for row in study.rows("people.jsonl", split=split)[: study.some(180, 6)]
    ]
    documents, rows = _documents(study, asked, writer)
    drawn = tuple(drawn) or _drawn(study, documents[:16])
    surface = {NO_MODEL: {"surface": torch.tensor([_surface(one.text) for one in documents])}}
    return Texts(tuple(rows), tuple(documents), surface | _layers(study, documents, drawn), drawn)


def fitted(name: str, x: Tensor, y: Tensor, test: Tensor, judged: Tensor | None = None) -> Fitted:
    """A detector, fitted on what is not tested on; `judged`: what it scores, where that is of other texts."""
    detector = (DETECTORS | BASELINES)[name](x[~test], y[~test], SEED)
    return detector, detector.score(x[test] if judged is None else judged)


def auc_of(found: Fitted, y: Tensor) -> Any:
    """How well a detector does on the test texts, and its best features."""
    detector, scores = found
    low, high = auc_interval(scores, y, SEED)
    said = macro_f1(scores > detector.threshold, y)
    return {
        "auc": [round(one, 3) for one in (auc(scores, y.double()), low, high)],
        "macro F1": round(said, 3),
        "features": [f for f, _ in detector.features[:3]],
    }


def difference(first: Tensor, other: Tensor, y: Tensor, draws: int = 500) -> list[float]:
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


def _documents(study: Study, rows: Sequence[Row], writer: AnyAdapter) -> tuple[list[Sample], list[Row]]:
    """Of each beginning the text of people and what a model makes of it, both cut to as many words."""
    make = sampled(writer, Sampling(study.some(52, 8), temperature=0.8, top_k=50), seed=SEED)
    asked = [row.sample(writer) for row in rows]
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


def _drawn(study: Study, documents: Sequence[Sample]) -> tuple[SparseDictionary, ...]:
    dictionaries = [one for one, _ in study.bound]
    first = list(layer_states(study.adapter, documents, [one.located(study.adapter) for one in dictionaries]))
    return tuple(
        random_dictionary(one, torch.cat([read[at].states[read[at].pooled_over(Positions("all"))] for read in first]))
        for at, one in enumerate(dictionaries)
    )


@torch.no_grad()
def _layers(
    study: Study, documents: Sequence[Sample], drawn: Sequence[SparseDictionary]
) -> dict[str, dict[str, Tensor]]:
    """What detectors are given at each layer, (documents, columns): activations are summed over tokens."""
    dictionaries = [one for one, _ in study.bound]
    sites = [one.located(study.adapter) for one in dictionaries]
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
