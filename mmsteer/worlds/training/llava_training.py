"""Training of the bundled LLaVA's projector, and of a LoRA, to let a frozen language model read pictures."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import LlavaForConditionalGeneration

from mmsteer.errors import DataError
from mmsteer.worlds.training.llava_packing import Packed, collate
from mmsteer.worlds.training.training import Progress, parameter_groups, read_checkpoint, save_checkpoint

_SHARING_STEPS = 8


@dataclass(frozen=True)
class Plan:
    """How long to train and how fast: a rate that stays, then one that falls to zero.

    A run may be stopped at any time and resumed with another plan, so that the fall can begin when the time is up.

    Attributes:
        steps: Steps in all.
        decay: Steps at the end over which the rate falls.
        batch: Pictures a step.
        rate: Learning rate.
        warmup: Steps until it is reached.
        seed: Seed of the batches.
        checkpoint_steps: Steps between checkpoints.
    """

    steps: int
    decay: int
    batch: int = 4
    rate: float = 1e-3
    warmup: int = 30
    seed: int = 0
    checkpoint_steps: int = 25

    def rate_at(self, step: int) -> float:
        """The learning rate of a step.

        Args:
            step: Its number, from 0.
        """
        return self.rate * min((step + 1) / self.warmup, (self.steps - step) / self.decay, 1.0)


def train_reading(
    model: LlavaForConditionalGeneration,
    seen: Tensor,
    rows: Sequence[Packed],
    plan: Plan,
    checkpoint: Path,
    report: Callable[[str], None],
) -> Progress:
    """Minimise the cross-entropy of the answers, from the checkpoint where there is one.

    Args:
        model: What of it requires a gradient is trained.
        seen: What the tower gives of each picture, (pictures, patches, width).
        rows: The conversations about each picture.
        plan: How to train.
        checkpoint: Where the state is kept.
        report: Takes progress lines.
    """
    optimizer = torch.optim.AdamW(parameter_groups(model), lr=plan.rate, betas=(0.9, 0.98), eps=1e-8)
    progress = read_checkpoint(model, optimizer, checkpoint) if checkpoint.exists() else Progress(0.0)
    while progress.step < plan.steps:
        began = time.monotonic()
        for group in optimizer.param_groups:
            group["lr"] = plan.rate_at(progress.step)
        chosen = draw(rows, plan, progress.step)
        loss = reading_loss(model, seen, rows, chosen)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_([one for group in optimizer.param_groups for one in group["params"]], 1.0)
        optimizer.step()
        progress.step += 1
        progress.seconds += time.monotonic() - began
        report(f"step {progress.step}  loss {float(loss.detach()):.3f}  {progress.seconds:.0f} s")
        if progress.step % plan.checkpoint_steps == 0 or progress.step == plan.steps:
            save_checkpoint(model, optimizer, progress, checkpoint)
    return progress


def draw(rows: Sequence[Packed], plan: Plan, step: int) -> list[int]:
    """The pictures of a step: each once an epoch; some steps share a draw in the order of length, for less padding.

    Args:
        rows: The conversations about each picture.
        plan: Seed and size of the batches.
        step: The step's number.

    Raises:
        DataError: There are fewer pictures than a draw takes.
    """
    block, place = divmod(step, _SHARING_STEPS)
    size = _SHARING_STEPS * plan.batch
    if len(rows) < size:
        raise DataError(f"{len(rows)} scenes are too few for batches of {plan.batch}; give at least {size}")
    epoch, at = divmod(block, len(rows) // size)
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(plan.seed * 1_000_003 + epoch))
    drawn = order[at * size : (at + 1) * size].tolist()
    drawn.sort(key=lambda row: len(rows[row].tokens))
    turn = torch.randperm(_SHARING_STEPS, generator=torch.Generator().manual_seed(plan.seed + block))[place]
    return drawn[turn * plan.batch : (turn + 1) * plan.batch]


def reading_loss(
    model: LlavaForConditionalGeneration, seen: Tensor, rows: Sequence[Packed], chosen: Sequence[int]
) -> Tensor:
    """Weighted mean cross-entropy of the answers' tokens.

    Args:
        model: The model.
        seen: What the tower gives of each picture.
        rows: The conversations about each picture.
        chosen: Which pictures.
    """
    batch = collate([rows[row] for row in chosen], model.generation_config.pad_token_id)
    words = model.get_input_embeddings()(batch.tokens)
    pictures = model.model.multi_modal_projector(seen[list(chosen)].float())
    there = (batch.tokens == model.config.image_token_id)[..., None]
    states = model.model.language_model(
        inputs_embeds=words.masked_scatter(there, pictures),
        attention_mask=batch.sees,
        position_ids=batch.positions,
        use_cache=False,
    ).last_hidden_state
    weights = batch.weights[:, 1:]
    said = weights > 0
    loss = functional.cross_entropy(model.lm_head(states[:, :-1][said]), batch.tokens[:, 1:][said], reduction="none")
    return (loss * weights[said]).sum() / weights[said].sum()


@torch.no_grad()
def evaluate(
    model: LlavaForConditionalGeneration, seen: Tensor, rows: Sequence[Packed], chosen: Sequence[int]
) -> float:
    """Weighted mean cross-entropy of pictures that were not trained on.

    Args:
        model: The model.
        seen: What the tower gives of each picture.
        rows: The conversations about each picture.
        chosen: Which pictures.
    """
    parts = [chosen[start : start + 8] for start in range(0, len(chosen), 8)]
    return sum(float(reading_loss(model, seen, rows, part)) * len(part) for part in parts) / len(chosen)
