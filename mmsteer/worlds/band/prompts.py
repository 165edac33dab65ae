"""Prompts of the band world: short English that names some attributes, never a pitch."""

from collections.abc import Mapping

import numpy as np

STATABLE = ("instrument", "tempo", "metre", "texture", "mode", "chord")
# How often a prompt names each attribute; independent draws, so every combination occurs.
STATED_SHARE = 0.75
# How often a tempo is given in beats per minute rather than as a word.
NUMBER_SHARE = 0.5
CHORDS: Mapping[str, str] = {"major": "major", "minor": "minor", "aug": "augmented", "dim": "diminished"}
NOUNS: Mapping[str, str] = {"chord": "one chord", "progression": "progression", "scale": "scale"}


def write_prompt(rng: np.random.Generator, said: Mapping[str, str], bpm: float) -> str:
    """A prompt that says exactly what it is given.

    Args:
        rng: Source of the wording.
        said: Some of the attributes in `STATABLE`.
        bpm: Beats per minute, said to a whole number where a tempo is.
    """
    words = dict(said)
    if "tempo" in said and rng.random() < NUMBER_SHARE:
        words["tempo"] = f"{round(bpm)} bpm"
    if "metre" in said:
        words["metre"] = f"in {said['metre']}"
    words["quality"] = CHORDS[said["chord"]] if "chord" in said else said.get("mode", "")
    words["texture"] = NOUNS[said["texture"]] if "texture" in said else "music"
    style = _listing if rng.random() < 0.5 else _phrase
    return style(rng, words)


def _phrase(rng: np.random.Generator, words: Mapping[str, str]) -> str:
    """Such as `slow minor piano progression in three`."""
    order = ("tempo", "quality", "instrument", "texture", "metre")
    return " ".join(words[key] for key in order if words.get(key))


def _listing(rng: np.random.Generator, words: Mapping[str, str]) -> str:
    """Such as `piano, in three, progression, 75 bpm, minor`."""
    parts = [words[key] for key in ("instrument", "tempo", "metre", "quality", "texture") if words.get(key)]
    rng.shuffle(parts)
    return ", ".join(parts)
