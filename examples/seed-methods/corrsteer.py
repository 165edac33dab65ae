"""Features that go with right answers, added (Cho, Wu and Koshiyama 2025, arXiv:2508.12535)."""

import sys
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from fluency import chosen_twice, fluency_of
from shared import SEED, Result, Study, choices, json_of, means, searched

from mmsteer.errors import DictionaryError
from mmsteer.latents.controls import added, twin
from mmsteer.latents.corrsteer import VARIANTS, CorrSteer, run_corrsteer
from mmsteer.latents.side_effects import side_effects
from mmsteer.latents.trials import Trials
from mmsteer.steering import Steering
from mmsteer.types import OUTPUT, Sample, mean_score

MULTIPLES, SAID_MULTIPLES = (1.0, 4.0), (1.0, 2.0, 4.0)
"""Of the features' means, for multiple choice and for instructions."""
SAID = {
    "uppercase": ("instruction:uppercase", "Use only uppercase letters."),
    "short": ("instruction:max_words=12", "Use at most ten words."),
}
"""Instructions by the name of their rows: a reward, and the words in which the test gives the instruction."""


def run(study: Study) -> Result:
    """Multiple choice, and two instructions that are said and often not followed."""
    found: Result = {"choice": _quiz(study)}
    for name in SAID:
        found[name] = instruction(study, name)
        print(name, found[name], file=sys.stderr, flush=True)
    return found


def _choices(study: Study) -> dict[str, Trials]:
    """Right answers to questions with options, written out; an answer that names no option is wrong here."""
    sizes = {"training": study.some(48, 12), "validation": study.some(24, 4), "test": study.some(48, 4)}
    return {
        split: _strict(study.trials(study.rows("choice.jsonl", split=split)[:n], "choice", 8, split))
        for split, n in sizes.items()
    }


def _instructed(study: Study, name: str, reward: str, words: str) -> dict[str, Trials]:
    """Prompts with an instruction; those of validation and test are others, with the instruction in other words."""
    learned = study.rows(f"{name}.jsonl", label="instructed", split="training")[: study.some(72, 8)]
    parts = {"training": learned}
    for split, n in (("validation", study.some(12, 4)), ("test", study.some(48, 4))):
        rows = study.rows("plain.jsonl", split=split)[:n]
        parts[split] = [replace(row, prompt=f"{row.prompt} {words}") for row in rows]
    return {split: study.trials(rows, reward, 20, split) for split, rows in parts.items()}


def _quiz(study: Study) -> Result:
    """Multiple choice: the best of each family by right answers."""
    asked = _choices(study)
    families, found = _families(study, asked, MULTIPLES)
    if not families:
        return found
    chosen, rewards, steerings = searched(study, families, asked["validation"], [asked["test"]])
    right = rewards["test"]
    quiz = study.rows("choice.jsonl", split="test")[: study.some(32)]
    likely = {name: choices(study, quiz, one) for name, one in steerings.items() if name != "random features"}
    return found | {
        "chosen": chosen,
        "right": means(right, "CorrSteer"),
        "side-effect ratio": {
            name: round(side_effects(right["unsteered"], some).ratio, 3) for name, some in right.items()
        },
        "right by likelihood": means(likely, "CorrSteer"),
    }


def instruction(study: Study, name: str) -> Result:
    """An instruction that is said: the best of each family by answers that follow, and by those that do so fluently."""
    asked = _instructed(study, name, *SAID[name])
    families, found = _families(study, asked, SAID_MULTIPLES)
    if not families:
        return found
    fluency = fluency_of(study, asked["validation"], lambda one: one)
    return found | {
        "most nats a token": round(fluency.limit, 2),
        **chosen_twice(fluency, families, asked, "CorrSteer"),
    }


def _families(
    study: Study, asked: Mapping[str, Trials], multiples: Sequence[float]
) -> tuple[dict[str, list[Steering]], Result]:
    """Every variant at several multiples beside random features as strong and features of random rewards."""
    training = _once(study, asked["training"])
    chance = replace(training, reward=lambda sample: float(zlib.crc32(sample.id.encode()) % 2))
    families: dict[str, list[Steering]] = {}
    told: Result = {}
    for name, trials in (("CorrSteer", training), ("random rewards", chance)):
        for variant in VARIANTS:
            validation = asked["validation"] if variant == "P" else None
            try:
                found = run_corrsteer(
                    study.adapter, [one for one, _ in study.bound], trials, variant=variant, validation=validation
                )
            except DictionaryError as error:
                told[f"{name}-{variant}"] = str(error)
                continue
            told[f"{name}-{variant}"] = [(str(one.site), one.feature, round(one.correlation, 2)) for one in found.kept]
            if not found.kept:
                continue
            families.setdefault(name, []).extend(added(found.directions, OUTPUT, times) for times in multiples)
            if name == "CorrSteer":
                families.setdefault("random features", []).extend(_twins(study, found, multiples))
    if "CorrSteer" not in families:
        return {}, {"features": told}
    size = min(map(len, families.values()))
    return {name: some[:size] for name, some in families.items()}, {
        "right in training": json_of(mean_score(training.run(study.adapter).rewards)),
        "features": told,
        "as many steerings each": size,
    }


def _strict(trials: Trials) -> Trials:
    return replace(trials, reward=lambda sample: trials.reward(sample) or 0.0)


def _once(study: Study, trials: Trials) -> Trials:
    """The same trials, answered unsteered once for all variants."""
    made = {one.id: one for one in trials.run(study.adapter).samples}

    def answered(prompts: Sequence[Sample]) -> list[Sample]:
        return [made[one.id] for one in prompts]

    return replace(trials, generate=answered)


def _twins(study: Study, found: CorrSteer, multiples: Sequence[float]) -> list[Steering]:
    known = {one.site: (one, used) for one, used in study.bound}
    sums = []
    for at, times in enumerate(multiples):
        drawn = [
            twin(known[one.site][0], one.direction, [one.feature], known[one.site][1], SEED + at) for one in found.kept
        ]
        sums.append(added(drawn, OUTPUT, times))
    return sums
