"""What transformers' MusicGen is given: its text, its melody, the codes of audio, and the null branch of guidance."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmsteer.adapters.musicgen_inputs import melody_features, texts_of
from mmsteer.errors import AdapterError
from mmsteer.types import Sample


class Conditions:
    """Arguments of one model.

    `is_melody`: Whether it puts text and melody before the start token, instead of attending to the text.
    """

    def __init__(self, model: Any, processor: Any) -> None:
        self._model = model
        self._processor = processor
        self.is_melody: bool = model.config.model_type == "musicgen_melody"

    def codes(self, wave: np.ndarray, device: torch.device) -> Tensor:
        """Codes of audio, of each channel apart and in turns, (streams, frames).

        `wave`: the audio, (channels, samples).
        """
        audio = torch.from_numpy(wave).to(device, self._model.dtype)[:, None]
        with torch.no_grad():
            codes = self._model.audio_encoder.encode(audio).audio_codes[0]
        return codes.transpose(0, 1).flatten(0, 1)

    def of_texts(self, texts: Sequence[str], samples: Sequence[Sample], device: torch.device) -> dict[str, Tensor]:
        """Arguments that say what to play.

        `texts`: descriptions.
        `samples`: what they describe, with a melody each or without any.
        """
        tokens = self._processor(text=texts, padding=True, return_tensors="pt").to(device)
        return {**tokens, **self._melody(samples, device)}

    def of_outputs(self, samples: Sequence[Sample], device: torch.device) -> dict[str, Tensor]:
        """Arguments under which outputs are read.

        `samples`: the outputs, all with a text, or all without: the null branch.
        """
        texts = texts_of(samples)
        if texts:
            return self.of_texts(texts, samples, device)
        if not self.is_melody:
            ids = torch.zeros(len(samples), 1, dtype=torch.long, device=device)
            return {"input_ids": ids, "attention_mask": torch.zeros_like(ids)}
        config = self._model.config
        shape = (len(samples), config.chroma_length + 1, config.decoder.hidden_size)
        return {"encoder_hidden_states": torch.zeros(shape, device=device, dtype=self._model.dtype)}

    def prefix(self, condition: Mapping[str, Tensor]) -> int:
        """Tokens that the model puts before the start token.

        `condition`: its arguments.
        """
        if not self.is_melody:
            return 0
        if "encoder_hidden_states" in condition:
            return condition["encoder_hidden_states"].shape[1]
        return condition["input_ids"].shape[1] + self._model.config.chroma_length

    def _melody(self, samples: Sequence[Sample], device: torch.device) -> dict[str, Tensor]:
        found = [sample.melody for sample in samples if sample.melody is not None]
        if not found:
            return {}
        if not self.is_melody:
            raise AdapterError(
                "this checkpoint follows no melody; take a melody variant such as facebook/musicgen-melody, or give "
                "the clip as an audio prompt, which the output begins with"
            )
        features = melody_features(samples, self._processor)
        return {"input_features": features.to(device, self._model.dtype)}


def with_null_branch(condition: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Arguments of both branches, rows [conditional; null]."""
    return {name: torch.cat([value, _null(name, value)]) for name, value in condition.items()}


def _null(name: str, value: Tensor) -> Tensor:
    """The null branch: the same text under a mask of zeros, and a melody that stays on one note."""
    if name == "input_ids":
        return value
    null = torch.zeros_like(value)
    if name == "input_features":
        null[..., 0] = 1  # as transformers writes it
    return null
