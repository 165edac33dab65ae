"""Clips that a search makes, as files named by their content."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmsteer.atomic import write_atomically
from mmsteer.eval.audio import read_audio
from mmsteer.eval.sound_file import to_flac
from mmsteer.folders import digest_of, say


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
        name = _name(data)
        (self.folder / "clips").mkdir(exist_ok=True)
        write_atomically(self.folder / name, data)
        return name

    def has(self, names: Sequence[str]) -> bool:
        """Whether clips are there as they were written; where some are not, it is said.

        `names`: what `keep` returned.
        """
        gone = [name for name in names if not self._fits(name)]
        if gone:
            say(f"{self.folder}: damaged, and made again: {', '.join(gone)}")
        return not gone

    def read(self, name: str) -> np.ndarray:
        """A clip that was kept, (samples,) float32.

        Raises:
            EvalError: The file is gone or damaged.
        """
        return read_audio(self.folder / name).samples.astype(np.float32)

    def _fits(self, name: str) -> bool:
        path = self.folder / name
        return path.is_file() and _name(path.read_bytes()) == name


def _name(data: bytes) -> str:
    return f"clips/{digest_of(data)[:16]}.flac"
