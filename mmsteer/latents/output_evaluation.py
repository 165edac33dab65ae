"""Does a description of a feature predict what the feature does? Judged from outputs of equal dose.

Input: does the feature separate activating from neutral samples? Output: does a judge who has the description know the
outputs of the feature from those of two others?

Source: Gur-Arieh et al. 2025, arXiv:2501.08319, section 3, and its code.
"""

import random
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from mmsteer.calibrate import Dose, calibrate_each
from mmsteer.errors import DictionaryError
from mmsteer.latents.maximal import NOT_FIRST
from mmsteer.latents.token_states import token_states
from mmsteer.latents.trials import Generate
from mmsteer.sae import SparseDictionary
from mmsteer.steering import Attribute, Steering, steer
from mmsteer.types import Adapter, Direction, Positions, Sample, Score, mean_score

DOSES = (0.25, 0.5)
OTHERS = 2

Description = TypeVar("Description", contravariant=True)
Reader = Callable[[Sample, str], str | None]
"""The label of a clip's attribute, by an evaluator; None where it cannot be read."""


class Judge(Protocol[Description]):
    """Picks the outputs that fit a description."""

    def __call__(self, description: Description, sets: Sequence[Sequence[Sample]]) -> int | None:
        """The number of the set; None where it cannot tell."""


@dataclass(frozen=True)
class Matched:
    """A feature brought to a dose.

    Attributes:
        target: Nats that were asked for.
        sign: 1 or -1: set to more, or to less than nothing.
        dose: What was found; None where no strength gives the target.
        steering: What gives it; None as above.
    """

    target: float
    sign: int
    dose: Dose | None
    steering: Steering | None


