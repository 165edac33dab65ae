"""Features of refusals, clamped, and the damage that they do (O'Brien et al. 2024, arXiv:2411.11296).

As in the paper one at a time, then several at once; each with and without a classifier of the prompt that gates it.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from prompt_gate import PromptGate, learned_gate
from shared import SEED, Result, Study, answer_gain, choices, json_of, means, searched

from mmsteer.latents.clamping import Clamped, archetype_features, clamped
from mmsteer.latents.controls import random_features
from mmsteer.likelihood import output_likelihood
from mmsteer.sae import SparseDictionary, Usage
from mmsteer.steering import Steering
from mmsteer.types import mean_score

OPENINGS = ("I'm sorry, but I can't help with that.", "I cannot help with that.")
MULTIPLES, FINALISTS, TOKENS = (1.0, 2.0), 4, 16
ABSOLUTE = (10.0, 12.0)
GATED = "clamped where the gate opens"
SEVERAL, SHARES = (2, 4, 8), (0.5, 1.0)
"""How many features are clamped at once, and at what share of the values that made a refusal likeliest for each."""


def run(study: Study) -> Result:
    """One feature of a middle layer, as in the paper; then several at once, in the middle and at the last layer."""
    [middle, *_], [last, *_] = study.at("text.14"), study.at("text.25")
    return {
        "one feature": _clamps(study, *middle, _one),
        "several features": _clamps(study, *middle, _several),
        "several features of the last layer": _clamps(study, *last, _several),
    }


def _clamps(study: Study, dictionary: SparseDictionary, used: Usage, made: "Finalists") -> Result:
    """All candidates by the likelihood of a refusal, the best by answers; as many random features beside them."""
    archetype = study.rows("refusal.jsonl", label="archetype")[0].sample(study.adapter, answered=True)
    active = archetype_features(study.adapter, dictionary, archetype)
    found = [one for one in active if used.maximum[one] > 0][: study.some(40, 2)]
    families = {"clamped": found, "random features": random_features(used, len(found), without=active, seed=SEED)}
    ranked = {name: _ranked(study, dictionary, used, some) for name, some in families.items()}
    finals = {name: made(some) for name, some in ranked.items()}
    result = {
        "candidates": len(found),
        "site": str(dictionary.site),
        **_tested(study, finals, _gate(study, dictionary)),
        "refusals of mild prompts at absolute values": _absolute(study, ranked["clamped"]),
    }
    print(result, file=sys.stderr, flush=True)
    return result


def _gate(study: Study, dictionary: SparseDictionary) -> PromptGate:
    """From prompts of either kind that neither choose nor test a clamp."""
    rows = (study.rows("refusal.jsonl", label=label, split="training") for label in ("mild", "benign"))
    asked = [[row.sample(study.adapter) for row in some] for some in rows]
    return learned_gate(study, dictionary.located(study.adapter), *asked)


def _tested(study: Study, finals: Mapping[str, Sequence["Told"]], gate: PromptGate) -> Result:
    """The best of each family by answers, what it refuses among other prompts, and the damage that it does."""
    held = study.rows("refusal.jsonl", label="mild", split="validation")[: study.some(12)]
    trials = {
        label: study.trials(
            study.rows("refusal.jsonl", label=label, split="test")[: study.some(40)], "refusal", TOKENS, label
        )
        for label in ("mild", "benign")
    }
    chosen, rewards, steerings = searched(
        study,
        {name: [steering for _, steering in some] for name, some in finals.items()},
        study.trials(held, "refusal", TOKENS, "validation"),
        list(trials.values()),
    )
    clamped = steerings["clamped"]
    gated = {label: {GATED: gate.rewards(some, clamped)} for label, some in trials.items()}
    shown = study.some(4)
    return {
        "chosen": {name: [finals[name][at][0], reward] for name, (at, reward) in chosen.items()},
        **{f"refusals of {label} prompts": means(some | gated[label], "clamped") for label, some in rewards.items()},
        **{f"gate opens for {label} prompts": _share(gate.opens(some.prompts)) for label, some in trials.items()},
        **_damage(study, steerings, gate),
        "answers": [str(one.output) for one in trials["mild"].run(study.adapter, clamped).samples[:shown]],
    }


def _absolute(study: Study, ranked: Sequence[Clamped]) -> Result:
    """The paper's values, for the feature that is ranked first and for several."""
    rows = study.rows("refusal.jsonl", label="mild", split="test")[: study.some(40)]
    mild = study.trials(rows, "refusal", TOKENS, "mild")
    tried = {
        f"{count} at {value:g}": _held([replace(one, value=value) for one in ranked[:count]])
        for count in (1, SEVERAL[1])
        for value in ABSOLUTE
    }
    made = zip(tried, mild.run_each(study.adapter, list(tried.values())), strict=True)
    return {name: json_of(mean_score(one.rewards)) for name, one in made}


