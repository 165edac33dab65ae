"""Whether descriptions of features predict what they do and read (Gur-Arieh et al. 2025, arXiv:2501.08319)."""

import random
import re
import sys
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from shared import SEED, Result, Study, means, push_all

from mmsteer.eval.text.similarity import Embed
from mmsteer.latents.evidence import Evidence
from mmsteer.latents.maximal import maximal_moments
from mmsteer.latents.score_study import draw_features
from mmsteer.latents.token_change import token_change
from mmsteer.latents.token_states import token_states
from mmsteer.latents.vocabulary import vocabulary
from mmsteer.sae import SparseDictionary, Usage, feature_direction
from mmsteer.types import Sample

KLS, TOKENS, WORDS, OTHERS, DRAWS, READ = (0.5,), 20, 10, 2, 20, 5
Describe = Callable[[Evidence], Evidence]
KINDS: Mapping[str, Describe] = {
    "VocabProj": lambda one: Evidence(one.feature, vocabulary=one.vocabulary),
    "TokenChange": lambda one: Evidence(one.feature, change=one.change),
    "MaxAct": lambda one: Evidence(one.feature, maximal=one.maximal),
    "VocabProj and MaxAct": lambda one: Evidence(one.feature, one.vocabulary, maximal=one.maximal),
    "all three": lambda one: one,
}
SHUFFLED = "of another feature"


def run(study: Study) -> Result:
    """Input and output scores of each kind of description, at a middle and at the last layer."""
    found: Result = {}
    for dictionary, used in reversed(study.at("text.16", "text.25")):
        found[str(dictionary.site)] = _layer(study, dictionary, used)
        print(dictionary.site, found[str(dictionary.site)], file=sys.stderr, flush=True)
    return found