def matched(
    adapter: Adapter,
    directions: Sequence[Direction],
    contexts: Sequence[Sample],
    targets: Sequence[float] = DOSES,
    *,
    signs: Sequence[int] = (1, -1),
    operator: str = "clamp",
    positions: Positions = NOT_FIRST,
    start: float = 1.0,
) -> list[tuple[Matched, ...]]:
    """The strengths at which setting each feature moves the next token by given divergences.

    Args:
        adapter: The model.
        directions: Directions of features, from `feature_direction`, or any others.
        contexts: Where the divergence is measured; of their tokens that predict output the median counts.
        targets: Nats.
        signs: Of the strength.
        operator: What a strength means; the paper clamps.
        positions: Which tokens are steered.
        start: The strength that is tried first, in lengths of the hidden state.
    """
    pushes = [
        (sign, Steering((Attribute(one, sign * start, positions=positions, operator=operator, unit="absolute"),)))
        for one in directions
        for sign in signs
    ]
    found: list[list[Matched]] = [[] for _ in directions]
    for target in targets:
        # None where a feature already moves the model at strength zero, or never does.
        doses = calibrate_each(adapter, [one for _, one in pushes], contexts, target, quantile=0.5)
        for at, ((sign, push), dose) in enumerate(zip(pushes, doses, strict=True)):
            found[at // len(signs)].append(Matched(target, sign, dose, push.scaled(dose.factor) if dose else None))
    return [tuple(some) for some in found]


@dataclass(frozen=True)
class OutputTrial:
    """One feature before the judge.

    Attributes:
        name: The direction's name.
        picked: Name of the direction whose outputs the judge took for the described ones; None where it could not tell.
        others: Names of those that it was held against.
    """

    name: str
    picked: str | None
    others: tuple[str, ...]

    @property
    def hit(self) -> float | None:
        """1 where the judge was right, 0 where it was wrong, None where it could not tell."""
        return None if self.picked is None else float(self.picked == self.name)


@dataclass(frozen=True)
class OutputEvaluation:
    """How well descriptions predict outputs.

    `chance`: the share that a judge who guesses gets right.
    """

    trials: tuple[OutputTrial, ...]
    chance: float

    @property
    def score(self) -> Score:
        """The share that was recognised."""
        return mean_score([trial.hit for trial in self.trials])


def steered_outputs(
    adapter: Adapter, found: Sequence[Matched], prompts: Sequence[Sample], generate: Generate
) -> tuple[Sample, ...]:
    """What the model makes of neutral prompts under each dose that was found.

    `prompts`: the prompts; the paper has "The explanation is simple:", "I think" and "We".
    """
    made: list[Sample] = []
    for one in found:
        if one.steering is not None:
            with steer(adapter, one.steering):
                made += generate(prompts)
    return tuple(made)


def output_evaluation(
    outputs: Mapping[str, Sequence[Sample]],
    descriptions: Mapping[str, Description],
    judge: Judge[Description],
    *,
    others: int = OTHERS,
    seed: int = 0,
) -> OutputEvaluation:
    """Ask a judge who has the description of a feature which of several sets of outputs the feature made.

    `outputs`: for each feature what it makes, from `steered_outputs`.
    `descriptions`: of the features to judge, by the same names.
    `others`: sets of other features beside the true one.
    `seed`: seed of the draw of the others, and of the order in which the judge sees the sets.

    Raises:
        DictionaryError: There are too few features with outputs, or one that is described has none.
    """
    alive = [name for name, made in outputs.items() if made]
    if len(alive) <= others or not alive:
        raise DictionaryError(f"{len(alive)} features have outputs; to tell one from {others} others takes more")
    silent = [name for name in descriptions if name not in alive]
    if silent:
        raise DictionaryError(f"{silent[0]} is described but has no outputs; leave it out, or steer it")
    rng = random.Random(seed)
    trials = []
    for name, description in descriptions.items():
        drawn = rng.sample([one for one in alive if one != name], others)
        order = rng.sample([name, *drawn], others + 1)
        picked = judge(description, [outputs[one] for one in order])
        trials.append(OutputTrial(name, None if picked is None else order[picked], tuple(drawn)))
    return OutputEvaluation(tuple(trials), 1 / (others + 1))


def word_overlap(description: Sequence[str], sets: Sequence[Sequence[Sample]]) -> int | None:
    """A judge that needs no model: the set in whose answers the described words are the largest share of all words."""
    wanted = {word.lower() for word in description}
    shares = []
    for made in sets:
        words = Counter(word for sample in made for word in re.findall(r"\w+", (sample.output or "").lower()))
        shares.append(sum(words[word] for word in wanted) / max(words.total(), 1))
    return _largest(shares)


def by_label(read: Reader) -> Judge[tuple[str, str]]:
    """A judge of audio: the set in most of whose clips an attribute has the described label.

    `read`: the label of a clip's attribute, by the evaluator.
    """

    def judge(description: tuple[str, str], sets: Sequence[Sequence[Sample]]) -> int | None:
        attribute, value = description
        return _largest([sum(read(one, attribute) == value for one in made) / len(made) for made in sets])

    return judge


@dataclass(frozen=True)
class InputScore:
    """Whether a feature responds to what its description names.

    `activating`: mean over activating samples of its largest activation.
    `neutral`: the same over neutral ones.
    """

    feature: int
    activating: float
    neutral: float

    @property
    def success(self) -> bool:
        """Whether activating samples activate it more."""
        return self.activating > self.neutral


def input_score(
    adapter: Adapter,
    dictionary: SparseDictionary,
    feature: int,
    activating: Sequence[Sample],
    neutral: Sequence[Sample],
    *,
    positions: Positions = NOT_FIRST,
) -> InputScore:
    """Compare how active a feature is at most in samples that fit its description and in neutral ones.

    `dictionary`: A dictionary that knows its site.
    `activating`: samples written or chosen by the description; the paper has 5.
    `positions`: which tokens.

    Raises:
        DictionaryError: One of the two is empty.
    """
    if not activating or not neutral:
        raise DictionaryError(f"{len(activating)} activating and {len(neutral)} neutral samples; give one or more each")
    activated, still = (_mean_peak(adapter, dictionary, feature, some, positions) for some in (activating, neutral))
    return InputScore(feature, activated, still)


def _mean_peak(
    adapter: Adapter, dictionary: SparseDictionary, feature: int, samples: Sequence[Sample], positions: Positions
) -> float:
    site = dictionary.located(adapter)
    peaks = [
        float((dictionary.encode(one.states)[:, feature] * one.chosen(positions)).max())
        for one in token_states(adapter, samples, site)
    ]
    return sum(peaks) / len(peaks)


def _largest(shares: Sequence[float]) -> int | None:
    """The place of the largest; None where several are."""
    best = max(shares)
    return shares.index(best) if shares.count(best) == 1 else None
