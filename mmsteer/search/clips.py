"""Clips that a search makes, as files named by their content."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmsteer.atomic import write_atomically
from mmsteer.eval.audio import read_audio
from mmsteer.eval.sound_file import to_flac


@dataclass(frozen=True)
class Clips:
    """Where clips are kept.

    `folder`: of the search.
    `sample_rate`: in Hz.
    """

    folder: Path
    sample_rate: int

    def keep(self, wave: np.ndarray) -> str:
        """The name of the file that holds a clip from now on.

        `wave`: (samples,).
        """
        data = to_flac(wave, self.sample_rate)
        name = f"clips/{hashlib.sha256(data).hexdigest()[:16]}.flac"
        (self.folder / "clips").mkdir(exist_ok=True)
        write_atomically(self.folder / name, data)
        return name

    def read(self, name: str) -> np.ndarray:
        """A clip that was kept, (samples,) float32.

        Raises:
            EvalError: The file is gone or damaged.
        """
        return read_audio(self.folder / name).samples.astype(np.float32)
