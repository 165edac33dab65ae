"""Outputs and truth become scores: from the audio alone, or from what a caption or an answer says."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from mmsteer.eval.chords import read_chord
from mmsteer.eval.intervals import read_interval
from mmsteer.eval.keys import read_key
from mmsteer.eval.notes import read_notes
from mmsteer.eval.onsets import read_onsets
from mmsteer.eval.register import read_register
from mmsteer.eval.tempo import read_tempo

EVALUATORS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "chords": read_chord,
        "intervals": read_interval,
        "keys": read_key,
        "notes": read_notes,
        "onsets": read_onsets,
        "register": read_register,
        "tempo": read_tempo,
    }
)
"""Readers of one clip, `(samples, sample_rate) -> reading`; a reading says None where it cannot tell."""

__all__ = ["EVALUATORS"]
