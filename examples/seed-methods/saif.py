"""Features that an instruction switches on, added where it is not said (He et al. 2025, arXiv:2502.11356).

The best of each family is chosen twice: by the answers that follow the instruction, as in the paper, and by those that
follow it and are fluent.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace

from fluency import chosen_twice, fluency_of
from shared import SEED, Result, Study, json_of, pushed

from mmsteer.errors import DictionaryError
from mmsteer.latents.controls import random_features
from mmsteer.latents.rows import row_pairs
from mmsteer.latents.saif import run_saif
from mmsteer.sae import SparseDictionary, Usage, combined_direction, natural_strength
from mmsteer.steering import Steering
from mmsteer.types import Direction, Sample, mean_score, random_direction

INSTRUCTIONS = {
    "spanish": "instruction:language=es",
    "uppercase": "instruction:uppercase",
    "short": "instruction:max_words=12",
    "list": r"regex:^(?:[-*•]|1[.)])\s",
    "sea": r"regex:(?i)\b(seas?|oceans?)\b",
}
LATENTS, SHARES, LEAST, TOKENS = (1, 15), (0.15, 0.3, 0.6, 1.2), 0.3, 20


def run(study: Study) -> Result:
    """Answers that follow each instruction: when it is said, unsteered, by its features, and by controls as many."""
    found: Result = {}
    for name, reward in INSTRUCTIONS.items():
        found[name] = _instruction(study, name, reward)
        print(name, found[name], file=sys.stderr, flush=True)
    return found


def _instruction(study: Study, name: str, reward: str) -> Result:
    rows = study.rows(f"{name}.jsonl", split="training")[: study.some(48, 4)]
    sides = [[row.sample(study.adapter) for row in side] for side in row_pairs(rows, "instructed")]
    families: dict[str, list[Steering]] = {}
    told: list[Result] = []
    for dictionary, used in study.at("text.16", "text.25"):
        for k in LATENTS:
            made = _pushes(study, dictionary, used, sides, k)
            told.append(made[1])
            for family, some in made[0].items():
                families.setdefault(family, []).extend(some)
    if "SAIF" not in families:
        return {"features": told}
    held, test = ([row for row in study.rows("plain.jsonl", split=split)] for split in ("validation", "test"))
    asked = {"validation": held[: study.some(8)], "test": test[: study.some(44)]}
    trials = {side: study.trials(some, reward, TOKENS, side) for side, some in asked.items()}
    instruction = str(sides[0][0].prompt).removeprefix(str(sides[1][0].prompt)).strip()
    fluency = fluency_of(study, trials["validation"], lambda one: replace(one, prompt=f"{one.prompt} {instruction}"))
    said = replace(trials["test"], prompts=tuple(fluency.said(one) for one in trials["test"].prompts))
    wanted = said.run(study.adapter).rewards
    return {
        "when it is said": json_of(mean_score(wanted)),
        "most nats a token": round(fluency.limit, 2),
        "steerings": len(families["SAIF"]),
        "features": told,
        **chosen_twice(fluency, families, trials, "SAIF"),
    }


def _pushes(
    study: Study, dictionary: SparseDictionary, used: Usage, sides: Sequence[Sequence[Sample]], k: int
) -> tuple[Mapping[str, list[Steering]], Result]:
    """The sum of k features at several lengths, and as many sums of random features and random directions."""
    try:
        found = run_saif(study.adapter, dictionary, *sides, k=k, least=LEAST)
    except DictionaryError:
        return {}, {"site": str(dictionary.site), "features": []}
    lengths = [share * used.norm for share in SHARES]
    count = len(found.features)
    drawn = [
        combined_direction(
            dictionary,
            (some := random_features(used, count, without=found.features, seed=SEED + at)),
            used.maximum[some],
            used,
            f"random:{at}",
        )
        for at in range(len(lengths))
    ]
    noise = [random_direction(found.direction, SEED + at) for at in range(len(lengths))]

    def at_lengths(directions: Sequence[Direction]) -> list[Steering]:
        return [pushed(one, length) for one, length in zip(directions, lengths, strict=True)]

    made = {
        "SAIF": at_lengths([found.direction] * len(lengths)),
        "random features": at_lengths(drawn),
        "random directions": at_lengths(noise),
    }
    natural = natural_strength(found.direction) / used.norm
    return made, {
        "site": str(dictionary.site),
        "features": found.features,
        "natural share of the norm": round(natural, 3),
    }
