"""Models whose hidden states can be read and steered."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForTextToWaveform, AutoProcessor, PreTrainedModel

from mmsteer.adapters.musicgen import MusicgenAdapter
from mmsteer.errors import AdapterError

ADAPTERS = {"musicgen": MusicgenAdapter, "musicgen_melody": MusicgenAdapter}

__all__ = ["ADAPTERS", "MusicgenAdapter", "adapt", "load"]


def adapt(model: PreTrainedModel, processor: Any) -> MusicgenAdapter:
    """Make a model that is already loaded readable and steerable.

    Args:
        model: The model; it is used as it is.
        processor: Its processor.

    Raises:
        AdapterError: No adapter serves this type of model.
    """
    return _adapter(model.config.model_type)(model.eval(), processor)


def load(name: str | Path, *, device: str = "cpu", dtype: str = "auto") -> MusicgenAdapter:
    """Load a model and its processor.

    Args:
        name: A folder in the `from_pretrained` layout, or a name on the Hugging Face hub.
        device: `cpu`, `cuda` or `auto`, which spreads the model over what there is.
        dtype: `auto`, as the checkpoint says, or `float32`, `bfloat16`, `float16`.

    Raises:
        AdapterError: There is no such model, or no adapter serves its type.
    """
    try:
        kind = AutoConfig.from_pretrained(name).model_type
    except (OSError, ValueError) as reason:
        raise AdapterError(f"cannot load a model from {str(name)!r}: {_first_line(reason)}") from reason
    adapter = _adapter(kind)
    place = "auto" if device == "auto" else {"": torch.device(device)}
    try:
        model = AutoModelForTextToWaveform.from_pretrained(name, dtype=dtype, device_map=place)
        processor = AutoProcessor.from_pretrained(name)
    except (OSError, ValueError) as reason:
        raise AdapterError(f"cannot load the model in {str(name)!r}: {_first_line(reason)}") from reason
    return adapter(model.eval(), processor)


def _adapter(kind: str) -> type[MusicgenAdapter]:
    if kind not in ADAPTERS:
        raise AdapterError(f"no adapter for models of type {kind!r}; choose from {', '.join(ADAPTERS)}")
    return ADAPTERS[kind]


def _first_line(reason: Exception) -> str:
    return str(reason).strip().splitlines()[0]
