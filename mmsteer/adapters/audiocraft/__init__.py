"""MusicGen of audiocraft, which nothing here imports before one of its models is there or asked for."""

import sys
from typing import Any

from mmsteer.adapters.audiocraft.adapter import AudiocraftMusicgen
from mmsteer.adapters.audiocraft.loading import load_musicgen
from mmsteer.errors import AdapterError

PREFIX = "audiocraft:"
"""What the names of checkpoints in audiocraft's own layout begin with."""

__all__ = ["PREFIX", "AudiocraftMusicgen", "is_musicgen", "load_musicgen"]


def is_musicgen(model: Any) -> bool:
    """Whether a model is audiocraft's MusicGen.

    Args:
        model: Any model.

    Raises:
        AdapterError: It is another of audiocraft's models.
    """
    # Whoever holds such a model has imported its module.
    module = sys.modules.get("audiocraft.models.musicgen")
    if module is None or not isinstance(model, module.BaseGenModel):
        return False
    if not isinstance(model, module.MusicGen):
        raise AdapterError(f"no adapter for audiocraft's {type(model).__name__}; of its models, MusicGen is steered")
    return True
