"""Text of people told from a model's own, layer by layer (Kuznetsov et al. 2025, arXiv:2503.03601)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from shared import SEED, Result, Study
from texts import NO_MODEL, TREES, Texts, auc_of, difference, fitted, read_texts
from torch import Tensor
from writers import two_writers

from mmsteer.latents.detection import DETECTORS
from mmsteer.latents.maximal import maximal_moments
from mmsteer.latents.vocabulary import vocabulary
from mmsteer.probes.metrics import auc

SHOWN, BEST, TOKENS, MOMENTS = "text.13", 6, 8, 6
"""Where features are shown, how many, and how many promoted tokens and most activating words of each."""
ONLY = {"surface": (TREES,), "states": ("logistic probe",)}
"""Detectors of inputs that not all of them are for."""


def run(study: Study) -> Result:
    """Detectors on every layer beside random dictionaries and projections, surface counts and hidden states."""
    own = read_texts(study, study.adapter)
    y, test = own.y, own.test
    found = {
        site: {
            f"{what}, {name}": fitted(name, x, y, test)
            for what, x in inputs.items()
            for name in ONLY.get(what, ("single", "logistic", TREES))
        }
        for site, inputs in own.inputs.items()
    }
    layers = {site: some for site, some in found.items() if site != NO_MODEL}
    for site, some in layers.items():
        some["labels exchanged, trees"] = fitted(TREES, own.inputs[site]["features"], _exchanged(y), test)
    site = SHOWN if SHOWN in layers else next(iter(layers))
    trees = f"features, {TREES}"
    return {
        "texts": {"training": int((~test).sum()), "test": int(test.sum())},
        "auc": {site: {name: auc_of(one, y[test]) for name, one in some.items()} for site, some in found.items()},
        "features above controls": {
            site: {
                f"{mine} - {other}": difference(some[mine][1], some[other][1], y[test])
                for mine in ("features, single", trees)
                for other in _controls(some, mine.split(", ")[1])
            }
            for site, some in layers.items()
        },
        "by domain": {site: _domains(some[trees][1], y[test], own.domains()[test]) for site, some in layers.items()},
        f"from domain to domain at {site}": _from_others(own, site),
        f"the best features of {site}": _meaning(study, own, site, [f for f, _ in layers[site][trees][0].features]),
        **({"two writers": two_writers(study, own)} if study.other else {}),
    }


def _exchanged(y: Tensor) -> Tensor:
    return y[torch.randperm(len(y), generator=torch.Generator().manual_seed(SEED))]


def _controls(some: dict[str, Any], detector: str) -> list[str]:
    return [name for name in some if name.startswith("random") and name.endswith(f", {detector}")]


def _domains(scores: Tensor, y: Tensor, domains: np.ndarray) -> dict[str, Any]:
    return {
        domain: [round(auc(scores[chosen], y[chosen].double()), 3), int(chosen.sum())]
        for domain in sorted(set(domains))
        for chosen in [torch.from_numpy(domains == domain)]
    }


def _from_others(texts: Texts, site: str) -> Result:
    """Of each domain the AUC of trees that learned from the others alone, and of its own best single feature."""
    x, domains, found = texts.inputs[site]["features"], texts.domains(), {}
    for domain in sorted(set(domains)):
        here = torch.from_numpy(domains == domain)
        test, mine, other = texts.test & here, ~texts.test & here, ~texts.test & ~here
        if not (mine.any() and other.any()):
            continue
        trees = DETECTORS[TREES](x[other], texts.y[other], SEED)
        single = DETECTORS["single"](x[mine], texts.y[mine], SEED)
        found[domain] = {
            name: auc_of((one, one.score(x[test])), texts.y[test])
            for name, one in (("learned from the others", trees), ("own single feature", single))
        }
    return found


def _meaning(study: Study, texts: Texts, site: str, features: Sequence[int]) -> Result:
    """What the best features, if trees need any, promote and are active at, and in whose texts they are active more."""
    features = features[:BEST]
    if not features:
        return {}
    dictionary = next(one for one, _ in study.bound if str(one.site) == site)
    said = vocabulary(study.adapter, dictionary, features, count=TOKENS)
    read = maximal_moments(study.adapter, dictionary, texts.documents, features, count=MOMENTS)
    sums = [texts.inputs[site]["features"][side].mean(dim=0) for side in (~texts.y, texts.y)]
    return {
        str(feature): {
            "promotes": [entry.name for entry in words.heads[0].top],
            "is active at": [moment.words for moment in best.moments],
            "mean sum, people and model": [round(float(side[feature]), 2) for side in sums],
        }
        for feature, words, best in zip(features, said, read, strict=True)
    }
