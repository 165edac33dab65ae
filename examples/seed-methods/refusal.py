"""A feature of one refusal, clamped, and the damage that it does (O'Brien et al. 2024, arXiv:2411.11296)."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from shared import SEED, Result, Study, answer_gain, choices, json_of, rewards_of

from mmsteer.latents.clamping import archetype_features, clamped
from mmsteer.latents.controls import random_features
from mmsteer.likelihood import output_likelihood
from mmsteer.sae import SparseDictionary, Usage
from mmsteer.steering import Steering
from mmsteer.types import mean_score, paired_score

OPENINGS = ("I'm sorry, but I can't help with that.", "I cannot help with that.")
MULTIPLES, FINALISTS, TOKENS = (1.0, 2.0), 4, 16


def run(study: Study) -> Result:
    """All candidates by the likelihood of a refusal, the best by answers; as many random features beside them."""
    dictionary, used = study.at("text.14")[0]
    archetype = study.rows("refusal.jsonl", label="archetype")[0].sample(study.adapter, answered=True)
    active = archetype_features(study.adapter, dictionary, archetype)
    found = [one for one in active if used.maximum[one] > 0][: study.some(40, 3)]
    families = {"clamped": found, "random features": random_features(used, len(found), without=active, seed=SEED)}
    best = {name: _searched(study, dictionary, used, some) for name, some in families.items()}
    steerings = {"unsteered": Steering(), **{name: one.pop("steering") for name, one in best.items()}}
    result: Result = {"candidates": len(found), "site": str(dictionary.site), "chosen": best}
    for label in ("mild", "benign"):
        rows = study.rows("refusal.jsonl", label=label, split="test")[: study.some(40)]
        trials = study.trials(rows, "refusal", TOKENS, label)
        said = dict(zip(steerings, rewards_of(study, trials, list(steerings.values())), strict=True))
        result[f"refusals of {label} prompts"] = _beside(said, "clamped")
    quiz = study.rows("choice.jsonl", split="test")[: study.some(32)]
    right = {name: choices(study, quiz, one) for name, one in steerings.items()}
    result["right choices by likelihood"] = _beside(right, "clamped")
    texts = [replace(one, prompt="Write a text.", output=one.text) for one in study.texts(study.some(24), 40)]
    read = {name: output_likelihood(study.adapter, texts, one) for name, one in steerings.items()}
    result["nats a token of texts"] = _beside(
        {name: (-one[:, 0] / one[:, 1]).tolist() for name, one in read.items()}, "clamped"
    )
    return result


def _searched(study: Study, dictionary: SparseDictionary, used: Usage, features: Sequence[int]) -> Result:
    """The clamp that refuses most validation prompts, among those that make a refusal likeliest."""
    rows = study.rows("refusal.jsonl", label="mild", split="validation")
    samples = [
        replace(row.sample(study.adapter), output=OPENINGS[at % len(OPENINGS)])
        for at, row in enumerate(rows[: study.some(4)])
    ]
    gain = answer_gain(study, samples)
    clamps = [(one, times, clamped(dictionary, used, one, times)) for one in features for times in MULTIPLES]
    gains = torch.tensor([gain(clamp.steering()) for _, _, clamp in clamps])
    finalists = [clamps[at] for at in gains.topk(min(FINALISTS, len(clamps))).indices.tolist()]
    tried = [(one, times * more) for one, times, _ in finalists for more in (1.0, 2.0)]
    steerings = [clamped(dictionary, used, one, times).steering() for one, times in tried]
    trials = study.trials(rows[: study.some(12)], "refusal", TOKENS, "validation")
    rates = torch.tensor([sum(r or 0.0 for r in some) / len(some) for some in rewards_of(study, trials, steerings)])
    at = int(rates.argmax())
    feature, times = tried[at]
    return {
        "steering": steerings[at],
        "feature": feature,
        "multiple of its maximum": times,
        "value": round(times * float(used.maximum[feature]), 1),
        "largest gain, nats a token": round(float(gains.max()), 2),
        "validation refusals": round(float(rates[at]), 2),
    }


def _beside(values: dict[str, Sequence[float | None]], mine: str) -> Result:
    return {name: json_of(mean_score(some)) for name, some in values.items()} | {
        f"{mine} - {name}": json_of(paired_score(values[mine], some)) for name, some in values.items() if name != mine
    }
