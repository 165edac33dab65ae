"""Vectors made for a measured effect on a feature (Chalnev, Siu and Conmy 2024, arXiv:2411.02193)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from shared import CONTEXTS, SEED, Result, Study, generated, means
from torch import Tensor

from mmsteer.calibrate import calibrate_each
from mmsteer.latents.effect_meters import feature_meter
from mmsteer.latents.effect_rollouts import Effects, Rollouts, measure_effects
from mmsteer.latents.effects import EffectModel, StateStatistics, fit_effects, probing_vectors
from mmsteer.latents.score_study import draw_features
from mmsteer.latents.token_states import token_states
from mmsteer.latents.trials import sampled
from mmsteer.likelihood import output_likelihood
from mmsteer.sae import SparseDictionary
from mmsteer.steering import Attribute, Steering
from mmsteer.types import Direction, Positions, Raw, Sample, Sampling

KL, TESTED, TOKENS = 0.5, (0.5, 1.0), 12
MEASURES = "share of the maximum", "share of the maximum times coherence", "share of all that rises", "coherence"
Candidates = Mapping[int, Mapping[str, Direction]]


@dataclass(frozen=True, eq=False)
class Doses:
    """Strengths of one divergence, found for many directions at once; the attribute of each by its name."""

    content: str
    found: Mapping[str, Attribute]

    def __call__(self, direction: Direction) -> Attribute:
        """The direction with its strength."""
        return self.found[direction.name]


def run(study: Study) -> Result:
    """For each target the vector made for it, beside its own row, the mean difference and the best of all measured."""
    dictionary, used = study.at("text.14")[0]
    site = dictionary.located(study.adapter)
    texts = study.texts(study.some(48, 6), 40)
    states = [one.states[one.pooled_over(Positions("all"))] for one in token_states(study.adapter, texts, site)]
    ground = StateStatistics(site, study.adapter.fingerprint, torch.cat(states))
    features = draw_features(used, study.some(240, 6), SEED) or list(range(6))
    vectors = probing_vectors(ground, dictionary, features, study.some(60, 4), SEED)
    doses = doses_at(study, vectors, KL)
    vectors = tuple(one for one in vectors if one.name in doses.found)
    openings = [row.sample(study.adapter) for row in study.rows("openings.jsonl")]
    learned, test = openings[: study.some(3, 1)], openings[4 : 4 + study.some(8, 1)]
    effects = measure_effects(_rollouts(study, learned), vectors, doses, folder=study.keep)
    model = fitted(vectors, effects)
    moved = [int(name.removeprefix("sae:")) for name in model.names]
    targets = ([one for one in features if one in moved] or moved)[:: study.some(16, 1)][: study.some(12)]
    peaks = torch.stack([dictionary.encode(some).amax(dim=0) for some in states])
    made = {
        target: {
            **made_for(model, ground, dictionary, target),
            "mean difference": ground.direction(f"difference:{target}", difference(peaks[:, target], states)),
            **best_measured(vectors, effects, target),
        }
        for target in targets
    }
    found = {str(kl): try_vectors(study, made, test, used.maximum, kl) for kl in TESTED}
    return {
        "vectors": len(vectors),
        "targets": targets,
        "ridge": model.ridge,
        "median R2": round(float(model.r2.median()), 3),
        "R2 of targets": [round(float(model.r2[model.names.index(f"sae:{one}")]), 3) for one in targets],
        "predicted share of the maximum": [
            round(_predicted(model, some["SAE-TS"], target) / float(used.maximum[target]), 3)
            for target, some in made.items()
        ],
        **found,
    }


def doses_at(study: Study, directions: Sequence[Direction], kl: float) -> Doses:
    """How strong each direction is at one divergence; those that do not reach it are left out."""
    contexts = [Sample(f"context-{at}", Raw(text)) for at, text in enumerate(CONTEXTS[:3])]
    attributes = [Attribute(one, 0.45) for one in directions]
    found = calibrate_each(
        study.adapter, [Steering((one,)) for one in attributes], contexts, kl, quantile=0.5, tolerance=0.1
    )
    known = {
        one.direction.name: Attribute(one.direction, 0.45 * dose.factor)
        for one, dose in zip(attributes, found, strict=True)
        if dose is not None
    }
    return Doses(f"{kl} along {CONTEXTS[:3]}", known)


def _rollouts(study: Study, items: Sequence[Sample], tokens: int = TOKENS) -> Rollouts:
    sampling = _sampling(study, tokens)
    make = sampled(study.adapter, sampling, seed=SEED)
    meter = feature_meter(study.adapter, study.at("text.14")[0][0])
    return Rollouts(study.adapter, items, lambda some: [one.output for one in make(some)], meter, repr(sampling))


def _sampling(study: Study, tokens: int = TOKENS) -> Sampling:
    return Sampling(study.some(tokens, 4), temperature=0.8, top_k=50)


def fitted(vectors: Sequence[Direction], effects: Effects) -> EffectModel:
    """The linear model in raw units, of the features that any vector moves."""
    varying = torch.nonzero(effects.values.std(dim=0) > 0).flatten().tolist()
    unit = torch.stack([one.vectors[one.sites[0]] for one in vectors])
    return fit_effects(unit, effects.values[:, varying], [effects.names[at] for at in varying], raw=True)


def made_for(
    model: EffectModel, ground: StateStatistics, dictionary: SparseDictionary, target: int
) -> dict[str, Direction]:
    """The vector made for a target, once with what all vectors do left in, and its own row."""
    wish = {f"sae:{target}": 1.0}
    return {
        "SAE-TS": model.direction(ground, wish, f"sae-ts:{target}"),
        "common effect left in": model.direction(ground, wish, f"sae-ts-plain:{target}", common=0),
        "own row": ground.direction(f"row-of:{target}", dictionary.direction(target)),
    }


def difference(peaks: Tensor, states: Sequence[Tensor]) -> Tensor:
    """Mean state of the texts that activate a feature most, less that of the others."""
    order = peaks.argsort(descending=True).tolist()
    most = max(1, len(order) // 8)
    sides = [torch.cat([states[at] for at in some]).mean(dim=0) for some in (order[:most], order[most:])]
    return sides[0] - sides[1]


def best_measured(vectors: Sequence[Direction], effects: Effects, target: int) -> dict[str, Direction]:
    """What raised the target most where the model was learned: of all vectors, and of the random ones."""
    moved = effects.values[:, target]
    drawn = torch.tensor([one.name.startswith("random:") for one in vectors])
    return {
        "best of all measured": vectors[int(moved.argmax())],
        "best of the random ones": vectors[int(moved.masked_fill(~drawn, -math.inf).argmax())],
    }


def _predicted(model: EffectModel, direction: Direction, target: int) -> float:
    """What the linear model says of a direction's effect on the target."""
    effects = model.predict(direction.vectors[direction.sites[0]][None])
    return float(effects[0, model.names.index(f"sae:{target}")])


