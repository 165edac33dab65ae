"""How well each kind of evidence, and all together, predict what features do to outputs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mmsteer.adapters import AnyAdapter
from mmsteer.eval.attributes import Clip, read_labels
from mmsteer.latents.evidence import Evidence
from mmsteer.latents.material import Material
from mmsteer.latents.maximal import maximal_moments
from mmsteer.latents.output_evaluation import (
    Judge,
    by_label,
    matched,
    output_evaluation,
    steered_outputs,
    word_overlap,
)
from mmsteer.latents.token_change import token_change
from mmsteer.latents.vocabulary import vocabulary
from mmsteer.sae import SparseDictionary, Usage, feature_direction
from mmsteer.types import Sample

WORDS = 5
"""Words of each kind in a description."""
SHUFFLED = "of another feature (control)"


def gather(
    adapter: AnyAdapter, dictionary: SparseDictionary, used: Usage, features: Sequence[int], given: Material
) -> dict[int, Evidence]:
    """Everything that is known of some features: VocabProj, TokenChange and MaxAct."""
    lens = vocabulary(adapter, dictionary, features)
    moments = maximal_moments(adapter, dictionary, given.labelled, features)
    directions = [feature_direction(dictionary, one, used) for one in features]
    changes = [token_change(adapter, one, given.contexts, 0.3 * used.norm) for one in directions]
    rows = zip(features, lens, changes, moments, strict=True)
    return {feature: Evidence(feature, one, change, maximal) for feature, one, change, maximal in rows}


def evaluate_descriptions(
    adapter: AnyAdapter,
    dictionary: SparseDictionary,
    used: Usage,
    features: Sequence[int],
    given: Material,
    *,
    seed: int = 0,
    say: Callable[[str], None] = lambda _: None,
) -> list[dict[str, object]]:
    """For each kind of description how often a judge who reads it picks the outputs that the feature made.

    Of audio a description is what the labelled clips that activate a feature have in common, and the judge reads that
    attribute from the audio. Of text descriptions are words. As a control the judge is given the
    description of another feature.

    `seed`: of the sets that the judge is shown.

    Raises:
        DictionaryError: Too few features can be brought to the doses.
    """
    evidence = gather(adapter, dictionary, used, features, given)
    outputs: dict[str, Sequence[Sample]] = {}
    directions = [feature_direction(dictionary, one, used) for one in features]
    doses = matched(adapter, directions, given.contexts, signs=(1,), operator="add", start=0.3 * used.norm)
    for at, (feature, some) in enumerate(zip(features, doses, strict=True)):
        say(f"Steering features at 0.25 and 0.5 nats: {at} of {len(features)}")
        outputs[str(feature)] = steered_outputs(adapter, some, given.prompts, given.generate)
    alive = {
        feature: one
        for feature, one in evidence.items()
        if outputs[str(feature)] and one.maximal and one.maximal.moments
    }
    if (rate := adapter.sample_rate) is not None:
        judge = by_label(lambda sample, attribute: read_labels(Clip(sample.output, rate), [attribute])[attribute])
        pairs = {str(feature): given.describe(one.maximal) for feature, one in alive.items() if one.maximal}
        return _judged({"MaxAct, its labels": pairs}, outputs, judge, seed)
    kinds: Mapping[str, Callable[[Evidence], Evidence]] = {
        "VocabProj": lambda one: Evidence(one.feature, vocabulary=one.vocabulary),
        "TokenChange": lambda one: Evidence(one.feature, change=one.change),
        "MaxAct": lambda one: Evidence(one.feature, maximal=one.maximal),
        "VocabProj and MaxAct": lambda one: Evidence(one.feature, one.vocabulary, maximal=one.maximal),
        "all three": lambda one: one,
    }
    described = {
        kind: {str(feature): take(one).words(WORDS) for feature, one in alive.items()} for kind, take in kinds.items()
    }
    return _judged(described, outputs, word_overlap, seed)


def _judged(
    described: Mapping[str, Mapping[str, object]], outputs: Mapping[str, Sequence[Sample]], judge: Judge[Any], seed: int
) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    last = list(described)[-1]
    for kind, descriptions in (*described.items(), (f"{last}, {SHUFFLED}", _rotated(described[last]))):
        found = output_evaluation(outputs, descriptions, judge, seed=seed)
        rows.append({"description": kind, "picked right": found.score, "chance": found.chance})
    return rows


def _rotated(descriptions: Mapping[str, object]) -> dict[str, object]:
    names, told = list(descriptions), list(descriptions.values())
    return dict(zip(names, [*told[1:], *told[:1]], strict=True))
