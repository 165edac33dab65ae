"""The training set of a bundled music model: render its world, fit the codec, keep the codes."""

import json
import multiprocessing
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from mmsteer.worlds.training.codec import CodecShape, mdct_frames
from mmsteer.worlds.training.quantiser import decode, encode, fit_codebooks
from mmsteer.worlds.training.sources import SOURCES

CLIPS_A_TASK = 64
# Weaker bands get more weight, so that the brightness that tells instruments apart is not left to chance.
WHITENING = 0.25
_INT16 = 32767.0

Rendered = tuple[NDArray[np.int16], list[str], list[int], NDArray[np.int16]]
"""Audio (n, samples), prompts, indices of instruments, and `countdown` (n, frames)."""


@dataclass(frozen=True, eq=False)
class MusicData:
    """Clips as the language model sees them.

    Attributes:
        codes: (clips, codebooks, frames) int16.
        prompts: One a clip.
        countdown: Frames until the next onset, -1 where none follows, (clips, frames) int16.
        weights: The codec's weight of each band, (bands,).
        codebooks: (codebooks, size, bands).
        quality_db: Signal over quantisation error of held-out clips, by instrument and `all`.
    """

    codes: Tensor
    prompts: list[str]
    countdown: Tensor
    weights: Tensor
    codebooks: Tensor
    quality_db: dict[str, float]


def rendered(source: str, clips: int, workers: int, seed: int) -> Iterator[Rendered]:
    """Render a world in parallel, in a fixed order.

    Args:
        source: One of `SOURCES`.
        clips: How many clips.
        workers: Processes.
        seed: Seed of the world; clip number i depends on it and i alone.
    """
    tasks = [(source, seed, start, min(start + CLIPS_A_TASK, clips)) for start in range(0, clips, CLIPS_A_TASK)]
    # The processes are the parallelism; linear algebra with threads of its own would only get in their way.
    os.environ |= {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap(_render, tasks)


def _render(task: tuple[str, int, int, int]) -> Rendered:
    source, seed, start, stop = task
    drawn = [SOURCES[source].draw(seed, number) for number in range(start, stop)]
    audio = np.stack([one.samples for one in drawn])
    beats = np.stack([one.countdown for one in drawn])
    prompts, names = [one.prompt for one in drawn], [one.instrument for one in drawn]
    return (audio * _INT16).astype(np.int16), prompts, names, beats


def fit_codec(
    batches: list[Rendered], shape: CodecShape, device: str, iterations: int, seed: int
) -> tuple[Tensor, Tensor]:
    """The band weights and the codebooks, (bands,) and (codebooks, size, bands), on the device.

    Args:
        batches: Rendered clips.
        shape: The codec's size.
        device: Where to compute.
        iterations: Rounds of k-means a codebook.
        seed: Seed of k-means.
    """
    flat = torch.ones(shape.bands, device=device)
    frames = torch.cat([mdct_frames(_audio(batch, device), flat, shape).flatten(0, 1) for batch in batches])
    spread = frames.square().mean(dim=0).sqrt()
    weights = (spread / spread.max() + 1e-3) ** -WHITENING
    # bfloat16, like everything in the codec's matrices; the largest weight is 1.
    weights = (weights / weights.max()).to(torch.bfloat16).float()
    return weights, fit_codebooks(frames * weights, shape.spans, shape.size, iterations=iterations, seed=seed)


def quantise(batch: Rendered, weights: Tensor, codebooks: Tensor, shape: CodecShape) -> Tensor:
    """Codes of rendered clips, (clips, codebooks, frames) int16.

    Args:
        batch: Rendered clips.
        weights: (bands,).
        codebooks: (codebooks, size, bands).
        shape: The codec's size.
    """
    frames = mdct_frames(_audio(batch, weights.device), weights, shape)
    codes = encode(frames.flatten(0, 1), codebooks)
    return codes.view(*frames.shape[:2], -1).transpose(1, 2).to(torch.int16)


def codec_quality(batches: list[Rendered], weights: Tensor, codebooks: Tensor, source: str) -> dict[str, float]:
    """Signal over error in dB, full band, by instrument and `all`: the mean over clips.

    Args:
        batches: Clips that the codec was not fitted on.
        weights: (bands,).
        codebooks: (codebooks, size, bands).
        source: One of `SOURCES`.
    """
    names = [index for batch in batches for index in batch[2]]
    ratios = torch.cat([_ratios(batch, weights, codebooks, SOURCES[source].shape) for batch in batches])
    index = torch.tensor(names)
    quality = {name: ratios[index == i] for i, name in enumerate(SOURCES[source].instruments)}
    return {key: round(float(value.mean()), 2) for key, value in {"all": ratios, **quality}.items() if len(value)}


def _ratios(batch: Rendered, weights: Tensor, codebooks: Tensor, shape: CodecShape) -> Tensor:
    # The full transform is orthonormal: its energy is the audio's, and bands beyond the codec's are all error.
    audio = _audio(batch, weights.device)
    signal = mdct_frames(audio, torch.ones(shape.hop, device=weights.device), shape)
    codes = quantise(batch, weights, codebooks, shape).transpose(1, 2).flatten(0, 1).long()
    kept = decode(codes, codebooks).view(*signal.shape[:2], -1) / weights
    error = signal.clone()
    error[..., : kept.shape[-1]] -= kept
    return (10 * torch.log10(signal.square().sum(dim=(1, 2)) / error.square().sum(dim=(1, 2)))).cpu()


def _audio(batch: Rendered, device: torch.device | str) -> Tensor:
    return torch.from_numpy(batch[0]).to(device).float() / _INT16


def save_data(data: MusicData, path: Path) -> None:
    """Write the data as one safetensors file, whole or not at all.

    Args:
        data: What to keep.
        path: The file.
    """
    text = json.dumps({"prompts": data.prompts, "quality_db": data.quality_db}).encode()
    tensors = {
        "codes": data.codes,
        "countdown": data.countdown,
        "text": torch.frombuffer(bytearray(text), dtype=torch.uint8),
        "weights": data.weights,
        "codebooks": data.codebooks,
    }
    part = path.with_suffix(".part")
    save_file({key: value.cpu().contiguous() for key, value in tensors.items()}, part)
    part.replace(path)


def load_data(path: Path) -> MusicData:
    """Read what `save_data` wrote.

    Args:
        path: The file.
    """
    tensors = load_file(path)
    text = json.loads(tensors["text"].numpy().tobytes())
    return MusicData(
        tensors["codes"],
        text["prompts"],
        tensors["countdown"],
        tensors["weights"],
        tensors["codebooks"],
        text["quality_db"],
    )
