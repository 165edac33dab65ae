"""Conditions → audio: fixed batches, a seed for each prompt, and a receipt for each batch."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import soundfile

from mmsteer.adapters import MusicgenAdapter
from mmsteer.calibrate import calibrate, divergence
from mmsteer.recipes.data import Prompt
from mmsteer.recipes.schema import Generate
from mmsteer.steering import Receipt, Steering, steer
from mmsteer.types import Sample

CONTEXTS = 4
"""Unsteered clips along which the divergence is measured."""


@dataclass(frozen=True, eq=False)
class Chunk:
    """A batch of prompts under one condition; always the same prompts, whatever was done before.

    Attributes:
        index: Its place.
        prompts: What is generated.
    """

    index: int
    prompts: tuple[Prompt, ...]


def chunks_of(prompts: Sequence[Prompt], size: int) -> tuple[Chunk, ...]:
    """Prompts in batches.

    Args:
        prompts: All prompts.
        size: Prompts a batch.
    """
    starts = range(0, len(prompts), size)
    return tuple(Chunk(index, tuple(prompts[start : start + size])) for index, start in enumerate(starts))


def generate_chunk(
    adapter: MusicgenAdapter, steering: Steering, chunk: Chunk, how: Generate
) -> tuple[list[bytes], dict[str, Any]]:
    """Sample a batch.

    Args:
        adapter: The model.
        steering: What is applied to every row.
        chunk: The prompts.
        how: Sampling.

    Returns:
        For each prompt a FLAC file, and the receipt as plain JSON.
    """
    with steer(adapter, steering) as session:
        audio = adapter.generate(
            [prompt.text for prompt in chunk.prompts],
            how.seconds,
            [prompt.seed for prompt in chunk.prompts],
            guidance=how.guidance,
            temperature=how.temperature,
            top_k=how.top_k,
        )
        receipt = session.receipt()
    return [to_flac(wave, adapter.sample_rate) for wave in audio], receipt_json(receipt)


def to_flac(wave: np.ndarray, sample_rate: int) -> bytes:
    """Audio as a FLAC file of 16 bit; what exceeds full scale is clipped.

    Args:
        wave: (samples,) or (samples, channels).
        sample_rate: In Hz.
    """
    file = io.BytesIO()
    soundfile.write(file, np.clip(wave, -1.0, 1.0), sample_rate, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def contexts(clips: Sequence[tuple[Prompt, np.ndarray]]) -> list[Sample]:
    """Unsteered clips as the contexts of a divergence.

    Args:
        clips: Prompts and what was made of them, mono.
    """
    return [Sample(str(prompt.index), wave, prompt.text) for prompt, wave in clips[:CONTEXTS]]


def calibrated(
    adapter: MusicgenAdapter, steering: Steering, samples: Sequence[Sample], target: float | None, guidance: float
) -> tuple[Steering, float | None]:
    """The steering at the strength that a condition asks for, and the factor that takes it there.

    Args:
        adapter: The model.
        steering: As the recipe writes it.
        samples: Contexts.
        target: Divergence in nats; None to leave the strengths as they are.
        guidance: Scale of guidance.
    """
    if target is None:
        return steering, None
    dose = calibrate(adapter, steering, samples, target, guidance=guidance)
    return steering.scaled(dose.factor), dose.factor


def mean_divergence(
    adapter: MusicgenAdapter, steering: Steering, samples: Sequence[Sample], guidance: float
) -> float | None:
    """Mean divergence a token in nats; None without contexts.

    Args:
        adapter: The model.
        steering: What is applied.
        samples: Contexts.
        guidance: Scale of guidance.
    """
    if not samples:
        return None
    return float(divergence(adapter, steering, samples, guidance=guidance).mean())


def receipt_json(receipt: Receipt) -> dict[str, Any]:
    """A receipt as plain JSON.

    Args:
        receipt: The receipt.
    """
    sites = {site: vars(one) for site, one in receipt.sites.items()}
    return {
        "attributes": list(receipt.attributes),
        "calls": receipt.calls,
        "rows": receipt.rows,
        "steps": receipt.steps,
        "tokens": receipt.tokens,
        "ratio": receipt.ratio,
        "sites": sites,
    }


def joined_receipt(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The receipts of a condition's batches as one.

    Args:
        parts: At least one receipt.
    """
    sites: dict[str, dict[str, float]] = {}
    for site in parts[0]["sites"]:
        rows = [part["sites"][site] for part in parts if site in part["sites"]]
        moments = sum(row["moments"] for row in rows)
        ratio = sum(row["ratio"] * row["moments"] for row in rows) / moments
        sites[site] = {"ratio": ratio, "peak": max(row["peak"] for row in rows), "moments": moments}
    counts = {key: sum(part[key] for part in parts) for key in ("calls", "rows", "steps", "tokens")}
    ratio = sum(one["ratio"] for one in sites.values()) / len(sites) if sites else None
    return {"attributes": parts[0]["attributes"], **counts, "ratio": ratio, "sites": sites}