def _layer(study: Study, dictionary: SparseDictionary, used: Usage) -> Result:
    embed = _Once(study.embedder())
    drawn = draw_features(used, study.some(100, 4), SEED + 1) or list(range(4))
    texts = study.texts(study.some(96, 12), 30)
    known = _evidence(study, dictionary, used, drawn, texts[::2])
    openings = [row.sample(study.adapter) for row in study.rows("openings.jsonl")[1:4]]
    pushed = {
        "more": push_all(
            study, dictionary, used, drawn, openings, kls=KLS, signs=(1,), tokens=TOKENS, operator="clamp"
        ),
        "less": push_all(
            study, dictionary, used, drawn, openings, kls=KLS, signs=(-1,), tokens=TOKENS, operator="clamp"
        ),
    }
    both = [
        one for one in drawn if one in pushed["more"].outputs and one in pushed["less"].outputs and known[one].maximal
    ]
    if len(both) <= OTHERS:
        return {"features that reach the divergences": len(both)}
    described = {
        kind: {one: take(known[one]).words(WORDS // (3 if kind == "all three" else 1)) for one in both}
        for kind, take in KINDS.items()
    }
    described[SHUFFLED] = dict(zip(both, [described["all three"][one] for one in [*both[1:], *both[:1]]], strict=True))
    found: Result = {"features": len(both)}
    for name, sides in (("output score", ("more",)), ("output score, both signs", ("more", "less"))):
        outputs = {one: [made for side in sides for made in pushed[side].outputs[one]] for one in both}
        found[name] = _compared({kind: _picked(embed, some, outputs) for kind, some in described.items()})
    read = _Read(study, dictionary, both, texts[1::2], embed)
    found["input score"] = _compared({kind: read.scores(some) for kind, some in described.items()})
    found["examples"] = {one: {kind: " ".join(some[one][:6]) for kind, some in described.items()} for one in both[:4]}
    return found


def _evidence(
    study: Study, dictionary: SparseDictionary, used: Usage, features: Sequence[int], texts: Sequence[Sample]
) -> dict[int, Evidence]:
    """What is known of features; contexts of the change are texts from which nothing is generated."""
    lens = vocabulary(study.adapter, dictionary, features, count=WORDS)
    moments = maximal_moments(study.adapter, dictionary, texts, features, count=WORDS)
    contexts = [_shorter(one) for one in texts[: study.some(4, 2)]]
    changes = [
        token_change(study.adapter, feature_direction(dictionary, one, used), contexts, 0.3 * used.norm, count=WORDS)
        for one in features
    ]
    rows = zip(features, lens, changes, moments, strict=True)
    return {feature: Evidence(feature, one, change, maximal) for feature, one, change, maximal in rows}


def _shorter(sample: Sample, words: int = 12) -> Sample:
    return Sample(sample.id, type(sample.prompt)(" ".join(sample.text.split()[:words])))  # type: ignore[call-arg]


def _picked(
    embed: Embed, described: Mapping[int, Sequence[str]], outputs: Mapping[int, Sequence[Sample]]
) -> list[float]:
    """How often a judge picks the feature's outputs among those of two others, by their mean likeness in meaning.

    The words of the description are taken out of what is judged, so that nothing is right by its own tokens.
    """
    rng, names = random.Random(SEED), list(outputs)
    scores = []
    for name in names:
        words = described[name]
        asked = torch.as_tensor(embed([" ".join(words)]))[0]
        draws = [rng.sample([one for one in names if one != name], OTHERS) for _ in range(DRAWS)]
        likeness = {
            one: float((torch.as_tensor(embed([_without(words, made) for made in outputs[one]])) @ asked).mean())
            for one in {name, *(one for some in draws for one in some)}
        }
        scores.append(sum(likeness[name] > max(likeness[one] for one in some) for some in draws) / DRAWS)
    return scores


def _without(words: Sequence[str], made: Sample) -> str:
    """An output without described words and what begins with one of four letters or more."""
    taken = re.findall(r"\w+", " ".join(words).lower())
    long = tuple(word for word in taken if len(word) >= 4)
    said = re.findall(r"\w+", str(made.output))
    return " ".join(one for one in said if one.lower() not in taken and not one.lower().startswith(long)) or "."


class _Once:
    """Embeddings, each computed once: most outputs have none of the words of most descriptions."""

    def __init__(self, embed: Embed) -> None:
        self.embed, self.known = embed, dict[str, np.ndarray]()

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """One row a text."""
        missing = list(dict.fromkeys(text for text in texts if text not in self.known))
        if missing:
            self.known |= dict(zip(missing, self.embed(missing), strict=True))
        return np.stack([self.known[text] for text in texts])


class _Read:
    """Texts in which a description finds what should activate its feature."""

    def __init__(
        self, study: Study, dictionary: SparseDictionary, features: Sequence[int], texts: Sequence[Sample], embed: Embed
    ) -> None:
        read = token_states(study.adapter, texts, dictionary.located(study.adapter))
        peaks = [dictionary.encode(one.states[1:])[:, list(features)].amax(dim=0) for one in read]
        self.features, self.embed = features, embed
        self.peaks = torch.stack(peaks)
        self.rows = torch.as_tensor(embed([one.text for one in texts]))

    def scores(self, described: Mapping[int, Sequence[str]]) -> list[float]:
        """1 where the five texts most like the description activate the feature more than the five least like it."""
        words = torch.as_tensor(self.embed([" ".join(described[one]) for one in self.features]))
        order = (words @ self.rows.T).argsort(dim=1, descending=True)
        return [
            float(self.peaks[some[:READ], at].mean() > self.peaks[some[-READ:], at].mean())
            for at, some in enumerate(order)
        ]


def _compared(scores: Mapping[str, list[float]]) -> Result:
    found: Result = means(scores, "all three")
    return found | {
        f"VocabProj - {name}": means({"v": scores["VocabProj"], name: scores[name]}, "v")[f"v - {name}"]
        for name in ("MaxAct", SHUFFLED)
    }
