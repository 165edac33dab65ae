"""Samples → outputs under one steering, with its receipt."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mmsteer.recipes.receipts import receipt_json
from mmsteer.steering import Steering, steer
from mmsteer.types import Adapter, Sample, Sampling


def generate_steered(
    adapter: Adapter, steering: Steering, asked: Sequence[Sample | str], sampling: Sampling, seeds: Sequence[int]
) -> tuple[list[Sample], dict[str, Any]]:
    """Sample a batch.

    Args:
        adapter: The model.
        steering: What is applied to every row.
        asked: What is generated from.
        sampling: How.
        seeds: A seed for each row.

    Returns:
        The samples with their outputs, and the receipt as plain JSON.
    """
    with steer(adapter, steering) as session:
        made = adapter.generate(asked, sampling, seeds)
        receipt = receipt_json(session.receipt())
    return list(made), receipt


def seed_of(seed: int, index: int) -> int:
    """The seed of one item, drawn from that of all.

    Args:
        seed: Of all items.
        index: Place of the item.
    """
    return int(np.random.SeedSequence([seed, index]).generate_state(1)[0] >> 1)
