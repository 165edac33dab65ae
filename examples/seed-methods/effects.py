"""Vectors made for a measured effect on a feature (Chalnev, Siu and Conmy 2024, arXiv:2411.02193)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from shared import CONTEXTS, SEED, Result, Study, means
from torch import Tensor

from mmsteer.calibrate import calibrate_each
from mmsteer.latents.effect_meters import feature_meter
from mmsteer.latents.effect_rollouts import Rollouts, measure_effects
from mmsteer.latents.effects import EffectModel, Ground, fit_effects, probing_vectors
from mmsteer.latents.score_study import draw_features
from mmsteer.latents.token_states import token_states
from mmsteer.latents.trials import sampled
from mmsteer.steering import Attribute, Steering
from mmsteer.types import Direction, Positions, Raw, Sample, Sampling

KL, TOKENS, DRAWN = 0.5, 16, 4


@dataclass(frozen=True, eq=False)
class Doses:
    """Strengths of one divergence, found for many directions at once; the attribute of each by its name."""

    content: str
    found: Mapping[str, Attribute]

    def __call__(self, direction: Direction) -> Attribute:
        """The direction with its strength."""
        return self.found[direction.name]


def run(study: Study) -> Result:
    """Ten targets: the vector for each beside its own row, the mean difference and the best of random vectors."""
    dictionary, used = study.at("text.14")[0]
    site = dictionary.located(study.adapter)
    texts = study.texts(study.some(96, 6), 40)
    read = [(one.states[one.pooled_over(Positions("all"))], one) for one in token_states(study.adapter, texts, site)]
    ground = Ground(site, study.adapter.fingerprint, torch.cat([states for states, _ in read]))
    features = draw_features(used, study.some(110, 6), SEED) or list(range(6))
    vectors = probing_vectors(ground, dictionary, features, study.some(30, 4), SEED)
    doses = _doses(study, vectors)
    vectors = tuple(one for one in vectors if one.name in doses.found)
    openings = [row.sample(study.adapter) for row in study.rows("openings.jsonl")]
    learned, test = openings[: study.some(4, 1)], openings[4 : 4 + study.some(8, 1)]
    effects = measure_effects(_rollouts(study, learned), vectors, doses)
    varying = torch.nonzero(effects.values.std(dim=0) > 0).flatten().tolist()
    model = fit_effects(
        torch.stack([one.vectors[site] for one in vectors]),
        effects.values[:, varying],
        [effects.names[at] for at in varying],
        raw=True,
    )
    targets = [one for one in features if f"sae:{one}" in model.names][: study.some(10)]
    states = [dictionary.encode(states).amax(dim=0) for states, _ in read]
    made = {
        target: _candidates(
            model, ground, dictionary.direction(target), target, torch.stack(states), [h for h, _ in read]
        )
        for target in targets
    }
    return {"vectors": len(vectors), "targets": targets, "KL": KL, **_tested(study, made, test, used.maximum, model)}


def _doses(study: Study, directions: Sequence[Direction]) -> Doses:
    contexts = [Sample(f"context-{at}", Raw(text)) for at, text in enumerate(CONTEXTS)]
    attributes = [Attribute(one, 0.2) for one in directions]
    found = calibrate_each(
        study.adapter, [Steering((one,)) for one in attributes], contexts, KL, quantile=0.5, tolerance=0.1
    )
    known = {
        one.direction.name: Attribute(one.direction, 0.2 * dose.factor)
        for one, dose in zip(attributes, found, strict=True)
        if dose is not None
    }
    return Doses(f"{KL} along {CONTEXTS}", known)


def _rollouts(study: Study, items: Sequence[Sample]) -> Rollouts:
    sampling = Sampling(study.some(TOKENS, 4), temperature=0.8, top_k=50)
    make = sampled(study.adapter, sampling, seed=SEED)
    dictionary = study.at("text.14")[0][0]
    return Rollouts(
        study.adapter,
        items,
        lambda some: [one.output for one in make(some)],
        feature_meter(study.adapter, dictionary),
        repr(sampling),
    )


def _candidates(
    model: EffectModel, ground: Ground, row: Tensor, target: int, peaks: Tensor, states: Sequence[Tensor]
) -> dict[str, list[Direction]]:
    """What is searched for a target, by family."""
    order = peaks[:, target].argsort(descending=True)
    quarter = max(1, len(order) // 8)
    sides = [torch.cat([states[at] for at in some.tolist()]).mean(dim=0) for some in (order[:quarter], order[quarter:])]
    drawn = probing_vectors(ground, _Nothing(row), [], DRAWN, SEED + target)
    wish = {f"sae:{target}": 1.0}
    return {
        "SAE-TS": [model.direction(ground, wish, f"sae-ts:{target}")],
        "common effect left in": [model.direction(ground, wish, f"sae-ts-plain:{target}", common=0)],
        "own row": [ground.direction(f"row-of:{target}", row)],
        "mean difference": [ground.direction(f"difference:{target}", sides[0] - sides[1])],
        "best of 4 random vectors": [
            ground.direction(f"noise-{at}:{target}", one.vectors[ground.site]) for at, one in enumerate(drawn)
        ],
    }


class _Nothing:
    """Only the width of a dictionary, for vectors that are drawn."""

    def __init__(self, row: Tensor) -> None:
        self.width = len(row)


def _tested(
    study: Study,
    made: Mapping[int, Mapping[str, Sequence[Direction]]],
    test: Sequence[Sample],
    maximum: Tensor,
    model: EffectModel,
) -> Result:
    """Change of the target as a share of its maximum, and the likelihood of outputs, on other openings."""
    every = [one for families in made.values() for some in families.values() for one in some]
    doses = _doses(study, every)
    rollouts = _rollouts(study, test)
    plain = rollouts.read([Steering()])[0].mean(dim=0)
    change: dict[str, list[float | None]] = {}
    other: dict[str, list[float | None]] = {}
    for target, families in made.items():
        known = [(name, one) for name, some in families.items() for one in some if one.name in doses.found]
        moved = rollouts.read([Steering((doses.found[one.name],)) for _, one in known]).mean(dim=1) - plain
        for name in families:
            mine = [row for (of, _), row in zip(known, moved, strict=True) if of == name]
            best = max(mine, key=lambda row: float(row[target]), default=None)
            rises = None if best is None else best.clamp(min=0)
            change.setdefault(name, []).append(None if best is None else float(best[target] / maximum[target]))
            other.setdefault(name, []).append(
                None if rises is None else float(rises[target] / rises.sum().clamp(min=1e-9))
            )
    predicted = [
        float(
            model.predict(families["SAE-TS"][0].vectors[families["SAE-TS"][0].sites[0]][None])[
                0, model.names.index(f"sae:{target}")
            ]
        )
        / float(maximum[target])
        for target, families in made.items()
    ]
    return {
        "share of the maximum": means(change, "SAE-TS"),
        "share of all that rises": means(other, "SAE-TS"),
        "each": {name: [None if one is None else round(one, 3) for one in some] for name, some in change.items()},
        "predicted": [round(one, 3) for one in predicted],
        "median R2": round(float(model.r2.median()), 3),
    }
