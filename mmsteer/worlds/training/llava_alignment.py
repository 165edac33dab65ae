"""Alignment of the bundled LLaVA's projector before the language model is asked: each patch reads as what it shows.

A patch that shows objects should come near to the mean of their names' embeddings; one that shows none, to the name of
the kind of place. It costs a minute, and the language model begins with words in place of noise.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerBase

from mmsteer.worlds.scenes import OBJECTS, SCENES
from mmsteer.worlds.training.llava_data import LlavaData
from mmsteer.worlds.training.llava_model import name_embeddings
from mmsteer.worlds.training.vision_data import shown_objects

_BATCH = 64
_RATE = 2e-3
_EMPTY_WEIGHT = 0.3


def align(
    model: LlavaForConditionalGeneration,
    tokenizer: PreTrainedTokenizerBase,
    seen: Tensor,
    data: LlavaData,
    steps: int,
    seed: int,
    report: Callable[[str], None],
) -> None:
    """Train the projector in place, from the start.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        seen: What the tower gives of each picture, (pictures, patches, width).
        data: What each patch shows.
        steps: Steps of training.
        seed: Seed of the projector and the batches.
        report: Takes progress lines.
    """
    projector = model.model.multi_modal_projector
    generator = torch.Generator().manual_seed(seed)
    projector.requires_grad_(True)
    _start(projector.linear_1, projector.linear_2, seen, generator)
    objects = name_embeddings(model, tokenizer, list(OBJECTS))
    kinds = name_embeddings(model, tokenizer, list(SCENES))
    spread = objects.var()
    optimizer = torch.optim.AdamW(projector.parameters(), lr=_RATE, weight_decay=0.0)
    for step in range(steps):
        rows = torch.randint(len(seen), (_BATCH,), generator=generator)
        shown = shown_objects(data.shown[rows])
        count = shown.sum(dim=-1, keepdim=True)
        target = torch.where(count > 0, shown @ objects / count.clamp(min=1), kinds[data.kinds[rows]][:, None])
        weights = torch.where(count > 0, 1.0, _EMPTY_WEIGHT)
        off = functional.mse_loss(projector(seen[rows].float()), target, reduction="none") / spread
        loss = (off * weights).mean() / weights.mean()
        for group in optimizer.param_groups:
            group["lr"] = _RATE * (1 - step / steps)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if step % 50 == 0 or step == steps - 1:
            report(f"alignment step {step}  loss {float(loss.detach()):.3f}")


def _start(first: nn.Linear, second: nn.Linear, seen: Tensor, generator: torch.Generator) -> None:
    """Random weights that take what the tower gives to mean zero and variance one: the projector has no norm."""
    sample = seen[:512].float().flatten(0, 1)
    mean, spread = sample.mean(dim=0), sample.std(dim=0)
    with torch.no_grad():
        for layer in (first, second):
            layer.weight.normal_(0, layer.in_features**-0.5, generator=generator)
            layer.bias.zero_()
        first.weight /= spread
        first.bias.sub_(first.weight @ mean)
        second.weight *= 0.1
