"""The notes that Basic Pitch hears: a judge of any number of voices that nobody here made.

The network is the ONNX file of the `basic-pitch` wheel, run by onnxruntime; the package's own code, which asks for
TensorFlow, is not needed: `pip install 'mmsteer[judges]' && pip install --no-deps basic-pitch`. Windows, overlap and
the threshold of a note are the package's.

Source: Bittner et al. 2022, A lightweight instrument-agnostic model for polyphonic note transcription, ICASSP.

"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsteer.errors import EvalError
from mmsteer.eval.activity import HIGHEST, LOWEST
from mmsteer.eval.audio import Floats, resample
from mmsteer.eval.chords import name_triad
from mmsteer.eval.installed_weights import weights_in
from mmsteer.types.pitch import PITCH_CLASSES

RATE, WINDOW, HOP = 22_050, 43_844, 256
FRAMES_PER_SECOND = 86
OVERLAP = 30  # frames that neighbouring windows share; half of them are left out at each end
FIRST, KEYS = 21, 88  # MIDI number of the lowest key
SOUNDING = 0.3  # posterior above which a key sounds
MIN_VOICED = 0.05
OUTPUT, INPUT = "StatefulPartitionedCall:1", "serving_default_input_2:0"
REMEDY = "pip install --no-deps basic-pitch"


@dataclass(frozen=True, eq=False)
class BasicPitchReading:
    """The notes of a clip.

    Attributes:
        keys: How likely each piano key sounds, (frames, 88), 86 frames a second.
        main_note: The pitch class that is the strongest most of the time; None where hardly anything sounds.
        chord: The triad of the whole clip in the syntax of mir_eval; None where there is none.
    """

    keys: Floats
    main_note: str | None
    chord: str | None


def read_basic_pitch(samples: NDArray[np.floating], sample_rate: int) -> BasicPitchReading:
    """Transcribe a clip.

    Args:
        samples: Mono audio, (samples,).
        sample_rate: Samples per second.

    Raises:
        EvalError: onnxruntime or basic-pitch is not installed, or the audio is not mono, is empty, or is not finite.
    """
    keys = _keys(resample(samples, sample_rate, RATE))
    sounding = np.where(keys >= SOUNDING, keys, 0)
    return BasicPitchReading(keys, _main(sounding), _chord(sounding))


def _keys(clip: Floats) -> Floats:
    step = WINDOW - OVERLAP * HOP
    padded = np.pad(clip.astype(np.float32), (OVERLAP * HOP // 2, WINDOW))
    windows = [padded[at : at + WINDOW] for at in range(0, len(clip) + OVERLAP * HOP // 2, step)]
    [found] = _session().run([OUTPUT], {INPUT: np.stack(windows)[..., None]})
    inner = found[:, OVERLAP // 2 : -(OVERLAP // 2)]
    return np.asarray(inner.reshape(-1, KEYS)[: int(len(clip) * FRAMES_PER_SECOND / RATE)], dtype=np.float64)


@cache
def _session() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise EvalError(f"onnxruntime is not available ({error}); pip install 'mmsteer[judges]'") from error
    path = weights_in("basic_pitch", "saved_models/icassp_2022/nmp.onnx", REMEDY)
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def _main(sounding: Floats) -> str | None:
    voiced = sounding[sounding.any(axis=1)]
    if len(voiced) < MIN_VOICED * len(sounding):
        return None
    strongest = (voiced.argmax(axis=1) + FIRST) % 12
    return PITCH_CLASSES[int(np.bincount(strongest, minlength=12).argmax())]


def _chord(sounding: Floats) -> str | None:
    # Keys as the notes that `name_triad` takes.
    return name_triad(np.pad(sounding, ((0, 0), (0, HIGHEST - FIRST - KEYS + 1)))[:, LOWEST - FIRST :])[0]
