"""Questions that are answered alike in other words (LF-Steering, Yang et al. 2025, arXiv:2501.11036)."""

import statistics
import sys
from collections.abc import Mapping, Sequence
from itertools import combinations

from shared import SEED, Result, Study, means, pushed

from mmsteer.latents.controls import random_features
from mmsteer.latents.lf import LatentFeatures, run_lf
from mmsteer.latents.pooling import Pooled, pooled
from mmsteer.latents.trials import UNSTEERED
from mmsteer.sae import SparseDictionary, feature_direction
from mmsteer.steering import Attribute, Gate, Steering, steer
from mmsteer.tasks import Row
from mmsteer.types import Positions, Score, mean_score, random_direction

FEATURES, ALPHAS, BATCH, GROUPS = (10, 50), (3.0, 12.0), 40, {"training": 32, "validation": 12, "test": 28}
LAST = Positions("last")
LEAST = 6
"""Prompts a side, from which a layer can be chosen on prompts of its own."""
Groups = Mapping[str, list[Row]]
Answers = Mapping[str, list[str]]


def run(study: Study) -> Result:
    """Accuracy and agreement over wordings: unsteered, by features of consistent answers, and by controls as many.

    Once with features of groups that are right in all wordings, as in the paper, and once with features of right
    wordings in groups of which some are wrong, which are many more.
    """
    groups = {side: _groups(study, side, study.some(count, 4)) for side, count in GROUPS.items()}
    said = answered(study, groups["training"])
    whole: dict[bool, list[Row]] = {True: [], False: []}
    mixed: dict[bool, list[Row]] = {True: [], False: []}
    for name, rows in groups["training"].items():
        right = _right(rows, said[name])
        whole[all(right)].extend(rows)
        for row, one in zip(rows, right, strict=True):
            mixed[one].extend([row] if len(set(right)) > 1 else [])
    return {name: _steered(study, groups, sides) for name, sides in {"groups": whole, "wordings": mixed}.items()}


def _steered(study: Study, groups: Mapping[str, Groups], sides: Mapping[bool, Sequence[Row]]) -> Result:
    told: Result = {"wanted": len(sides[True]), "unwanted": len(sides[False])}
    if min(told.values()) < LEAST:
        return told
    wanted, unwanted = ([row.sample(study.adapter) for row in sides[side]] for side in (True, False))
    dictionaries = [one for one, _ in study.bound]
    found = run_lf(study.adapter, dictionaries, wanted, unwanted, k=max(FEATURES), alpha=1.0, positions=LAST)
    dictionary = next(one for one in dictionaries if one.located(study.adapter) == found.site)
    active = pooled(study.adapter, dictionary, [*wanted, *unwanted][::4], positions=LAST)
    families = _families(study, dictionary, found, active)
    chosen = _chosen(study, families, groups["validation"])
    tests = {"unsteered": UNSTEERED} | {name: families[name][at] for name, (at, _) in chosen.items()}
    answers = {name: answered(study, groups["test"], one) for name, one in tests.items()}
    return told | {
        "AUC by layer": {str(site): round(score, 3) for site, score in found.scores.items()},
        "site": str(found.site),
        "steerings": len(families["LF-Steering"]),
        "chosen": chosen,
        **_compared(groups["test"], answers),
    }


def answered(study: Study, groups: Groups, steering: Steering = UNSTEERED) -> dict[str, list[str]]:
    """The likelier of a question's options, by the first token of each, after every wording of every group."""
    rows = [row for some in groups.values() for row in some]
    said: dict[str, list[str]] = {name: [] for name in groups}
    for start in range(0, len(rows), BATCH):
        some = rows[start : start + BATCH]
        reading = study.adapter.reading([row.sample(study.adapter) for row in some])
        with steer(study.adapter, steering) as session, session.call(reading.call):
            logits = study.adapter.read(reading)[:, -1, 0]
        for row, each in zip(some, logits, strict=True):
            said[str(row.group)].append(
                max(row.options, key=lambda one, each=each: float(each[study.tokens(" " + one)[0]]))
            )
    return said


