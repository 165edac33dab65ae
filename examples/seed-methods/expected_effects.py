"""SAE-TS with effects that are computed and not drawn: what a target is expected to read in the next token.

Rollouts of a few tokens are seldom those that activate a feature, so that most of the effects that are measured in them
are 0. What a steered model expects of the next token, along texts that it made unsteered, has no such noise: the change
of every token's probability times the mean activation that the feature has at that token in other texts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from effects import Candidates, best_measured, difference, doses_at, fitted, made_for, try_vectors
from shared import ROWS, SEED, Result, Study, means
from torch import Tensor

from mmsteer.latents.effect_rollouts import Effects
from mmsteer.latents.effects import EffectModel, StateStatistics, probing_vectors
from mmsteer.latents.score_study import draw_features
from mmsteer.latents.token_states import TokenStates, token_states
from mmsteer.latents.trials import sampled
from mmsteer.layouts import layouts, tokens_of
from mmsteer.sae import SparseDictionary
from mmsteer.steering import Attribute, Steering, steer
from mmsteer.types import OUTPUT, Positions, Sample, Sampling

KL, TESTED, TOKENS, LEAST = 0.5, (1.0,), 12, 5
"""Nats when effects are measured and when vectors are tested, tokens of texts, and tokens that activate a target."""


@dataclass(frozen=True, eq=False)
class TokenTable:
    """What features read at each token of some texts.

    `tokens`: those that occur, (n,).
    `means`: mean activations at them, (n, features).
    `counts`: at how many tokens of the texts each feature is active, (features,).
    """

    tokens: Tensor
    means: Tensor
    counts: Tensor


def run(study: Study) -> Result:
    """For each target the vector made for it, beside its own row, the mean difference and the best of all measured."""
    dictionary, used = study.at("text.14")[0]
    site = dictionary.located(study.adapter)
    read = list(token_states(study.adapter, study.texts(study.some(128, 6), 40), site))
    table = token_table(dictionary, read)
    states = [one.states[one.pooled_over(Positions("all"))] for one in read]
    ground = StateStatistics(site, study.adapter.fingerprint, torch.cat(states))
    features = draw_features(used, study.some(240, 6), SEED) or list(range(6))
    vectors = probing_vectors(ground, dictionary, features, study.some(40, 4), SEED)
    doses = doses_at(study, vectors, KL)
    vectors = tuple(one for one in vectors if one.name in doses.found)
    openings = [row.sample(study.adapter) for row in study.rows("openings.jsonl")]
    learned, test = openings[: study.some(3, 1)], openings[4 : 4 + study.some(8, 1)]
    names = tuple(f"sae:{feature}" for feature in range(dictionary.features))
    values = _expected(study, table, learned, [doses.found[one.name] for one in vectors])
    effects = Effects(names, values, torch.empty(0), 0.0, torch.empty(0))
    model = fitted(vectors, effects)
    targets = _targets(study, table, features, model)
    peaks = torch.stack([dictionary.encode(some).amax(dim=0) for some in states])
    made = {
        target: {
            **made_for(model, ground, dictionary, target),
            "mean difference": ground.direction(f"difference:{target}", difference(peaks[:, target], states)),
            **best_measured(vectors, effects, target),
        }
        for target in targets
    }
    r2 = [float(model.r2[model.names.index(f"sae:{one}")]) for one in targets]
    return {
        "vectors": len(vectors),
        "targets": targets,
        "ridge": model.ridge,
        "median R2": round(float(model.r2.median()), 3),
        "R2 of targets": [round(one, 3) for one in r2],
        "expected share of the maximum": {
            str(kl): _on_other_texts(study, table, made, test, used.maximum, kl) for kl in TESTED
        },
        **{str(kl): try_vectors(study, made, test, used.maximum, kl, TOKENS) for kl in TESTED},
    }


def _targets(study: Study, table: TokenTable, features: Sequence[int], model: EffectModel) -> list[int]:
    """Some of the features that several tokens of the texts activate."""
    known = [one for one in features if table.counts[one] >= study.some(LEAST, 1)] or list(features)
    some = known[:: max(1, len(known) // study.some(16))][: study.some(16)]
    return [one for one in some if f"sae:{one}" in model.names]


def token_table(dictionary: SparseDictionary, read: Sequence[TokenStates]) -> TokenTable:
    """Mean activations of all features at every token of texts but their first ones."""
    ids = torch.cat([one.given[1:, 0] for one in read])
    z = torch.cat([dictionary.encode(one.states[1:]) for one in read])
    tokens, place = ids.unique(return_inverse=True)
    sums = torch.zeros(len(tokens), z.shape[1]).index_add_(0, place, z)
    return TokenTable(tokens, sums / place.bincount()[:, None], (z > 0).sum(dim=0))


@torch.no_grad()
def _expected(study: Study, table: TokenTable, openings: Sequence[Sample], attributes: Sequence[Attribute]) -> Tensor:
    """By how much each push raises what features are expected to read in the next token, (pushes, features)."""
    make = sampled(study.adapter, Sampling(study.some(TOKENS, 4), temperature=0.8, top_k=50), seed=SEED)
    texts = make(openings)
    [plain] = _next_tokens(study, table, texts, [Steering()])
    size, found = max(1, ROWS // len(texts)), []
    for at in range(0, len(attributes), size):
        some = [Steering((one,)) for one in attributes[at : at + size]]
        found.append((_next_tokens(study, table, texts, some) - plain) @ table.means)
    return torch.cat(found).double()


def _next_tokens(study: Study, table: TokenTable, texts: Sequence[Sample], steerings: Sequence[Steering]) -> Tensor:
    """Mean probability of each token of the table after each token of the texts, (steerings, tokens)."""
    rows = [replace(one, id=f"{at}-{one.id}") for at in range(len(steerings)) for one in texts]
    reading = study.adapter.reading(rows)
    pushes = [one for one in steerings for _ in texts]
    with steer(study.adapter, pushes) as session, session.call(reading.call):
        with layouts(study.adapter, study.adapter.generator, reading) as found:
            logits = study.adapter.read(reading)[:, :, 0]
    counts = OUTPUT.mask(tokens_of(study.adapter, study.adapter.generator, found[-1]))[:, -logits.shape[1] :]
    means = [
        one[chosen].float().softmax(dim=-1)[:, table.tokens].mean(dim=0)
        for one, chosen in zip(logits, counts, strict=True)
    ]
    return torch.stack(means).reshape(len(steerings), len(texts), -1).mean(dim=1)


def _on_other_texts(
    study: Study, table: TokenTable, made: Candidates, test: Sequence[Sample], maximum: Tensor, kl: float
) -> Result:
    """The same measure on openings that nothing was learned from."""
    several = {one.name: one for some in made.values() for one in some.values()}
    doses = doses_at(study, list(several.values()), kl).found
    rises = dict(zip(doses, _expected(study, table, test[:4], list(doses.values())), strict=True))
    found: dict[str, list[float | None]] = {}
    for target, families in made.items():
        for family, one in families.items():
            rise = rises.get(one.name)
            share = None if rise is None else float(rise[target] / maximum[target])
            found.setdefault(family, []).append(share)
    return means(found, "SAE-TS")
