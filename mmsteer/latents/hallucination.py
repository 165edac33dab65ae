"""Features that go with naming what is not there: found as SAVE and SSL find them, and steered.

What is found, what is chosen and what is reported are images of three disjoint sets, whose objects are known.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import torch
from torch import Tensor

from mmsteer.adapters import AnyAdapter
from mmsteer.eval.chair import ChairScore
from mmsteer.eval.odds import odds_of
from mmsteer.eval.pope import PopeScore, score_logits
from mmsteer.eval.pope_questions import Question, build_questions
from mmsteer.latents.controls import random_features
from mmsteer.latents.object_mentions import BATCH, Mentions, Pictures, caption, score_captions
from mmsteer.latents.pooling import pooled
from mmsteer.sae import SELECTORS, SparseDictionary, Usage, feature_direction
from mmsteer.steering import Attribute, Steering, steer
from mmsteer.types import OUTPUT, Direction, Positions, Sample, Score, paired_score

QUESTIONS = "adversarial"
"""POPE's choice of absent objects."""


@dataclass(frozen=True, eq=False)
class Latents:
    """A feature that goes with what is there, and one that goes with what is not.

    `hallucinated`: the second.
    `found`: share, difference or whatever the method ranks by, of the two.
    """

    method: str
    faithful: Direction
    hallucinated: Direction
    found: tuple[float, float]


@dataclass(frozen=True)
class Judged:
    """What a steered model writes about some images.

    `pope`: of its answers, by the likelier of yes and no.
    """

    condition: str
    chair: ChairScore
    pope: PopeScore

    def row(self) -> dict[str, Score | str]:
        """The numbers that a table shows."""
        chair = {name: self.chair.scores[name] for name in ("chair_s", "chair_i", "recall", "length")}
        return {"condition": self.condition, **chair, "pope": self.pope.accuracy, "pope_f1": self.pope.f1}

    @property
    def wrong(self) -> tuple[float, ...]:
        """For each caption 1 where it names what is not there, else 0."""
        return tuple(float(bool(row.hallucinated)) for row in self.chair.rows)


def against(rows: Sequence[Judged], others: Sequence[Judged]) -> Score:
    """By how much fewer or more captions name what is not there than under other steerings, image by image.

    `others`: judged on the same ones, such as several controls.
    """
    mine, theirs = (
        [sum(one) / len(one) for one in zip(*(row.wrong for row in some), strict=True)] for some in (rows, others)
    )
    return paired_score(mine, theirs)


def compared(rows: Sequence[Judged]) -> list[dict[str, Score | str]]:
    """A table of runs whose first one is unsteered."""
    return [row.row() | {"change of chair_s": against([row], rows[:1])} for row in rows]


def save_latents(adapter: AnyAdapter, dictionary: SparseDictionary, shown: Pictures) -> Latents:
    """The features most often active in right, and most often in wrong answers whether an object is there.

    As in the released code, activations are those at the answer's own word; a feature's score is the share of right
    answers in which it is active less that of wrong ones.

    Raises:
        DictionaryError: All answers are right, or all are wrong.

    Source: SAVE, Park et al. 2025, arXiv:2512.07730.
    """
    questions = build_questions(shown.truth, QUESTIONS)
    logits, _ = _logits(adapter, shown, questions)
    asked = [
        replace(one, output="Yes" if logits[question.id] > 0 else "No")
        for one, question in zip(_asked(shown, questions), questions, strict=True)
    ]
    right = torch.tensor([(logits[one.id] > 0) == (one.label == "yes") for one in questions])
    read = pooled(adapter, dictionary, asked, positions=Positions("generated"), batch=BATCH)
    scores = SELECTORS["frequency"](read.z, right)
    return _extremes("SAVE", dictionary, scores, read.used)


def mention_latents(dictionary: SparseDictionary, mentions: Mentions, how: str) -> Latents:
    """The feature that goes with mentions of what is there the most, and the one that goes with the others.

    `how`: a name of `SELECTORS`; SSL (arXiv:2505.16146) takes `mean_difference`.
    """
    return _extremes(how, dictionary, SELECTORS[how](mentions.z, ~mentions.wrong), mentions.used)


def random_latents(dictionary: SparseDictionary, used: Usage, seed: int, without: Sequence[int] = ()) -> Latents:
    """Two features drawn from those that are ever active: the control."""
    drawn = random_features(used, 2, without=without, seed=seed)
    faithful, hallucinated = (feature_direction(dictionary, one, used) for one in drawn)
    return Latents(f"random {seed}", faithful, hallucinated, (0.0, 0.0))


STEERINGS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"SAVE": ("all", "all"), "SSL": ("image", OUTPUT.text), "AUROC": (OUTPUT.text, OUTPUT.text)}
)
"""Where each method adds the faithful feature, and where it takes the hallucinated one away.

SAVE (arXiv:2512.07730) steers every token, SSL (arXiv:2505.16146, α = γ |h| / |d|) the image's tokens and the words.
"""


