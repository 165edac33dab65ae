"""What an effect can be measured by: notes of clips, objects that captions mention, a dictionary's features."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmsteer.adapters import AnyAdapter
from mmsteer.errors import ProbeError
from mmsteer.eval.activity import read_activity
from mmsteer.eval.chair_parser import Parse, object_parser
from mmsteer.eval.chair_synonyms import coco_synonyms
from mmsteer.eval.notes import notes_from_activity
from mmsteer.eval.register import register_from_activity
from mmsteer.eval.tempo import read_tempo
from mmsteer.latents.bound import dictionary_content
from mmsteer.latents.effect_rollouts import EffectMeter
from mmsteer.latents.token_states import selected_states
from mmsteer.sae import SparseDictionary
from mmsteer.types import Adapter, Positions
from mmsteer.types.pitch import PITCH_CLASSES


def effect_meter(adapter: AnyAdapter, dictionary: SparseDictionary, target: str) -> EffectMeter:
    """The meter that reads a target, and what else is read along with it.

    `target`: `sae:12`; of audio `note:C`, `register` or `tempo`; of text `object:cup`.

    Raises:
        ProbeError: Nothing reads it in what this model puts out.
    """
    if target.startswith("sae:"):
        meter = feature_meter(adapter, dictionary)
    elif adapter.sample_rate is not None:
        meter = music_meter(adapter.sample_rate, tempo=target == "tempo")
    else:
        meter = object_meter(sorted(coco_synonyms()), object_parser())
    if target not in meter.names:
        raise ProbeError(f"no effect {target!r} is measured here; choose from sae:0, ..., {', '.join(meter.names)}")
    return meter


def music_meter(sample_rate: int, *, tempo: bool = False) -> EffectMeter:
    """Shares of the twelve pitch classes, the register in MIDI notes, and the tempo in beats a minute, of mono clips.

    `sample_rate`: of the clips, in Hz.
    `tempo`: read the tempo, too; short clips often have none, which gives NaN.
    """
    names = (*(f"note:{name}" for name in PITCH_CLASSES), "register", *(["tempo"] if tempo else []))

    def read(items: Sequence[Any], outputs: Sequence[Any]) -> Tensor:
        return torch.tensor([_clip_readings(wave, sample_rate, tempo) for wave in outputs], dtype=torch.float64)

    return EffectMeter(names, read)


def _clip_readings(wave: Any, sample_rate: int, tempo: bool) -> list[float]:
    activity = read_activity(np.asarray(wave), sample_rate)
    notes, register = notes_from_activity(activity), register_from_activity(activity)
    shares = [math.nan] * 12 if notes.share is None else [notes.share[name] for name in PITCH_CLASSES]
    bpm = [read_tempo(np.asarray(wave), sample_rate).bpm] if tempo else []
    return [*shares, *(math.nan if value is None else value for value in (register.midi, *bpm))]


def object_meter(classes: Sequence[str], parse: Parse) -> EffectMeter:
    """Whether a caption mentions each class of objects, 1 or 0.

    `parse`: finds mentions, from `eval.chair_parser.object_parser`.
    """

    def read(items: Sequence[Any], outputs: Sequence[Any]) -> Tensor:
        found = [{mention.object for mention in parse(text)} for text in outputs]
        return torch.tensor([[float(name in named) for name in classes] for named in found], dtype=torch.float64)

    return EffectMeter(tuple(f"object:{name}" for name in classes), read)


def feature_meter(
    adapter: Adapter, dictionary: SparseDictionary, positions: Positions = Positions("all")
) -> EffectMeter:
    """Mean activation of a dictionary's features on outputs that the unsteered model reads again: SAE-TS as published.

    `positions`: tokens that are averaged; the paper takes all.
    """
    site = dictionary.located(adapter)
    content = f"{dictionary_content(dictionary)} {positions}"

    def read(items: Sequence[Any], outputs: Sequence[Any]) -> Tensor:
        # Names count rows: several rows of a batch come from one item.
        pairs = enumerate(zip(items, outputs, strict=True))
        samples = [replace(item, id=str(row), output=output) for row, (item, output) in pairs]
        states = selected_states(adapter, samples, site, positions)
        return torch.stack([dictionary.encode(state).double().mean(dim=0) for state in states])

    return EffectMeter(tuple(f"sae:{feature}" for feature in range(dictionary.features)), read, content)
