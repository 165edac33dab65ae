"""SAE-TS on a bundled model: effects of many vectors measured, a vector made for one, and tested beside others."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmsteer.adapters import AnyAdapter, LanguageModelAdapter, MusicgenAdapter
from mmsteer.errors import ProbeError
from mmsteer.eval.chair_parser import object_parser
from mmsteer.latents.effect_meters import music_meter, object_meter
from mmsteer.latents.effect_rollouts import Dose, EffectMeter, EqualDose, Rollouts, measure_effects
from mmsteer.latents.effects import EffectModel, Ground, fit_effects, probing_vectors
from mmsteer.record import record
from mmsteer.sae import SparseDictionary
from mmsteer.types import Direction, Sample, Sampling, paired_score
from mmsteer.worlds.music.world import render_clip, sample_clip
from mmsteer.worlds.scenes import CAPTION_PROMPT, OBJECTS, render_scene, split_scenes

SECONDS, TOKENS = 2.0, 48
SEED = 77
"""The models were trained on the worlds of seed 0."""
TESTED = 1000
"""The first of the items that are tested on."""


@dataclass(frozen=True, eq=False)
class Bench:
    """What effects are measured on, for one kind of model.

    Attributes:
        adapter: The model.
        meter: What is read from outputs.
        read: Samples whose states are the ground of vectors; doses are measured along the first.
        items: From a first and a last number to what is generated from.
        make: Outputs of items.
        settings: How they are sampled, in words.
    """

    adapter: AnyAdapter
    meter: EffectMeter
    read: tuple[Sample, ...]
    items: Callable[[int, int], list[Any]]
    make: Callable[[Sequence[Any]], Sequence[Any]]
    settings: str

    def rollouts(self, first: int, last: int) -> Rollouts:
        """What is generated from some items.

        Args:
            first: The first item,
            last: and the last, which is left out.
        """
        return Rollouts(self.adapter, self.items(first, last), self.make, self.meter, self.settings, rows=64)


@dataclass(frozen=True, eq=False)
class Wanted:
    """What a wish gave.

    Attributes:
        model: The linear model of effects.
        rows: Each vector on other items: its effect there and what the model predicts.
        direction: The vector for the wish.
    """

    model: EffectModel
    rows: tuple[Mapping[str, object], ...]
    direction: Direction


def bench(adapter: AnyAdapter) -> Bench:
    """What a bundled model's effects are measured on: notes and register of clips, or objects that captions mention.

    Args:
        adapter: The model.
    """
    return _music(adapter) if isinstance(adapter, MusicgenAdapter) else _vision(adapter)


def run_sae_ts(
    setting: Bench,
    dictionary: SparseDictionary,
    features: Sequence[int],
    target: str,
    *,
    random: int = 64,
    items: int = 2,
    tested: int = 24,
    kl: float = 0.5,
    folder: Path | None = None,
    seed: int = 0,
    raw: bool = False,
) -> Wanted:
    """Measure decoder rows and random vectors at one dose, make the vector for an effect, and test it on other items.

    Beside it stand the best decoder row by measurement, a random decoder row and a random vector, at the same dose.

    Args:
        setting: What effects are measured on.
        dictionary: The dictionary.
        features: Whose rows.
        target: What is wanted, such as `note:C`.
        random: Random vectors.
        items: Prompts or pictures that every vector is measured on.
        tested: Others to test on.
        kl: The dose, in nats.
        folder: Where measurements are kept; one that was stopped goes on.
        seed: Of the random vectors.
        raw: Fit effects in their own units, as published.

    Raises:
        ProbeError: The meter does not read the target, or too little was measured.

    Source: Chalnev, Siu and Conmy 2024, arXiv:2411.02193.
    """
    names = setting.meter.names
    if target not in names:
        raise ProbeError(f"no effect {target!r} is measured here; choose from {', '.join(names)}")
    adapter = setting.adapter
    site = dictionary.located(adapter)
    states = record(adapter, setting.read, [site], pool="tokens").values[site].flatten(0, 1)
    ground = Ground(site, adapter.fingerprint, states[states.any(dim=1)])
    dose = EqualDose(adapter, setting.read[:1], kl)
    vectors = probing_vectors(ground, dictionary, features, random, seed)
    kept = None if folder is None else folder / "measured"
    effects = measure_effects(setting.rollouts(0, items), vectors, dose, folder=kept, progress=True)
    known = _varying(effects.values)
    model = fit_effects(
        torch.stack([one.vectors[site] for one in vectors]),
        effects.values[:, known],
        [names[at] for at in known],
        raw=raw,
    )
    column = names.index(target)
    best = int(effects.values[: len(features), column].nan_to_num(-torch.inf).argmax())
    wish = model.direction(ground, {target: 1.0}, f"sae-ts:{target}")
    candidates = {
        "SAE-TS": wish,
        "SAE-TS, common effect left in": model.direction(ground, {target: 1.0}, f"sae-ts-plain:{target}", common=0),
        "best decoder row": vectors[best],
        "random decoder row": vectors[(best + 1) % len(features)],
        "random vector": probing_vectors(ground, dictionary, [], 1, seed + 1)[0],
    }
    rows = _tested(setting.rollouts(TESTED, TESTED + tested), candidates, dose, column)
    predicted = model.predict(torch.stack([one.vectors[site] for one in candidates.values()]))
    place = model.names.index(target)
    return Wanted(
        model, tuple(row | {"predicted": float(p[place])} for row, p in zip(rows, predicted, strict=True)), wish
    )


def _tested(
    rollouts: Rollouts, candidates: Mapping[str, Direction], dose: Dose, column: int
) -> list[dict[str, object]]:
    from mmsteer.steering import Steering

    plain = rollouts.read([Steering()])[0, :, column]
    rows: list[dict[str, object]] = []
    for name, direction in candidates.items():
        attribute = dose(direction)
        read = rollouts.read([Steering((attribute,))])[0, :, column]
        change = paired_score(_known(read), _known(plain))
        rows.append({"vector": name, "strength": float(attribute.strength), "change": change})
    return rows


def _known(values: torch.Tensor) -> list[float | None]:
    return [None if value != value else value for value in values.tolist()]


def _varying(effects: torch.Tensor) -> list[int]:
    """Outputs that some vector moves; the others cannot be fitted."""
    spread = effects.nan_to_num(0.0).std(dim=0)
    return torch.nonzero(spread > 0).flatten().tolist()


def _music(adapter: MusicgenAdapter) -> Bench:
    clips = [sample_clip(np.random.default_rng([SEED, at])) for at in range(24)]
    length = round(SECONDS * adapter.sample_rate)
    read = tuple(Sample(str(at), clip.prompt, output=render_clip(clip)[:length]) for at, clip in enumerate(clips))

    def items(first: int, last: int) -> list[tuple[str, int]]:
        return [(sample_clip(np.random.default_rng([SEED, 1, at])).prompt, at) for at in range(first, last)]

    def make(some: Sequence[tuple[str, int]]) -> Sequence[Any]:
        texts, seeds = zip(*some, strict=True)
        return [one.output for one in adapter.generate(texts, Sampling(seconds=SECONDS), seeds)]

    return Bench(adapter, music_meter(adapter.sample_rate), read, items, make, f"{SECONDS} s")


def _vision(adapter: LanguageModelAdapter) -> Bench:
    def items(first: int, last: int) -> list[Sample]:
        scenes = split_scenes("train", last, SEED + 1)[first:]
        return [Sample(str(first + at), CAPTION_PROMPT, (render_scene(one),)) for at, one in enumerate(scenes)]

    def make(some: Sequence[Sample]) -> Sequence[str]:
        return [one.output for one in adapter.generate(some, Sampling(TOKENS))]

    read = tuple(adapter.generate(items(2000, 2016), Sampling(TOKENS)))
    return Bench(adapter, object_meter(sorted(OBJECTS), object_parser()), read, items, make, f"{TOKENS} tokens")
