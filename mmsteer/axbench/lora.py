"""LoRA through PEFT, trained on the same answers with the same budget as the finders: the baseline that moves weights.

Source: Hu et al. 2021, LoRA, arXiv:2106.09685; rank, scale and module as in Wu et al. 2025, arXiv:2501.17148.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from mmsteer import hooks
from mmsteer.adapters import AnyAdapter
from mmsteer.errors import ProbeError
from mmsteer.layouts import layouts
from mmsteer.likelihood import output_tokens
from mmsteer.tuning import Schedule
from mmsteer.tuning.supervised import drawn
from mmsteer.types import Sample

RANK, ALPHA, RATE = 4, 32, 2e-3
MODULES = {"text": "o_proj", "audio": "out_proj"}
"""What writes the output of attentions, by what a model makes."""
Weights = Mapping[str, Tensor]


def train_lora(adapter: AnyAdapter, samples: Sequence[Sample], steps: int, batch: int, seed: int) -> Weights:
    """Train an adapter that makes answers likely, and take it out again.

    Args:
        adapter: The model.
        samples: Prompts with answers.
        steps: Steps of AdamW, whose rate falls to zero.
        batch: Answers a step.
        seed: Of the start and the orders.

    Raises:
        ProbeError: PEFT is not installed, or a gradient is not finite.
    """
    schedule = Schedule(steps, RATE)
    with _wrapped(adapter, seed) as wrapped:
        parts = [one for one in wrapped.parameters() if one.requires_grad]
        optimiser = torch.optim.AdamW(parts, lr=RATE, weight_decay=0.0)
        with hooks.evaluating(adapter.model):
            for step in range(steps):
                for group in optimiser.param_groups:
                    group["lr"] = schedule.rate_at(step)
                optimiser.zero_grad()
                _loss(adapter, [samples[at] for at in drawn(len(samples), batch, step, seed)]).backward()
                if not bool(torch.nn.utils.clip_grad_norm_(parts, 1.0).isfinite()):
                    raise ProbeError(f"LoRA, step {step}: the gradient is not finite; train in float32")
                optimiser.step()
        return {name: one.detach().clone() for name, one in wrapped.named_parameters() if one.requires_grad}


@contextmanager
def with_lora(adapter: AnyAdapter, weights: Weights) -> Iterator[None]:
    """Run a model with an adapter in it.

    Args:
        adapter: The model.
        weights: What `train_lora` returned for it.
    """
    with _wrapped(adapter, 0) as wrapped:
        mine = dict(wrapped.named_parameters())
        with torch.no_grad():
            for name, value in weights.items():
                mine[name].copy_(value)
        yield


@contextmanager
def _wrapped(adapter: AnyAdapter, seed: int) -> Iterator[Any]:
    """The model in PEFT's wrapper; afterwards it is as it was.

    Raises:
        ProbeError: PEFT is not installed.
    """
    try:
        from peft import LoraConfig
        from peft.tuners.lora import LoraModel
    except ImportError:
        raise ProbeError("LoRA needs PEFT: pip install 'mmsteer[peft]', or leave the method `lora` out") from None
    trained = [one for one in adapter.model.parameters() if one.requires_grad]
    config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=[MODULES[adapter.output_kind]], lora_dropout=0.0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        wrapped = LoraModel(adapter.model, config, "default")
    for one in wrapped.parameters():
        if one.requires_grad:
            # As vectors are: in bfloat16 most updates at this rate are rounded away.
            one.data = one.data.float()
    try:
        yield wrapped
    finally:
        wrapped.unload()
        for one in trained:
            one.requires_grad_(True)


def _loss(adapter: AnyAdapter, samples: Sequence[Sample]) -> Tensor:
    reading = adapter.reading(samples)
    with layouts(adapter, adapter.generator, reading) as found:
        logits = adapter.read(reading, gradient=True, logits="outputs")
    read = output_tokens(adapter, reading, found[-1], logits)
    return -read.sums.sum() / read.sizes.sum().clamp(min=1)
