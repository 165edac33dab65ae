"""Whether output scores say which features steer (Arad, Mueller and Belinkov 2025, arXiv:2505.20063)."""

from collections.abc import Mapping, Sequence

import torch
from shared import SEED, Pushed, Result, Study, json_of, push_all
from torch import Tensor

from mmsteer.eval.text.similarity import Embed
from mmsteer.latents.maximal import Maximal, maximal_moments
from mmsteer.latents.score_study import draw_features
from mmsteer.latents.scores import STEERABLE, input_scores, output_scores
from mmsteer.latents.vocabulary import lens, top_tokens
from mmsteer.likelihood import output_likelihood
from mmsteer.sae import SparseDictionary, Usage
from mmsteer.types import Sample, mean_score

KL, TOKENS, PROMOTED, SUBSETS, LEAST = 0.5, 20, 20, 64, 4
Effects = Mapping[str, Tensor]
"""Of each feature, on the openings to choose by and on those to test on, (features, 2)."""


def run(study: Study) -> Result:
    """Features of a middle and of the last layer, pushed at one divergence, before and after each filter."""
    return {str(one.site): _layer(study, one, used) for one, used in study.at("text.16", "text.25")}


def _layer(study: Study, dictionary: SparseDictionary, used: Usage) -> Result:
    drawn = draw_features(used, study.some(240, 4), SEED) or list(range(4))
    openings = [row.sample(study.adapter) for row in study.rows("openings.jsonl")]
    pushed = push_all(study, dictionary, used, drawn, openings[4:12], kls=(KL,), signs=(1,), tokens=TOKENS)
    features = [one for one in drawn if one in pushed.outputs]
    if len(features) < LEAST:
        return {"features that reach the divergence": len(features)}
    texts = study.texts(study.some(128, 12), 40)
    moments = maximal_moments(study.adapter, dictionary, texts, features, count=20)
    scored = output_scores(study.adapter, dictionary, features, openings[:1], count=PROMOTED)
    into = [one.maximum or 0.0 for one in input_scores(study.adapter, dictionary, moments, least=study.some(10, 1))]
    filters = {
        "S_out": torch.tensor([one.maximum or 0.0 for one in scored]),
        "S_in": torch.tensor(into),
        "density": used.density[features],
        "largest activation": used.maximum[features],
        "largest logit": lens(study.adapter, dictionary, features).amax(dim=(1, 2)),
    }
    effects = _effects(study, dictionary, features, pushed, moments)
    kept = max(2, int((filters["S_out"] >= STEERABLE).sum()))
    kept = kept if kept < 0.75 * len(features) else len(features) // 2
    return {
        "features": len(features),
        f"S_out of {STEERABLE} or more": int((filters["S_out"] >= STEERABLE).sum()),
        "kept": kept,
        "unsteered, nats a token": round(pushed.plain_likelihood, 3),
        **{name: _filtered(values, filters, kept) for name, values in effects.items()},
    }


def _effects(
    study: Study, dictionary: SparseDictionary, features: Sequence[int], pushed: Pushed, found: Sequence[Maximal]
) -> Effects:
    """Share of promoted tokens and likeness to what activates a feature, less those of the unsteered outputs."""
    promoted = top_tokens(study.adapter, dictionary, features, count=PROMOTED)[:, 0]
    embed = study.embedder()
    rows: dict[str, list[list[float]]] = {
        "promoted tokens": [],
        "likeness to what activates it": [],
        "nats a token": [],
    }
    for at, (feature, one) in enumerate(zip(features, found, strict=True)):
        made = pushed.outputs[feature]
        wanted = set(promoted[at].tolist())
        shares = [_share(study, one, wanted) for one in made]
        before = [_share(study, one, wanted) for one in pushed.plain]
        rows["promoted tokens"].append(_halves(torch.tensor(shares) - torch.tensor(before)))
        words = " ".join(dict.fromkeys(moment.words.strip() for moment in one.moments[:10]))
        rows["likeness to what activates it"].append(
            _halves(_likeness(embed, words, made) - _likeness(embed, words, pushed.plain))
        )
        read = output_likelihood(study.adapter, made)
        rows["nats a token"].append(_halves(read[:, 0] / read[:, 1].clamp(min=1)))
    return {name: torch.tensor(some) for name, some in rows.items()}


def _halves(values: Tensor) -> list[float]:
    return [float(values[::2].mean()), float(values[1::2].mean())]


def _share(study: Study, sample: Sample, wanted: set[int]) -> float:
    tokens = study.tokens(str(sample.output))
    return sum(token in wanted for token in tokens) / max(len(tokens), 1)


def _likeness(embed: Embed, words: str, made: Sequence[Sample]) -> Tensor:
    rows = torch.as_tensor(embed([words or ".", *[str(one.output) or "." for one in made]]))
    return rows[1:] @ rows[0]


def _filtered(values: Tensor, filters: Mapping[str, Tensor], kept: int) -> Result:
    """Means of what each filter keeps; of random subsets the best on the openings to choose by."""
    choose, test = values[:, 0], values[:, 1]
    order = [
        torch.randperm(len(test), generator=torch.Generator().manual_seed(SEED + at))[:kept] for at in range(SUBSETS)
    ]
    chosen = {name: score.argsort(descending=True, stable=True)[:kept] for name, score in filters.items()}
    chosen["best of 64 random subsets"] = max(order, key=lambda some: float(choose[some].mean()))
    chosen["all"] = torch.arange(len(test))
    found = {name: json_of(mean_score(test[some].tolist())) for name, some in chosen.items()}
    mine = chosen["S_out"]
    for name, some in chosen.items():
        if name != "S_out":
            found[f"S_out - {name}"] = _apart(test, mine, some)
    return found


def _apart(values: Tensor, first: Tensor, other: Tensor, draws: int = 1000) -> Result:
    """Difference of two subsets' means; features are drawn again, so that those in both count as such."""
    inside = torch.stack([torch.zeros(len(values)).index_fill(0, some, 1.0) for some in (first, other)])
    generator = torch.Generator().manual_seed(SEED)
    found = []
    for _ in range(draws):
        rows = torch.randint(len(values), (len(values),), generator=generator)
        weights, drawn = inside[:, rows], values[rows]
        means = (weights * drawn).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
        found.append(float(means[0] - means[1]))
    low, high = torch.quantile(torch.tensor(found), torch.tensor([0.025, 0.975])).tolist()
    value = float(values[first].mean() - values[other].mean())
    return {"value": round(value, 3), "low": round(low, 3), "high": round(high, 3)}
