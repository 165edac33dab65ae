"""What a vector of `mmsteer train` was trained on, for attribution to its training samples."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from mmsteer.attribution import VectorSamples, log_probability
from mmsteer.attribution.metrics import Metric
from mmsteer.attribution.vector_samples import Retrain
from mmsteer.errors import AttributionError
from mmsteer.json_lines import parse_json
from mmsteer.tasks import Row, digest
from mmsteer.tuning import AdditiveVectors, Likelihood, Schedule, TrainedSites, measure_sites, train, wanted_outputs
from mmsteer.types import Adapter, Direction, Positions, Sample, Site

WHY = {
    "reft-r1": "what its vector adds depends on what it reads in each output, which is no parameter",
    "bipo": "it learns from pairs in both signs, whose curvature is near zero",
    "rloo": "it learns from outputs that it draws anew at every step, not from given ones",
    "grpo": "it learns from outputs that it draws anew at every step, not from given ones",
    "loreft": "its low-rank edits have no single vector",
    "direft": "its low-rank edits have no single vector",
}
"""Why a method's vectors are not attributed to training samples."""


def trained_on(
    adapter: Adapter, direction: Direction, rows: Sequence[Row], asked: Sample, metric: Metric = log_probability
) -> VectorSamples:
    """A vector with the samples that it was trained on, which is trained again as it was.

    Args:
        adapter: The model.
        direction: As `mmsteer train --method ssv` saved it.
        rows: The rows that it was trained on.
        asked: A prompt with an output that the number is of.
        metric: The number.

    Raises:
        AttributionError: The direction was not trained, by another method, or on other rows.
    """
    settings = _settings(direction)
    if settings["method"] != "ssv":
        why = WHY.get(settings["method"], "it was not trained on given outputs")
        raise AttributionError(
            f"{direction.name} was trained by {settings['method']}: {why}; train one by `--method ssv`"
        )
    if settings["rows"] != digest(rows):
        raise AttributionError(f"{direction.name} was trained on other rows than these {len(rows)}; give the same data")
    samples = wanted_outputs(rows, adapter, settings["label"])
    where = measure_sites(adapter, samples, settings["sites"], Positions(settings["positions"]))
    again = retrained(where, samples, settings)
    return VectorSamples(adapter, direction, samples, asked, metric, where.positions, again)


def retrained(where: TrainedSites, samples: Sequence[Sample], settings: Mapping[str, Any]) -> Retrain:
    """Trains anew on some of the samples, all else as it was.

    Args:
        where: Where the vector is trained.
        samples: What it was trained on.
        settings: `batch`, `seed`, and those of `Schedule`.
    """
    schedule = Schedule(settings["steps"], settings["rate"], settings["warm_up"], settings["decay"], settings["clip"])

    def again(kept: Sequence[int]) -> Mapping[Site, Tensor]:
        vectors = AdditiveVectors(where)
        objective = Likelihood([samples[at] for at in kept], settings["batch"], settings["seed"])
        train(vectors, objective, schedule, settings={})
        return {site: vector.detach().float().cpu() for site, vector in vectors.vectors().items()}

    return again


def _settings(direction: Direction) -> Mapping[str, Any]:
    written = direction.provenance.get("settings")
    if written is None:
        raise AttributionError(f"{direction.name} says nothing of a training; take a direction of `mmsteer train`")
    settings = parse_json(written, f"the settings of {direction.name}", AttributionError, numbered=False)
    if not isinstance(settings, dict) or not {"method", "rows", "label", "sites", "positions"} <= settings.keys():
        raise AttributionError(f"{direction.name} was not made by `mmsteer train`: {json.dumps(settings)[:80]}")
    return settings
