"""What the seed methods share: the model with its dictionaries, rows of the project's own, steerings, intervals."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

import mmsteer
from mmsteer.adapters import AnyAdapter
from mmsteer.bundled.dictionary import BUNDLED, bundled_usage, open_dictionary, rows_path
from mmsteer.calibrate import calibrate_each
from mmsteer.eval.text import parse_reward
from mmsteer.eval.text.similarity import Embed, minilm
from mmsteer.latents.bound import BoundDictionary, bind
from mmsteer.latents.equal_search import search_equally
from mmsteer.latents.maximal import NOT_FIRST
from mmsteer.latents.rows import row_trials
from mmsteer.latents.trials import UNSTEERED, Generate, Trials, sampled
from mmsteer.likelihood import output_likelihood
from mmsteer.sae import SparseDictionary, Usage, feature_direction
from mmsteer.steering import Attribute, Steering, steer
from mmsteer.tasks import Row
from mmsteer.types import OUTPUT, Direction, Positions, Raw, Sample, Sampling, Score, Site, mean_score, paired_score

HERE = Path(__file__).parent
SEED = 0
ROWS = 48
CONTEXTS = ("From my experience,", "I think that", "The explanation is simple:", "We went to")
"""Beginnings along which divergences are measured; nothing is generated from them."""
Result = dict[str, Any]
Name = TypeVar("Name")


@dataclass(frozen=True, eq=False)
class Study:
    """A model, its dictionaries in the order of layers, and how large the study is.

    Attributes:
        name: The model's name.
        adapter: The model.
        bound: Dictionaries with how their features are used.
        small: Take as little of everything as shows that the study runs.
        keep: Folder of what is measured, from which a run that was stopped goes on; None for memory only.
        other: Another model, whose texts are detected, too; None for no other.
    """

    name: str
    adapter: AnyAdapter
    bound: tuple[tuple[SparseDictionary, Usage], ...]
    small: bool
    keep: Path | None = None
    other: str | None = None

    def at(self, *sites: str) -> list[tuple[SparseDictionary, Usage]]:
        """Dictionaries of the sites; where the model has none of them, all that there are."""
        return [one for one in self.bound if str(one[0].site) in sites] or list(self.bound)

    def some(self, full: int, small: int = 2) -> int:
        """A number of the full study, or of the small one."""
        return small if self.small else full

    def rows(self, file: str, **of: str) -> list[Row]:
        """Rows of a file with some label, split or group."""
        rows = mmsteer.read_rows(HERE / file)
        return [row for row in rows if all(getattr(row, name) == value for name, value in of.items())]

    def texts(self, count: int, words: int) -> list[Sample]:
        """Texts that no dictionary learned from, each cut to its first words."""
        file = rows_path(self.name) or HERE / "corpus.jsonl"
        found = [row.answer or row.asked().text for row in mmsteer.read_rows(file)][:count]
        return [Sample(f"text-{at}", Raw(" ".join(one.split()[:words]))) for at, one in enumerate(found)]

    def embedder(self) -> Embed:
        """Sentence embeddings; of a small study letters alone."""
        if self.small:
            return lambda texts: np.array([[text.count(letter) + 0.1 for letter in "aeinorst"] for text in texts])
        return minilm()

    def tokens(self, text: str) -> list[int]:
        """A text as the model's tokens."""
        found: list[int] = self.adapter.processor(text=text, add_special_tokens=False)["input_ids"]
        return found

    def trials(self, rows: Sequence[Row], reward: str, tokens: int, name: str) -> Trials:
        """Rows, answered greedily and judged by a named reward."""
        sampling = Sampling(self.some(tokens, 4), temperature=0.0)
        made = row_trials(name, rows, self.adapter, sampling, parse_reward(reward), seed=SEED)
        return replace(made, batch=32)