def _groups(study: Study, split: str, count: int) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in study.rows("paraphrases.jsonl", split=split):
        found.setdefault(str(row.group), []).append(row)
    step = max(1, len(found) // count)
    return dict(list(found.items())[::step][:count])


def _right(rows: Sequence[Row], said: Sequence[str]) -> list[bool]:
    return [row.answer == one for row, one in zip(rows, said, strict=True)]


def _families(
    study: Study, dictionary: SparseDictionary, found: LatentFeatures, active: Pooled
) -> dict[str, list[Steering]]:
    """The steerings that are searched: as many, with as many features, biases and lengths, of each kind."""
    families: dict[str, list[Steering]] = {"LF-Steering": [], "random features": [], "random directions": []}
    settings = [(min(k, len(found.features)), alpha) for k in FEATURES for alpha in ALPHAS]
    for at, (k, alpha) in enumerate(settings):
        drawn = random_features(active.used, k, seed=SEED + at)
        mine = _biased(dictionary, found.features[:k], found.biases, active, alpha)
        families["LF-Steering"].append(mine)
        families["random features"].append(_biased(dictionary, drawn, found.biases, active, alpha))
        length = sum(one.strength**2 for one in mine.attributes) ** 0.5
        noise = random_direction(found.directions[0], SEED + at)
        families["random directions"].append(pushed(noise, length, LAST))
    return families


def _biased(
    dictionary: SparseDictionary, features: Sequence[int], biases: Sequence[float], active: Pooled, alpha: float
) -> Steering:
    """What is added to features where they are active."""
    attributes = []
    for feature, bias in zip(features, biases, strict=False):
        one = feature_direction(dictionary, feature, active.used)
        length = alpha * bias * float(dictionary.decoder[feature].norm())
        attributes.append(Attribute(one, length, positions=LAST, unit="absolute", gate=Gate(one, side="active")))
    return Steering(tuple(attributes))


def _chosen(study: Study, families: Mapping[str, Sequence[Steering]], groups: Groups) -> dict[str, tuple[int, float]]:
    """Of each family the steering with most right answers over all wordings."""
    chosen: dict[str, tuple[int, float]] = {}
    for name, steerings in families.items():
        rates = [_accuracy(groups, answered(study, groups, one)).value or 0.0 for one in steerings]
        best = max(range(len(rates)), key=rates.__getitem__)
        chosen[name] = best, round(rates[best], 3)
        print(name, [round(one, 3) for one in rates], file=sys.stderr, flush=True)
    return chosen


def _accuracy(groups: Groups, said: Answers) -> Score:
    return mean_score([statistics.mean(_right(rows, said[name])) for name, rows in groups.items()])


def _compared(groups: Groups, answers: Mapping[str, Answers]) -> Result:
    """By group: right answers, pairs of wordings that are answered alike, and whether all wordings are right."""
    measures = {
        "right": lambda rows, said: statistics.mean(_right(rows, said)),
        "agreement": lambda rows, said: statistics.mean(a == b for a, b in combinations(said, 2)),
        "right in all wordings": lambda rows, said: float(all(_right(rows, said))),
    }
    found: Result = {}
    for measure, read in measures.items():
        each = {name: [read(rows, said[group]) for group, rows in groups.items()] for name, said in answers.items()}
        found[measure] = means(each, "LF-Steering")
    found["by wording"] = {name: _by_wording(groups, said) for name, said in answers.items()}
    return found


def _by_wording(groups: Groups, said: Answers) -> Result:
    """Accuracy of each wording, their mean and their standard deviation."""
    wordings: dict[str, list[bool]] = {}
    for name, rows in groups.items():
        for row, right in zip(rows, _right(rows, said[name]), strict=True):
            wordings.setdefault(f"{name.split('-')[0]} {row.label}", []).append(right)
    rates = [statistics.mean(some) for some in wordings.values()]
    return {
        "mean": round(statistics.mean(rates), 3),
        "SD": round(statistics.pstdev(rates), 3),
        "each": dict(zip(wordings, [round(one, 2) for one in rates], strict=True)),
    }