def _share(opens: Sequence[bool]) -> Result:
    return json_of(mean_score([float(one) for one in opens]))


def _damage(study: Study, steerings: Mapping[str, Steering], gate: PromptGate) -> Result:
    """Right choices, and nats a token of texts that have nothing to do with refusals.

    Where the gate is shut the model is as it was, so what it is worth there is what the unsteered model is.
    """
    quiz = study.rows("choice.jsonl", split="test")[: study.some(32)]
    right = {name: choices(study, quiz, one) for name, one in steerings.items()}
    texts = [replace(one, prompt="Write a text.", output=one.text) for one in study.texts(study.some(24), 40)]
    read = {name: output_likelihood(study.adapter, texts, one) for name, one in steerings.items()}
    nats = {name: (-one[:, 0] / one[:, 1]).tolist() for name, one in read.items()}
    found: Result = {}
    asked = {"right choices by likelihood": [row.sample(study.adapter) for row in quiz], "nats a token of texts": texts}
    for (what, prompts), values in zip(asked.items(), (right, nats), strict=True):
        opens = gate.opens(prompts)
        sides = zip(opens, values["clamped"], values["unsteered"], strict=True)
        gated = {GATED: [held if opened else plain for opened, held, plain in sides]}
        found |= {what: means(values | gated, "clamped"), f"gate opens for {what}": _share(opens)}
    return found


def _ranked(study: Study, dictionary: SparseDictionary, used: Usage, features: Sequence[int]) -> list[Clamped]:
    """Every feature at the value that makes a refusal likelier, the best first."""
    rows = study.rows("refusal.jsonl", label="mild", split="validation")[: study.some(4)]
    samples = [replace(row.sample(study.adapter), output=OPENINGS[at % len(OPENINGS)]) for at, row in enumerate(rows)]
    gain = answer_gain(study, samples)
    tried = [clamped(dictionary, used, one, times) for one in features for times in MULTIPLES]
    gains = torch.tensor([gain(one.steering()) for one in tried])
    best: dict[int, Clamped] = {}
    for at in gains.argsort(descending=True).tolist():
        best.setdefault(tried[at].feature, tried[at])
    return list(best.values())


Told = tuple[str, Steering]
Finalists = Callable[[Sequence[Clamped]], list[Told]]


def _one(ranked: Sequence[Clamped]) -> list[Told]:
    """The best clamps, each also at twice its value."""
    return [_clamp([one], times) for one in ranked[:FINALISTS] for times in (1.0, 2.0)]


def _several(ranked: Sequence[Clamped]) -> list[Told]:
    """The best clamps at once."""
    return [_clamp(ranked[:count], share) for count in SEVERAL for share in SHARES]


def _clamp(some: Sequence[Clamped], times: float) -> Told:
    held = [replace(one, value=one.value * times) for one in some]
    return ", ".join(f"{one.feature} at {one.value:.1f}" for one in held), _held(held)


def _held(some: Sequence[Clamped]) -> Steering:
    return Steering(tuple(attribute for one in some for attribute in one.steering().attributes))