def open_study(
    model: str, dictionaries: Sequence[str], small: bool, keep: Path | None = None, other: str | None = None
) -> Study:
    """The bundled model with its dictionaries, or another one with folders of its own.

    `dictionaries`: folders; one that names no site, as those of Gemma Scope, with it: `text.12=FOLDER`.
    """
    adapter = mmsteer.load(model)
    if not dictionaries:
        name = model.removeprefix(BUNDLED)
        found = [(open_dictionary(model, site), bundled_usage(name, site)) for site in _bundled_sites(name)]
    else:
        corpus = [row.sample(adapter, answered=True) for row in mmsteer.read_rows(HERE / "corpus.jsonl")]
        several = [_bound(one, adapter, corpus[: 4 if small else 24]) for one in dictionaries]
        found = [(one.dictionary, one.used) for one in several]
    return Study(model, adapter, tuple(sorted(found, key=lambda one: str(one[0].site))), small, keep, other)


def _bound(named: str, adapter: AnyAdapter, corpus: Sequence[Sample]) -> BoundDictionary:
    site, _, folder = named.rpartition("=")
    return bind(open_dictionary(folder), adapter, corpus, site=Site.parse(site) if site else None)


def _bundled_sites(name: str) -> list[Site]:
    from mmsteer.bundled.dictionary import FOLDER

    return [Site.parse(one.name) for one in sorted((FOLDER / name).iterdir()) if one.is_dir()]


def pushed(direction: Direction, strength: float, positions: Positions = OUTPUT) -> Steering:
    """A direction, added with an absolute strength."""
    return Steering((Attribute(direction, strength, positions=positions, unit="absolute"),))


def direction_of(dictionary: SparseDictionary, used: Usage, vector: Tensor, name: str) -> Direction:
    """Any vector as a direction at a dictionary's site."""
    assert dictionary.site is not None
    unit = vector.float() / vector.float().norm()
    return replace(feature_direction(dictionary, 0, used), name=name, vectors={dictionary.site: unit}, features={})


