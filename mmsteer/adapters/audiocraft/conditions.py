"""What audiocraft's MusicGen is given besides tokens, and where it puts it."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mmsteer.adapters.musicgen_inputs import texts_of
from mmsteer.adapters.waves import fitted
from mmsteer.errors import AdapterError
from mmsteer.types import Sample

MELODY = "self_wav"


def attributes_of(musicgen: Any, texts: Sequence[str | None], samples: Sequence[Sample]) -> list[Any]:
    """Texts and melodies as audiocraft's `ConditioningAttributes`.

    `texts`: descriptions; None for the null branch.
    `samples`: what they describe, with a melody each or without any.

    Raises:
        AdapterError: The checkpoint follows no melody.
    """
    waves = [
        torch.from_numpy(fitted(one.melody, musicgen.sample_rate, musicgen.audio_channels, f"{one.id}, melody"))
        for one in samples
        if one.melody is not None
    ]
    if waves and MELODY not in musicgen.lm.condition_provider.conditioners:
        raise AdapterError(
            "this checkpoint follows no melody; take a melody variant such as facebook/musicgen-melody, or give the "
            "clip as an audio prompt, which the output begins with"
        )
    return musicgen._prepare_tokens_and_attributes(texts, None, waves or None)[0]


def tensors_of(musicgen: Any, samples: Sequence[Sample], *, guided: bool) -> Mapping[str, Any]:
    """Conditions under which outputs are read, by name: states and their mask.

    `samples`: the outputs, all with a text, or all without: the null branch.
    `guided`: add the rows of the null branch.
    """
    from audiocraft.modules.conditioners import ClassifierFreeGuidanceDropout

    attributes = attributes_of(musicgen, texts_of(samples) or [None] * len(samples), samples)
    if guided:
        attributes = attributes + ClassifierFreeGuidanceDropout(p=1.0)(attributes)
    provider = musicgen.lm.condition_provider
    with torch.no_grad(), musicgen.autocast:
        return provider(provider.tokenize(attributes))


def prefix_of(lm: Any, tensors: Mapping[str, Any] | None) -> int:
    """Tokens that the model puts before the start token.

    `lm`: the language model.
    """
    known = tensors or {}
    lengths = [int(known[name][0].shape[1]) for name in lm.fuser.fuse2cond["prepend"] if name in known]
    return sum(lengths)


def constant(lm: Any, device: torch.device) -> dict[str, tuple[Tensor, Tensor]]:
    """Conditions that are the same whatever the model is asked, of one row and token each.

    `lm`: the language model.
    """
    state = torch.ones(1, 1, lm.dim, device=device, dtype=lm.emb[0].weight.dtype)
    return {name: (state, state[..., 0]) for name in lm.fuser.cond2fuse}
