"""Labelled clips of the world for probing, with everything but the label balanced or drawn at random."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from mmsteer.data.theory import TRIADS
from mmsteer.errors import DataError
from mmsteer.types.pitch import PITCH_CLASSES
from mmsteer.worlds.music.prompts import STATABLE, STATED_SHARE
from mmsteer.worlds.music.textures import TEXTURES
from mmsteer.worlds.music.world import BEAT_FRAMES, INSTRUMENTS, REGISTERS, Clip, sample_clip


@dataclass(frozen=True)
class Concept:
    """What is told apart.

    Attributes:
        attribute: The argument of `sample_clip` that the label fixes.
        labels: The classes, in order.
        textures: The textures in which the concept is heard.
    """

    attribute: str
    labels: tuple[str, ...]
    textures: tuple[str, ...]


@dataclass(frozen=True)
class LabelledClip:
    """A clip, its class, and its source.

    Attributes:
        clip: The clip; its prompt states the concept's attribute only where that was asked for, and then always.
        label: One of the concept's labels.
        group: Clips of one group share a source (the instrument; for the concept `instrument`, register and
            tempo): split by it, and no near-copy of a training clip is tested on.
    """

    clip: Clip
    label: str
    group: str


_LINES = ("melody", "repeated", "scale", "arpeggio")
CONCEPTS: Mapping[str, Concept] = MappingProxyType(
    {
        "note": Concept("tonic", PITCH_CLASSES, ("repeated",)),
        "register": Concept("register", tuple(REGISTERS), _LINES),
        "tempo": Concept("tempo", tuple(BEAT_FRAMES), tuple(TEXTURES)),
        "instrument": Concept("instrument", INSTRUMENTS, tuple(TEXTURES)),
        "chord": Concept("chord", tuple(TRIADS), ("chords",)),
        "mode": Concept("mode", ("major", "minor"), ("melody", "scale")),
        "texture": Concept("texture", tuple(TEXTURES), tuple(TEXTURES)),
    }
)

WORDED: Mapping[str, frozenset[str]] = MappingProxyType(
    {name: frozenset({name}) for name in STATABLE} | {"chord": frozenset({"mode"})}
)
"""What a prompt says where it gives away an attribute of a clip; it never gives away the tonic."""


def concept_clips(name: str, per_label: int, seed: int, *, stated: bool = False) -> tuple[LabelledClip, ...]:
    """Clips of every label of a concept.

    Instrument, register and tempo, unless they are the concept, run through their 72 combinations in the same
    order for every label; the rest is drawn.

    Args:
        name: One of `CONCEPTS`.
        per_label: Clips for each label.
        seed: Seed of the draws; a label's clips do not depend on the other labels.
        stated: Whether the prompts state the concept, which they otherwise leave open; the clips are the same.

    Raises:
        DataError: There is no such concept, no clip is asked for, or no prompt can state the concept.
    """
    if name not in CONCEPTS:
        raise DataError(f"no concept {name!r}; choose from {', '.join(CONCEPTS)}")
    if per_label < 1:
        raise DataError(f"cannot draw {per_label} clips a label; ask for at least one")
    concept = CONCEPTS[name]
    if stated:
        check_stated(name)
    return tuple(
        _draw(concept, index, draw, [seed, index, draw], stated)
        for index in range(len(concept.labels))
        for draw in range(per_label)
    )


def check_stated(name: str) -> None:
    """Refuse a concept that prompts have no word for.

    Args:
        name: One of `CONCEPTS`.

    Raises:
        DataError: It is the note, which a prompt of the world never names.
    """
    if CONCEPTS[name].attribute not in WORDED:
        raise DataError(f"no prompt of the world states the {name}; read its clips under `prompt` or `none`")


def _draw(concept: Concept, index: int, draw: int, seed: list[int], stated: bool) -> LabelledClip:
    rng = np.random.default_rng(seed)
    # 8 instruments, 3 registers and 3 tempos: 72 draws meet each combination once.
    fixed: dict[str, Any] = {
        "instrument": INSTRUMENTS[draw % len(INSTRUMENTS)],
        "register": tuple(REGISTERS)[draw % 3],
        "tempo": tuple(BEAT_FRAMES)[draw // 3 % 3],
        "texture": str(rng.choice(concept.textures)),
    }
    label = concept.labels[index]
    fixed[concept.attribute] = index if concept.attribute == "tonic" else label
    said = _open(concept, rng) | (WORDED[concept.attribute] if stated else frozenset())
    clip = sample_clip(rng, stated=said, drone=False, **fixed)
    group = f"{clip.register} {clip.tempo}" if concept.attribute == "instrument" else clip.instrument
    return LabelledClip(clip, label, group)


def _open(concept: Concept, rng: np.random.Generator) -> frozenset[str]:
    """What the prompt states: a random part of what does not give the label away."""
    hidden = WORDED.get(concept.attribute, frozenset())
    return frozenset(name for name in STATABLE if name not in hidden and rng.random() < STATED_SHARE)