def random_vectors(width: int, count: int, seed: int = SEED) -> Tensor:
    """Unit vectors, (count, width)."""
    drawn = torch.randn(count, width, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(drawn, dim=1)


def json_of(score: Score) -> dict[str, Any]:
    """A score in three digits."""
    return {
        name: round(value, 3) if isinstance(value, float) else value
        for name, value in {"value": score.value, "low": score.low, "high": score.high, "n": score.n}.items()
    }


def means(values: Mapping[str, Sequence[float | None]], first: str) -> Result:
    """Means with intervals, and how far the first is above each of the others, item by item."""
    return {name: json_of(mean_score(some)) for name, some in values.items()} | {
        f"{first} - {name}": json_of(paired_score(values[first], some))
        for name, some in values.items()
        if name != first
    }


def answer_gain(study: Study, answers: Sequence[Sample]) -> Callable[[Steering], float]:
    """From a steering to the nats a token by which it makes answers likelier, their mean."""
    plain = output_likelihood(study.adapter, answers)

    def gain(steering: Steering) -> float:
        after = output_likelihood(study.adapter, answers, steering)
        return float(((after - plain)[:, 0] / plain[:, 1]).mean())

    return gain


@dataclass(frozen=True, eq=False)
class Pushed:
    """What the model makes of the same openings under many features.

    Attributes:
        plain: Unsteered.
        outputs: By feature: at each divergence and sign that was reached, the openings.
        plain_likelihood: Nats a token of the unsteered outputs.
    """

    plain: tuple[Sample, ...]
    outputs: Mapping[int, tuple[Sample, ...]]
    plain_likelihood: float


def push_all(
    study: Study,
    dictionary: SparseDictionary,
    used: Usage,
    features: Sequence[int],
    openings: Sequence[Sample],
    *,
    kls: Sequence[float],
    signs: Sequence[int],
    tokens: int,
    operator: str = "add",
) -> Pushed:
    """Push every feature to each divergence, and generate; those that reach none are left out."""
    openings = openings[: study.some(len(openings), 2)]
    make = sampled(study.adapter, Sampling(study.some(tokens, 4), temperature=0.7), seed=SEED)
    contexts = [Sample(f"context-{at}", Raw(text)) for at, text in enumerate(CONTEXTS)]
    steerings = [
        (
            feature,
            Steering(
                (
                    Attribute(
                        feature_direction(dictionary, feature, used),
                        sign * 0.3 * used.norm,
                        operator=operator,
                        positions=NOT_FIRST,
                        unit="absolute",
                    ),
                )
            ),
        )
        for feature in features
        for sign in signs
    ]
    outputs: dict[int, list[Sample]] = {}
    for kl in kls:
        doses = calibrate_each(study.adapter, [one for _, one in steerings], contexts, kl, quantile=0.5, tolerance=0.1)
        known = [
            (feature, one.scaled(dose.factor)) for (feature, one), dose in zip(steerings, doses, strict=True) if dose
        ]
        for feature, some in generated(study, known, openings, make):
            outputs.setdefault(feature, []).extend(some)
    plain = tuple(make(openings))
    likelihood = output_likelihood(study.adapter, plain)
    return Pushed(
        plain, {one: tuple(some) for one, some in outputs.items()}, float((likelihood[:, 0] / likelihood[:, 1]).mean())
    )


def generated(
    study: Study, known: Sequence[tuple[Name, Steering]], openings: Sequence[Sample], make: Generate
) -> Iterator[tuple[Name, Sequence[Sample]]]:
    """Each steering on every opening, several steerings a batch."""
    size = max(1, ROWS // len(openings))
    for start in range(0, len(known), size):
        some = known[start : start + size]
        with steer(study.adapter, [one for _, one in some for _ in openings]):
            made = make([opening for _ in some for opening in openings])
        for at, (name, _) in enumerate(some):
            yield name, made[at * len(openings) : (at + 1) * len(openings)]


def searched(
    study: Study, families: Mapping[str, Sequence[Steering]], validation: Trials, test: Sequence[Trials]
) -> tuple[Result, dict[str, dict[str, tuple[float | None, ...]]], dict[str, Steering]]:
    """The best of each family: what was chosen, its rewards on each test beside the unsteered, and the steerings."""
    found = search_equally(study.adapter, families, validation, test)
    names = ["unsteered", *families]
    rewards: dict[str, dict[str, tuple[float | None, ...]]] = {}
    for at, row in enumerate(found.test.rows):
        rewards.setdefault(row.trials, {})[names[at % len(names)]] = row.rewards
    best = {name: families[name][at] for name, at in found.chosen.items()}
    chosen = {name: [at, found.validation[name][at]] for name, at in found.chosen.items()}
    return chosen, rewards, {"unsteered": UNSTEERED, **best}


def choices(study: Study, rows: Sequence[Row], steering: Steering = UNSTEERED) -> list[float]:
    """Whether the right option of each row is the likeliest answer, a token; no answer is unreadable."""
    asked = [replace(row.sample(study.adapter), output=option) for row in rows for option in row.options]
    read = torch.cat(
        [output_likelihood(study.adapter, asked[at : at + 32], steering) for at in range(0, len(asked), 32)]
    )
    each, found, at = (read[:, 0] / read[:, 1]).tolist(), [], 0
    for row in rows:
        mine = each[at : at + len(row.options)]
        found.append(float(row.options[mine.index(max(mine))] == row.answer))
        at += len(row.options)
    return found


def best_of(scores: Mapping[str, Sequence[float]]) -> dict[str, int]:
    """Where each family's largest score is."""
    return {name: int(torch.tensor(some).nan_to_num(-torch.inf).argmax()) for name, some in scores.items()}


def random_dictionary(like: SparseDictionary, states: Tensor, seed: int = SEED) -> SparseDictionary:
    """As many random unit rows, read and written, with as many active at a hidden state."""
    rows = random_vectors(like.width, like.features, seed).to(like.decoder)
    mean, active = states.mean(dim=0), float((like.encode(states) > 0).float().sum(dim=1).mean())
    inside = (states - mean) @ rows.T
    cut = torch.quantile(inside.flatten()[:: max(1, inside.numel() // 10**6)], 1 - active / like.features)
    return replace(
        like,
        encoder=rows.T.contiguous(),
        encoder_bias=-(rows @ mean).to(like.encoder_bias),
        decoder=rows,
        decoder_bias=mean.to(like.decoder_bias),
        threshold=torch.full_like(like.threshold, float(cut)),
    )


Method = Callable[[Study], Result]
