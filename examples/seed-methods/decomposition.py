"""What a dictionary makes of steering vectors, and whether they steer alike (Mayne et al. 2024, arXiv:2411.08790)."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from shared import (
    SEED,
    Result,
    Study,
    answer_gain,
    best_of,
    direction_of,
    json_of,
    means,
    pushed,
    random_dictionary,
    random_vectors,
)
from torch import Tensor

from mmsteer.latents.token_states import layer_states
from mmsteer.latents.trials import sampled
from mmsteer.sae import SparseDictionary, Usage
from mmsteer.sae.decomposition import Decomposition, decompose, diagnose
from mmsteer.types import Positions, Sample, Sampling, mean_score, paired_score

PLAIN, TIMES = "plain", (1.0, 2.0, 3.0)
Sides = Mapping[str, Tensor]
"""Hidden states of the last token by instruction, (contents, width)."""


def run(study: Study) -> Result:
    """Diagnostics of many vectors at every layer; at one layer also what vectors and their sums do."""
    rows = [row for row in study.rows("contrasts.jsonl", split="training") if int(str(row.group)) < study.some(8)]
    names = list(dict.fromkeys(str(row.label) for row in rows if row.label != PLAIN))[: study.some(18, 3)]
    rows = [row for row in rows if row.label in (PLAIN, *names)]
    sites = [one.located(study.adapter) for one, _ in study.bound]
    read = list(layer_states(study.adapter, [row.sample(study.adapter) for row in rows], sites))
    found: Result = {"vectors": len(names)}
    for at, (dictionary, used) in enumerate(study.bound):
        sides = {
            name: torch.stack([one[at].states[-1] for one, row in zip(read, rows, strict=True) if row.label == name])
            for name in (PLAIN, *names)
        }
        states = torch.cat([one[at].states[one[at].chosen(Positions("all"))][1:] for one in read])
        found[str(dictionary.site)] = _diagnosed(dictionary, sides, states)
        if (dictionary, used) in study.at("text.16")[:1]:
            found[f"{dictionary.site}, steered"] = _steered(study, dictionary, used, sides, states)
    return found


def _diagnosed(dictionary: SparseDictionary, sides: Sides, states: Tensor) -> Result:
    """Both faults of the encoder, and how much of a vector it and pursuits of as many features recover."""
    drawn = random_dictionary(dictionary, states)
    rows: dict[str, list[float]] = {}
    for at, name in enumerate(name for name in sides if name != PLAIN):
        vector = sides[name].mean(dim=0) - sides[PLAIN].mean(dim=0)
        noise = random_vectors(len(vector), 1, SEED + at)[0] * vector.norm()
        told = diagnose(dictionary, vector, states, (sides[name], sides[PLAIN]))
        terms = max(1, int((dictionary.encode(vector) > 0).sum()))
        cosine = told.recovered or 0.0
        one = {
            "longer than (share of states)": told.percentile,
            "top 5 shared with those of zero": told.overlap,
            "top 5 shared with those of zero, of a state": _overlap(dictionary, sides[name][0]),
            "negative projections": told.negative,
            "features of the encoder": float(terms),
            "encoder": max(cosine, 0.0) ** 2,
            "signed pursuit": decompose(dictionary, vector, terms).explained,
            "non-negative pursuit": decompose(dictionary, vector, terms, "non_negative").explained,
            "signed pursuit, random vector": decompose(dictionary, noise, terms).explained,
            "signed pursuit, random dictionary": decompose(drawn, vector, terms).explained,
        }
        for key, value in one.items():
            rows.setdefault(key, []).append(value)
    explained = [
        "signed pursuit",
        "encoder",
        "non-negative pursuit",
        "signed pursuit, random vector",
        "signed pursuit, random dictionary",
    ]
    faults = {name: json_of(mean_score(some)) for name, some in rows.items() if name not in explained}
    overlap = paired_score(rows["top 5 shared with those of zero"], rows["top 5 shared with those of zero, of a state"])
    return {
        "faults": faults | {"top 5 shared, vector - state": json_of(overlap)},
        "explained": means({name: rows[name] for name in explained}, "signed pursuit"),
    }


def _overlap(dictionary: SparseDictionary, state: Tensor) -> float:
    top = [set(dictionary.encode(one).topk(5).indices.tolist()) for one in (state, torch.zeros_like(state))]
    return len(top[0] & top[1]) / 5


def _sum(dictionary: SparseDictionary, found: Decomposition) -> Tensor:
    units = torch.nn.functional.normalize(dictionary.decoder, dim=1)
    return torch.stack([term.coefficient * units[term.feature] for term in found.terms]).sum(dim=0)


def _steered(study: Study, dictionary: SparseDictionary, used: Usage, sides: Sides, states: Tensor) -> Result:
    """Nats a token by which each push makes the instructed answer likelier where the instruction is not said."""
    gains: dict[str, list[float]] = {}
    for at, name in enumerate(name for name in sides if name != PLAIN):
        vector = sides[name].mean(dim=0) - sides[PLAIN].mean(dim=0)
        terms = max(1, int((dictionary.encode(vector) > 0).sum()))
        pushes = {
            "vector": vector,
            "signed pursuit, 8": _sum(dictionary, decompose(dictionary, vector, min(8, terms))),
            "signed pursuit, as many as the encoder": _sum(dictionary, decompose(dictionary, vector, terms)),
            "encoder": dictionary.reconstruct(vector) - dictionary.reconstruct(torch.zeros_like(vector)),
            "signed pursuit, random dictionary": _sum(
                drawn := random_dictionary(dictionary, states), decompose(drawn, vector, min(8, terms))
            ),
            "random vector": random_vectors(len(vector), 1, SEED + at)[0],
        }
        length = float(vector.norm())
        families = {
            key: [pushed(direction_of(dictionary, used, one, f"vector:{name}"), length * times) for times in TIMES]
            for key, one in pushes.items()
            if one.any()
        }
        held, test = (answer_gain(study, _answers(study, name, split)) for split in ("validation", "test"))
        chosen = best_of({key: [held(one) for one in some] for key, some in families.items()})
        for key, some in families.items():
            gains.setdefault(key, []).append(test(some[chosen[key]]))
    return {
        "nats a token": means(gains, "signed pursuit, 8"),
        "vectors": dict(zip(sides, gains["vector"], strict=False)),
    }


def _answers(study: Study, name: str, split: str) -> list[Sample]:
    """Prompts without the instruction, each with what the model answers when it is said."""
    rows = study.rows("contrasts.jsonl", split=split, label=name)
    plain = {row.group: row for row in study.rows("contrasts.jsonl", split=split, label=PLAIN)}
    rows = rows[: study.some(len(rows), 1)]
    made = sampled(study.adapter, Sampling(study.some(24, 4), temperature=0.0))(
        [row.sample(study.adapter) for row in rows]
    )
    return [
        replace(plain[row.group].sample(study.adapter), output=one.output) for row, one in zip(rows, made, strict=True)
    ]
