"""Prompts → audio files: one batch under one steering, a seed for each prompt."""

from collections.abc import Sequence
from typing import Any

from mmsteer.adapters import MusicgenAdapter
from mmsteer.recipes.audio_file import to_flac
from mmsteer.recipes.music.data import Prompt
from mmsteer.recipes.music.schema import Generate
from mmsteer.recipes.receipts import receipt_json
from mmsteer.steering import Steering, steer
from mmsteer.types import Sampling


def generate_clips(
    adapter: MusicgenAdapter, steering: Steering, prompts: Sequence[Prompt], how: Generate
) -> tuple[list[bytes], dict[str, Any]]:
    """Sample a batch.

    Args:
        adapter: The model.
        steering: What is applied to every row.
        prompts: What is played.
        how: Sampling.

    Returns:
        For each prompt a FLAC file, and the receipt as plain JSON.
    """
    with steer(adapter, steering) as session:
        sampling = Sampling(seconds=how.seconds, guidance=how.guidance, temperature=how.temperature, top_k=how.top_k)
        made = adapter.generate([one.text for one in prompts], sampling, [one.seed for one in prompts])
        receipt = session.receipt()
    return [to_flac(one.output, adapter.sample_rate) for one in made], receipt_json(receipt)