def latents_steering(method: str, latents: Latents, strength: float) -> Steering:
    """Towards the faithful and away from the hallucinated feature.

    `method`: A name of `STEERINGS`.
    `strength`: share of each token's own norm: the γ of both papers.
    """
    towards, away = map(Positions, STEERINGS[method])
    return Steering(
        (
            Attribute(latents.faithful, strength, positions=towards, unit="token"),
            Attribute(latents.hallucinated, -strength, positions=away, unit="token"),
        )
    )


def judge(adapter: AnyAdapter, shown: Pictures, condition: str, steering: Steering | None = None) -> Judged:
    """CHAIR of captions and POPE of answers under a steering.

    `steering`: what is applied; nothing where it is left out.
    """
    chair = score_captions(shown, caption(adapter, shown, steering))
    return Judged(condition, chair, answers(adapter, shown, steering))


def answers(adapter: AnyAdapter, shown: Pictures, steering: Steering | None = None) -> PopeScore:
    """POPE's questions, answered by the likelier of yes and no.

    `steering`: what is applied; nothing where it is left out.
    """
    questions = build_questions(shown.truth, QUESTIONS)
    with steer(adapter, steering or Steering()):
        return score_logits(questions, *_logits(adapter, shown, questions))


def steer_latents(
    adapter: AnyAdapter,
    found: Mapping[str, Latents],
    used: Usage,
    dictionary: SparseDictionary,
    shown: tuple[Pictures, Pictures],
    *,
    strengths: Sequence[float] = (0.1, 0.2, 0.4),
    keep: float = 0.95,
    seed: int = 0,
    say: Callable[[str], None] = lambda _: None,
) -> list[Judged]:
    """The model unsteered, and under each method and its control.

    Of the strengths that keep a share of the unsteered recall, each method takes the one with the least CHAIR_i; its
    random features are steered alike, at the same strength.

    Args:
        adapter: The model.
        found: Features by a name of `STEERINGS`.
        used: How the features are used, for the control.
        dictionary: The dictionary.
        shown: Images to choose the strength on, and images to report on.
        strengths: Shares of a token's own norm.
        keep: Least share of the unsteered recall.
        seed: Seed of the control.
        say: Called with the progress, in words.
    """
    to_choose, to_report = shown
    plain = judge(adapter, to_choose, "unsteered")
    rows = [judge(adapter, to_report, "unsteered")]
    taken = [int(one.provenance["feature"]) for two in found.values() for one in (two.faithful, two.hallucinated)]
    control = random_latents(dictionary, used, seed, without=taken)
    for method, latents in found.items():
        say(f"{method}: choosing its strength, then steering {len(to_report)} images")
        steerings = {one: latents_steering(method, latents, one) for one in strengths}
        tried = [(one, judge(adapter, to_choose, "", steering).chair) for one, steering in steerings.items()]
        strength = _best(tried, keep * (plain.chair.recall.value or 0))
        for name, two in ((method, latents), (f"{method}, random features", control)):
            told = f"{name} at {strength:g} own"
            rows.append(judge(adapter, to_report, told, latents_steering(method, two, strength)))
    return rows


def _best(tried: Sequence[tuple[float, ChairScore]], least_recall: float) -> float:
    fit = [one for one in tried if (one[1].recall.value or 0) >= least_recall] or list(tried[:1])
    return min(fit, key=lambda one: 1.0 if one[1].chair_i.value is None else one[1].chair_i.value)[0]


def _extremes(method: str, dictionary: SparseDictionary, scores: Tensor, used: Usage) -> Latents:
    best, worst = int(scores.argmax()), int(scores.argmin())
    return Latents(
        method,
        feature_direction(dictionary, best, used, f"faithful:{method}"),
        feature_direction(dictionary, worst, used, f"hallucinated:{method}"),
        (float(scores[best]), float(scores[worst])),
    )


def _asked(shown: Pictures, questions: Sequence[Question]) -> list[Sample]:
    images = {one.id: one.images for one in shown.samples}
    return [Sample(str(one.id), one.text, images[one.image]) for one in questions]


def _logits(
    adapter: AnyAdapter, shown: Pictures, questions: Sequence[Question]
) -> tuple[dict[int | str, float], dict[int | str, float]]:
    """Log P(Yes) - log P(No) of each question, and P(Yes) + P(No)."""
    asked = _asked(shown, questions)
    starts = range(0, len(asked), BATCH)
    batches = [asked[start : start + BATCH] for start in starts]
    both = torch.cat([adapter.next_word(some, ("Yes", "No")) for some in batches])  # type: ignore[union-attr]
    odds = {one.id: odds_of(words) for one, words in zip(questions, both.tolist(), strict=True)}
    return {id_: logit for id_, (logit, _) in odds.items()}, {id_: mass for id_, (_, mass) in odds.items()}
