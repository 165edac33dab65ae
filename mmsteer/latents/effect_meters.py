"""What an effect can be measured by: notes that are heard, objects that are mentioned, a dictionary's features."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmsteer.eval.activity import read_activity
from mmsteer.eval.chair_parser import Parse
from mmsteer.eval.notes import notes_from_activity
from mmsteer.eval.register import register_from_activity
from mmsteer.eval.tempo import read_tempo
from mmsteer.latents.bound import dictionary_content
from mmsteer.latents.effect_rollouts import EffectMeter
from mmsteer.record import record
from mmsteer.sae import SparseDictionary
from mmsteer.types import Adapter, Positions, Sample
from mmsteer.types.pitch import PITCH_CLASSES


def music_meter(sample_rate: int, *, tempo: bool = False) -> EffectMeter:
    """Shares of the twelve pitch classes, the register in MIDI notes, and the tempo in beats a minute, of mono clips.

    Args:
        sample_rate: Of the clips, in Hz.
        tempo: Read the tempo, too; short clips often have none, and then do not say.
    """
    names = (*(f"note:{name}" for name in PITCH_CLASSES), "register", *(["tempo"] if tempo else []))

    def read(items: Sequence[Any], outputs: Sequence[Any]) -> Tensor:
        return torch.tensor([_heard(wave, sample_rate, tempo) for wave in outputs], dtype=torch.float64)

    return EffectMeter(names, read)


def _heard(wave: Any, sample_rate: int, tempo: bool) -> list[float]:
    activity = read_activity(np.asarray(wave), sample_rate)
    notes, register = notes_from_activity(activity), register_from_activity(activity)
    shares = [math.nan] * 12 if notes.share is None else [notes.share[name] for name in PITCH_CLASSES]
    bpm = [read_tempo(np.asarray(wave), sample_rate).bpm] if tempo else []
    return [*shares, *(math.nan if value is None else value for value in (register.midi, *bpm))]


def object_meter(classes: Sequence[str], parse: Parse) -> EffectMeter:
    """Whether a caption mentions each class of objects, 1 or 0.

    Args:
        classes: The classes.
        parse: Finds mentions, from `eval.chair_parser.object_parser`.
    """

    def read(items: Sequence[Any], outputs: Sequence[Any]) -> Tensor:
        found = [{mention.object for mention in parse(text)} for text in outputs]
        return torch.tensor([[float(name in named) for name in classes] for named in found], dtype=torch.float64)

    return EffectMeter(tuple(f"object:{name}" for name in classes), read)


def feature_meter(
    adapter: Adapter,
    dictionary: SparseDictionary,
    sample: Callable[[Any, Any], Sample],
    positions: Positions = Positions("all"),
) -> EffectMeter:
    """Mean activation of a dictionary's features on outputs that the unsteered model reads again: SAE-TS as published.

    Args:
        adapter: The model.
        dictionary: A dictionary that knows its site.
        sample: From an item and its output to what the model reads.
        positions: Tokens that are averaged; the paper takes all.
    """
    site = dictionary.located(adapter)
    content = f"{dictionary_content(dictionary)} {positions}"

    def read(items: Sequence[Any], outputs: Sequence[Any]) -> Tensor:
        # Names count rows: several rows of a batch come from one item.
        pairs = enumerate(zip(items, outputs, strict=True))
        samples = [_named(sample(item, output), str(row)) for row, (item, output) in pairs]
        states = record(adapter, samples, [site], positions=positions, pool="tokens").values[site]
        return torch.stack([_mean_activation(dictionary, state) for state in states])

    return EffectMeter(tuple(f"sae:{feature}" for feature in range(dictionary.features)), read, content)


def _named(sample: Sample, name: str) -> Sample:
    return replace(sample, id=name)


def _mean_activation(dictionary: SparseDictionary, state: Tensor) -> Tensor:
    chosen = state[state.any(dim=-1)]  # tokens that were not chosen are zero
    return dictionary.encode(chosen).double().mean(dim=0)