def try_vectors(
    study: Study, made: Candidates, test: Sequence[Sample], maximum: Tensor, kl: float, tokens: int = TOKENS
) -> Result:
    """How far each target rises on other openings, how likely the outputs are unsteered, and the two together."""
    several = {one.name: one for some in made.values() for one in some.values()}
    doses = doses_at(study, list(several.values()), kl).found
    make = sampled(study.adapter, _sampling(study, tokens), seed=SEED)
    read = _rollouts(study, test, tokens).meter.read
    known = {name: Steering((attribute,)) for name, attribute in doses.items()}
    rows = dict(generated(study, list(known.items()), test, make))
    plain = make(test)
    base = read(test, [one.output for one in plain]).mean(dim=0)
    likely = _likelihood(study, plain)
    rises = {name: read(test, [one.output for one in some]).mean(dim=0) - base for name, some in rows.items()}
    coherence = {name: min(1.0, math.exp(_likelihood(study, some) - likely)) for name, some in rows.items()}
    found: dict[str, dict[str, list[float | None]]] = {measure: {} for measure in MEASURES}
    for target, families in made.items():
        for family, name in ((family, one.name) for family, one in families.items()):
            moved = (
                _measured(rises[name], target, float(maximum[target]), coherence[name]) if name in rises else [None] * 4
            )
            for measure, value in zip(MEASURES, moved, strict=True):
                found[measure].setdefault(family, []).append(value)
    return {measure: means(some, "SAE-TS") for measure, some in found.items()}


def _measured(rise: Tensor, target: int, maximum: float, coherence: float) -> list[float]:
    up = rise.clamp(min=0)
    share = float(rise[target]) / maximum
    return [share, max(0.0, share) * coherence, float(up[target] / up.sum().clamp(min=1e-9)), coherence]


def _likelihood(study: Study, samples: Sequence[Sample]) -> float:
    found = output_likelihood(study.adapter, samples)
    return float((found[:, 0] / found[:, 1].clamp(min=1)).mean())
