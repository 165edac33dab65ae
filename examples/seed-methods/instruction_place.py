"""Where "mention the sea" is said, and how many of its features are added (He et al. 2025, arXiv:2502.11356)."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace

from fluency import Fluency, fluency_of, rated
from saif import INSTRUCTIONS, TOKENS
from shared import SEED, Result, Study, best_of, json_of, pushed

from mmsteer.errors import DictionaryError
from mmsteer.eval.text.pattern import Pattern
from mmsteer.latents.controls import random_features
from mmsteer.latents.rows import row_pairs
from mmsteer.latents.saif import run_saif
from mmsteer.latents.trials import Trials
from mmsteer.sae import SparseDictionary, Usage, combined_direction
from mmsteer.steering import Steering
from mmsteer.types import Sample, mean_score

COUNTS, SHARES, LEAST, TESTED = (1, 2, 4, 8, 15), (0.3, 0.6), 0.1, 24
WORD = Pattern(r"(?i)\bseas?\b")


def run(study: Study) -> Result:
    """Features of the last layer, from the instruction after and before what is asked, beside random ones."""
    [*_, (dictionary, used)] = study.at("text.25")
    rows = study.rows("sea.jsonl", split="training")[: study.some(48, 4)]
    after, plain = ([row.sample(study.adapter) for row in side] for side in row_pairs(rows, "instructed"))
    before = [_before(one, other) for one, other in zip(after, plain, strict=True)]
    words = str(after[0].prompt).removeprefix(str(plain[0].prompt)).strip()
    held, test = (study.rows("plain.jsonl", split=split) for split in ("validation", "test"))
    asked = {"validation": held[: study.some(8)], "test": test[: study.some(TESTED)]}
    trials = {side: study.trials(some, INSTRUCTIONS["sea"], TOKENS, side) for side, some in asked.items()}
    fluency = fluency_of(study, trials["validation"], lambda one: replace(one, prompt=f"{one.prompt} {words}"))
    found: Result = {"random features": _random(fluency, dictionary, used, trials)}
    for place, instructed in (("after", after), ("before", before)):
        said = [fluency.said(one) for one in trials["test"].prompts]
        said = said if place == "after" else [_before(a, b) for a, b in zip(said, trials["test"].prompts, strict=True)]
        told = replace(trials["test"], prompts=tuple(said)).run(study.adapter)
        found[f"said {place}"] = json_of(mean_score(told.rewards))
        found[f"features of what is said {place}"] = _counts(fluency, dictionary, used, trials, (instructed, plain))
        print(place, found, file=sys.stderr, flush=True)
    return found


def _before(instructed: Sample, plain: Sample) -> Sample:
    """The same prompt with the instruction first."""
    words = str(instructed.prompt).removeprefix(str(plain.prompt)).strip()
    return replace(instructed, prompt=f"{words} {plain.prompt}")


def _counts(
    fluency: Fluency,
    dictionary: SparseDictionary,
    used: Usage,
    trials: Mapping[str, Trials],
    sides: Sequence[Sequence[Sample]],
) -> Result:
    """The sum of the most sensitive features, by how many there are."""
    found: Result = {}
    for count in COUNTS:
        try:
            saif = run_saif(fluency.study.adapter, dictionary, *sides, k=count, least=LEAST)
        except DictionaryError:
            return found
        if len(saif.features) < count and len(saif.features) in [len(one["features"]) for one in found.values()]:
            break
        steerings = [pushed(saif.direction, share * used.norm) for share in SHARES]
        found[str(len(saif.features))] = {
            "features": saif.features,
            "sensitivity": [round(one, 2) for one in saif.sensitivity],
            **_tested(fluency, trials, steerings),
        }
    return found


def _random(fluency: Fluency, dictionary: SparseDictionary, used: Usage, trials: Mapping[str, Trials]) -> Result:
    """The fewest and the most features drawn at random, at their maxima, others at each length."""
    found: Result = {}
    for count in (COUNTS[0], COUNTS[-1]):
        drawn = [random_features(used, count, seed=SEED + at) for at in range(len(SHARES))]
        sums = [combined_direction(dictionary, some, used.maximum[some], used, "random") for some in drawn]
        steerings = [pushed(one, share * used.norm) for one, share in zip(sums, SHARES, strict=True)]
        found[str(count)] = _tested(fluency, trials, steerings)
    return found


def _tested(fluency: Fluency, trials: Mapping[str, Trials], steerings: Sequence[Steering]) -> Result:
    """The length whose answers follow fluently the most often, on other prompts."""
    adapter = fluency.study.adapter
    tried = trials["validation"].run_each(adapter, steerings)
    scores = [sum(rated(fluency, trials["validation"], one)["follows fluently"]) for one in tried]
    best = best_of({"all": scores})["all"]
    made = trials["test"].run(adapter, steerings[best])
    told = rated(fluency, trials["test"], made)
    return {
        "share of the norm": SHARES[best],
        "sea": json_of(mean_score([float(WORD.matches(str(one.output))) for one in made.samples])),
        "sea or ocean": json_of(mean_score(told["follows"])),
        "sea or ocean, fluently": json_of(mean_score(told["follows fluently"])),
    }
