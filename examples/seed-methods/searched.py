"""Seed methods on a language model, each beside random features and directions that are searched as hard.

python examples/seed-methods/searched.py clamp|saif|corrsteer DICTIONARY [rows.jsonl reward] [--small]
"""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

import mmsteer
from mmsteer.adapters import AnyAdapter
from mmsteer.bundled.dictionary import open_dictionary
from mmsteer.eval.text import parse_reward
from mmsteer.latents.bound import BoundDictionary, bind
from mmsteer.latents.clamping import archetype_features, clamped
from mmsteer.latents.controls import random_features
from mmsteer.latents.corrsteer import run_corrsteer
from mmsteer.latents.equal_search import search_equally
from mmsteer.latents.rows import row_pairs, row_trials
from mmsteer.latents.saif import run_saif
from mmsteer.latents.trials import OUTPUT, Trials
from mmsteer.sae import feature_direction, natural_strength
from mmsteer.steering import Attribute, Steering
from mmsteer.tasks import Row
from mmsteer.types import Direction, Sampling, random_direction

HERE = Path(__file__).parent
SEED, DRAWN = 0, 6
Study = tuple[dict[str, Any], dict[str, list[Steering]], Trials, list[Trials]]
"""What was found, steerings to choose from, prompts to choose by, and prompts to test on."""


def pushed(direction: Direction, strength: float) -> Steering:
    """A direction, added with an absolute strength where output is predicted."""
    return Steering((Attribute(direction, strength, positions=OUTPUT, unit="absolute"),))


def drawn(
    bound: BoundDictionary, like: Direction, strengths: Sequence[float], without: Sequence[int]
) -> dict[str, list[Steering]]:
    """Random features and random directions, as many and as strong as the steerings of a method."""
    features = random_features(bound.used, len(strengths), without=without, seed=SEED)
    rows = [feature_direction(bound.dictionary, one, bound.used) for one in features]
    return {
        "random features": [pushed(one, s) for one, s in zip(rows, strengths, strict=True)],
        "random directions": [pushed(random_direction(like, at), s) for at, s in enumerate(strengths)],
    }


def trials(adapter: AnyAdapter, rows: Sequence[Row], reward: str, tokens: int, name: str) -> Trials:
    """Rows, answered greedily and judged by a named reward."""
    return row_trials(name, rows, adapter, Sampling(tokens, temperature=0.0), parse_reward(reward), seed=SEED)


def clamp(adapter: AnyAdapter, bound: BoundDictionary, n: int, tokens: int) -> Study:
    """Features active in one refusal, clamped; refusals of mild prompts, of benign ones, and right choices."""
    rows = mmsteer.read_rows(HERE / "refusal.jsonl")
    of = {label: [row for row in rows if row.label == label] for label in ("archetype", "mild", "benign")}
    held = [row for row in of["mild"] if row.split == "validation"][:n]
    shown = of["archetype"][0].sample(adapter, answered=True)
    found = [one for one in archetype_features(adapter, bound.dictionary, shown) if bound.used.maximum[one] > 0][:DRAWN]
    others = random_features(bound.used, len(found), without=found, seed=SEED)
    families = {
        name: [clamped(bound.dictionary, bound.used, one, times).steering() for one in some for times in (0.5, 1.0)]
        for name, some in (("clamped", found), ("random features", others))
    }
    test = [
        trials(adapter, [row for row in of[label] if row.split == "test"][: 2 * n], "refusal", tokens, label)
        for label in ("mild", "benign")
    ]
    quiz = mmsteer.read_rows(HERE / "choice.jsonl", split="test")[: 4 * n]
    test.append(trials(adapter, quiz, "choice", 8, "choice"))
    return {"features": found}, families, trials(adapter, held, "refusal", tokens, "validation"), test


def saif(adapter: AnyAdapter, bound: BoundDictionary, n: int, tokens: int, file: str, reward: str) -> Study:
    """Features that an instruction switches on, where it is not said."""
    rows = mmsteer.read_rows(HERE / file)
    learned = [row for row in rows if row.split == "training"][: 12 * n]
    sides = [[row.sample(adapter) for row in side] for side in row_pairs(learned, "instructed")]
    found = {k: run_saif(adapter, bound.dictionary, *sides, k=k, least=0.3) for k in (1, 5, 15)}
    directions = [one.direction for one in found.values()]
    options = [(one, times * natural_strength(one)) for one in directions for times in (1.0, 2.0)]
    strengths = [s for _, s in options]
    families = {"SAIF": [pushed(*one) for one in options]} | drawn(bound, options[0][0], strengths, found[15].features)
    held, test = ([row for row in rows if row.split == split][:m] for split, m in (("validation", n), ("test", 2 * n)))
    return (
        {"features": found[15].features, "strengths": strengths},
        families,
        trials(adapter, held, reward, tokens, "validation"),
        [trials(adapter, test, reward, tokens, "test")],
    )


def corrsteer(adapter: AnyAdapter, bound: BoundDictionary, n: int, tokens: int) -> Study:
    """The feature that goes with right choices, at multiples of its coefficient."""
    of = {split: mmsteer.read_rows(HERE / "choice.jsonl", split=split) for split in ("training", "validation", "test")}
    asked = trials(adapter, of["training"][: 6 * n], "choice", 8, "training")
    found = run_corrsteer(adapter, [bound.dictionary], asked, variant="S")
    [direction], [one] = found.directions, found.candidates
    strengths = [times * natural_strength(direction) for times in (0.5, 1.0, 1.5, 2.0, 3.0, 4.0)]
    families = {"CorrSteer": [pushed(direction, s) for s in strengths]}
    families |= drawn(bound, direction, strengths, [one.feature])
    held, test = (trials(adapter, of[split][: 6 * n], "choice", 8, split) for split in ("validation", "test"))
    return {"feature": one.feature, "r": one.correlation}, families, held, [test]


def main(method: str, dictionary: str, *more: str) -> None:
    """Search one method and its controls, and print what was found."""
    small, more = "--small" in more, [one for one in more if one != "--small"]
    torch.set_num_threads(1)
    start = time.time()
    adapter = mmsteer.load("bundled:text")
    corpus = [row.sample(adapter, answered=True) for row in mmsteer.read_rows(HERE / "corpus.jsonl")]
    bound = bind(open_dictionary(dictionary), adapter, corpus[: 4 if small else 24])
    make = {"clamp": clamp, "saif": saif, "corrsteer": corrsteer}[method]
    told, families, validation, test = make(adapter, bound, 2 if small else 8, 6 if small else 24, *more)
    found = search_equally(adapter, families, validation, test)
    result = {
        "method": method,
        "dictionary": Path(dictionary).name,
        "told": told,
        "chosen": dict(found.chosen),
        "validation": dict(found.validation),
        "test": found.test.table(),
        "seconds": round(time.time() - start),
    }
    print(json.dumps(result, indent=1, default=list))


if __name__ == "__main__":
    main(*sys.argv[1:])
