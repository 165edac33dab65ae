"""How far one set of clips lies from another, over embeddings that the result names."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from mmsteer.errors import EvalError
from mmsteer.eval.activity import read_activity
from mmsteer.eval.audio import Floats, resample

SIGNAL_EMBEDDING = "mmsteer-signal-v1"
KAD_SCALE = 100.0
RATE, WINDOW = 16_000, 1024
BANDS = 32


@dataclass(frozen=True)
class Distance:
    """A distance between two sets, and what it was taken over.

    `metric`: `fad` or `kad`.
    """

    value: float
    metric: str
    embedding: str
    reference: str
    n_reference: int
    n: int

    def to_json(self) -> dict[str, float | int | str]:
        """The fields as plain values."""
        return asdict(self)


def frechet_distance(reference: Floats, other: Floats, *, embedding: str, reference_name: str) -> Distance:
    """The Fréchet distance between Gaussians with the moments of the two sets.

    It grows as N shrinks: compare only numbers of the same N, embedding and reference.

    `reference`: embeddings, (n_reference, width).
    `other`: embeddings, (n, width).

    Raises:
        EvalError: A set has fewer than two clips, a number is not finite, or the widths differ.

    Source: Kilgour et al. 2019, Fréchet audio distance; covariances with n - 1, as in its reference code.
    """
    _check(reference, other)
    gap = reference.mean(axis=0) - other.mean(axis=0)
    one, two = np.cov(reference, rowvar=False), np.cov(other, rowvar=False)
    one, two = np.atleast_2d(one), np.atleast_2d(two)
    # tr (AB)^(1/2) is the sum of the singular values of A^(1/2) B^(1/2), which stays real for singular covariances.
    overlap = np.linalg.svd(_root(one) @ _root(two), compute_uv=False).sum()
    value = float(gap @ gap + np.trace(one) + np.trace(two) - 2 * overlap)
    return Distance(max(value, 0.0), "fad", embedding, reference_name, len(reference), len(other))


def kernel_distance(reference: Floats, other: Floats, *, embedding: str, reference_name: str) -> Distance:
    """100 times the unbiased squared maximum mean discrepancy under a Gaussian kernel (KAD).

    The bandwidth is the median distance between two clips of the reference. The value can be slightly negative.

    `reference`: embeddings, (n_reference, width).
    `other`: embeddings, (n, width).

    Raises:
        EvalError: A set has fewer than two clips, a number is not finite, the widths differ, or the clips of
            the reference are all the same.

    Source: Gretton et al. 2012, JMLR 13, eq. 3; Chung et al. 2025, KAD: no more FAD.
    """
    _check(reference, other)
    within, across, between = (_squared(*pair) for pair in ((reference,) * 2, (reference, other), (other,) * 2))
    pairs = within[np.triu_indices(len(reference), 1)]
    bandwidth = float(np.median(np.sqrt(pairs)))
    if bandwidth == 0:
        raise EvalError("the clips of the reference are all the same, so there is no distance to measure by")
    kernel = [np.exp(-squared / (2 * bandwidth**2)) for squared in (within, across, between)]
    value = _mean_off_diagonal(kernel[0]) + _mean_off_diagonal(kernel[2]) - 2 * float(kernel[1].mean())
    return Distance(KAD_SCALE * value, "kad", embedding, reference_name, len(reference), len(other))


def signal_embedding(samples: NDArray[np.floating], sample_rate: int) -> Floats:
    """A clip as 88 numbers of its sound: the embedding named `SIGNAL_EMBEDDING`.

    Mean and spread of the log level in 32 bands from 50 Hz to 8 kHz, then mean and spread of the twelve pitch
    classes' shares. It needs no pretrained network, and hears timbre, loudness and harmony, but no style.

    `samples`: mono audio, (samples,).
    `sample_rate`: samples per second.

    Raises:
        EvalError: The audio is not mono, is empty, or is not finite.
    """
    level = _log_bands(resample(samples, sample_rate, RATE))
    activity = read_activity(samples, sample_rate)
    share = activity.chroma / np.maximum(activity.chroma.sum(axis=1, keepdims=True), 1e-12)
    share = share * activity.voiced[:, None]
    return np.concatenate([level.mean(axis=0), level.std(axis=0), share.mean(axis=0), share.std(axis=0)])


def embed(clips: Sequence[tuple[NDArray[np.floating], int]]) -> Floats:
    """The signal embeddings of many clips, (clips, 88).

    Raises:
        EvalError: There is no clip, or one cannot be read.
    """
    if not clips:
        raise EvalError("no clips to embed")
    return np.stack([signal_embedding(samples, rate) for samples, rate in clips])


def _log_bands(clip: Floats) -> Floats:
    padded = np.pad(clip, (0, max(0, WINDOW - len(clip))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[:: WINDOW // 2] * np.hanning(WINDOW)
    power = np.abs(np.fft.rfft(frames) / (WINDOW / 4)) ** 2
    frequency = np.fft.rfftfreq(WINDOW, 1 / RATE)
    centres = np.geomspace(50, 7800, BANDS)
    width = np.maximum(centres * (centres[1] / centres[0] - 1), RATE / WINDOW)
    bands = power @ np.maximum(0, 1 - np.abs(frequency[:, None] - centres) / width)
    return np.asarray(np.log10(bands + 1e-8))  # -80 dB


def _check(reference: Floats, other: Floats) -> None:
    for name, values in (("reference", reference), ("compared", other)):
        if values.ndim != 2 or len(values) < 2:
            raise EvalError(f"the {name} embeddings are {values.shape}; give at least two clips as (clips, width)")
        if not np.isfinite(values).all():
            raise EvalError(f"the {name} embeddings are not all finite")
    if reference.shape[1] != other.shape[1]:
        raise EvalError(f"embeddings of width {reference.shape[1]} and {other.shape[1]} cannot be compared")


def _root(covariance: Floats) -> Floats:
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T)


def _squared(x: Floats, y: Floats) -> Floats:
    from scipy.spatial.distance import cdist

    return np.asarray(cdist(x, y, "sqeuclidean"))


def _mean_off_diagonal(kernel: Floats) -> float:
    n = len(kernel)
    return float((kernel.sum() - np.trace(kernel)) / (n * (n - 1)))
