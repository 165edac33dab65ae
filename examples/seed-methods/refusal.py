"""A feature of one refusal, clamped, and the damage that it does (O'Brien et al. 2024, arXiv:2411.11296)."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from shared import SEED, Result, Study, answer_gain, choices, means, searched

from mmsteer.latents.clamping import Clamped, archetype_features, clamped
from mmsteer.latents.controls import random_features
from mmsteer.likelihood import output_likelihood
from mmsteer.sae import SparseDictionary, Usage

OPENINGS = ("I'm sorry, but I can't help with that.", "I cannot help with that.")
MULTIPLES, FINALISTS, TOKENS = (1.0, 2.0), 4, 16


def run(study: Study) -> Result:
    """All candidates by the likelihood of a refusal, the best by answers; as many random features beside them."""
    dictionary, used = study.at("text.14")[0]
    archetype = study.rows("refusal.jsonl", label="archetype")[0].sample(study.adapter, answered=True)
    active = archetype_features(study.adapter, dictionary, archetype)
    found = [one for one in active if used.maximum[one] > 0][: study.some(40, 2)]
    families = {"clamped": found, "random features": random_features(used, len(found), without=active, seed=SEED)}
    finals = {name: _finalists(study, dictionary, used, some) for name, some in families.items()}
    held = study.rows("refusal.jsonl", label="mild", split="validation")[: study.some(12)]
    of = {
        label: study.rows("refusal.jsonl", label=label, split="test")[: study.some(40)] for label in ("mild", "benign")
    }
    chosen, rewards, steerings = searched(
        study,
        {name: [one.steering() for one in some] for name, some in finals.items()},
        study.trials(held, "refusal", TOKENS, "validation"),
        [study.trials(rows, "refusal", TOKENS, label) for label, rows in of.items()],
    )
    best = {name: finals[name][at] for name, (at, _) in chosen.items()}
    result: Result = {
        "candidates": len(found),
        "site": str(dictionary.site),
        "chosen": {name: [one.feature, round(one.value, 1), chosen[name][1]] for name, one in best.items()},
        **{f"refusals of {label} prompts": means(some, "clamped") for label, some in rewards.items()},
    }
    quiz = study.rows("choice.jsonl", split="test")[: study.some(32)]
    right = {name: choices(study, quiz, one) for name, one in steerings.items()}
    result["right choices by likelihood"] = means(right, "clamped")
    texts = [replace(one, prompt="Write a text.", output=one.text) for one in study.texts(study.some(24), 40)]
    read = {name: output_likelihood(study.adapter, texts, one) for name, one in steerings.items()}
    result["nats a token of texts"] = means(
        {name: (-one[:, 0] / one[:, 1]).tolist() for name, one in read.items()}, "clamped"
    )
    return result


def _finalists(study: Study, dictionary: SparseDictionary, used: Usage, features: Sequence[int]) -> list[Clamped]:
    """The clamps that make a refusal likeliest, each also at twice its value."""
    rows = study.rows("refusal.jsonl", label="mild", split="validation")[: study.some(4)]
    samples = [replace(row.sample(study.adapter), output=OPENINGS[at % len(OPENINGS)]) for at, row in enumerate(rows)]
    gain = answer_gain(study, samples)
    tried = [(one, times) for one in features for times in MULTIPLES]
    gains = torch.tensor([gain(clamped(dictionary, used, *one).steering()) for one in tried])
    best = [tried[at] for at in gains.topk(FINALISTS).indices.tolist()]
    return [clamped(dictionary, used, one, times * more) for one, times in best for more in (1.0, 2.0)]
