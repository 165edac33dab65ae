"""Features that go with right answers, added (Cho, Wu and Koshiyama 2025, arXiv:2508.12535)."""

import zlib
from collections.abc import Sequence
from dataclasses import replace

from shared import SEED, Result, Study, choices, means, searched

from mmsteer.errors import DictionaryError
from mmsteer.latents.controls import added, twin
from mmsteer.latents.corrsteer import CorrSteer, run_corrsteer
from mmsteer.latents.side_effects import side_effects
from mmsteer.latents.trials import OUTPUT, Trials
from mmsteer.steering import Steering
from mmsteer.types import Sample

MULTIPLES, TOKENS = (1.0, 4.0), 8


def run(study: Study) -> Result:
    """Right answers to questions with options, written out; an answer that names no option is wrong here."""
    sizes = {"training": study.some(48, 12), "validation": study.some(24, 4), "test": study.some(48, 4)}
    asked = {
        split: _strict(study.trials(study.rows("choice.jsonl", split=split)[:n], "choice", TOKENS, split))
        for split, n in sizes.items()
    }
    training = _once(study, asked["training"])
    chance = replace(training, reward=lambda sample: float(zlib.crc32(sample.id.encode()) % 2))
    families: dict[str, list[Steering]] = {}
    told: Result = {}
    for name, trials in (("CorrSteer", training), ("random rewards", chance)):
        for variant in ("S", "A"):
            try:
                found = run_corrsteer(study.adapter, [one for one, _ in study.bound], trials, variant=variant)
            except DictionaryError as error:
                told[f"{name}-{variant}"] = str(error)
                continue
            told[f"{name}-{variant}"] = [(str(one.site), one.feature, round(one.correlation, 2)) for one in found.kept]
            families.setdefault(name, []).extend(added(found.directions, OUTPUT, times) for times in MULTIPLES)
            if name == "CorrSteer":
                families.setdefault("random features", []).extend(_twins(study, found))
    if "CorrSteer" not in families:
        return {"features": told}
    size = min(map(len, families.values()))
    families = {name: some[:size] for name, some in families.items()}
    chosen, rewards, best = searched(study, families, asked["validation"], [asked["test"]])
    right = rewards["test"]
    quiz = study.rows("choice.jsonl", split="test")[: study.some(32)]
    likeliest = {name: choices(study, quiz, one) for name, one in best.items() if name in ("unsteered", "CorrSteer")}
    return {
        "features": told,
        "chosen": chosen,
        "steerings": {family: len(some) for family, some in families.items()},
        "right": means(right, "CorrSteer"),
        "side-effect ratio": {
            name: round(side_effects(right["unsteered"], some).ratio, 3) for name, some in right.items()
        },
        "right by likelihood": means(likeliest, "CorrSteer"),
    }


def _strict(trials: Trials) -> Trials:
    return replace(trials, reward=lambda sample: trials.reward(sample) or 0.0)


def _once(study: Study, trials: Trials) -> Trials:
    """The same trials, answered unsteered once for all variants."""
    made = {one.id: one for one in trials.run(study.adapter).samples}

    def answered(prompts: Sequence[Sample]) -> list[Sample]:
        return [made[one.id] for one in prompts]

    return replace(trials, generate=answered)


def _twins(study: Study, found: CorrSteer) -> list[Steering]:
    known = {one.site: (one, used) for one, used in study.bound}
    sums = []
    for at in range(len(MULTIPLES)):
        drawn = [
            twin(known[one.site][0], one.direction, [one.feature], known[one.site][1], SEED + at) for one in found.kept
        ]
        sums.append(added(drawn, OUTPUT, MULTIPLES[at]))
    return sums
