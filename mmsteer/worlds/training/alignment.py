"""Alignment of the projector, before the language model is trained: each patch should read as the word it shows.

LLaVA, too, trains its projector first. A projected patch is compared with the word embeddings, which stay as they are.
It should be nearest to the first word of an object that it shows, or to the image token's where it shows none.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerFast

from mmsteer.worlds.scenes import OBJECTS
from mmsteer.worlds.training.training import Pace, train_within
from mmsteer.worlds.training.vision_data import shown_objects

_SHARPNESS = 10.0


def train_alignment(
    model: LlavaForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    seen: Tensor,
    shown: Tensor,
    pace: Pace,
    checkpoint: Path,
    report: Callable[[str], None],
) -> None:
    """Train the projector, from the checkpoint where there is one.

    Args:
        model: The model, whose projector is trained in place.
        tokenizer: Its tokenizer.
        seen: What the tower gives of each picture, (pictures, patches, width).
        shown: Which objects each patch shows, as bits, (pictures, patches, objects / 8).
        pace: How to train.
        checkpoint: Where the state is kept.
        report: Takes progress lines.
    """
    projector = model.model.multi_modal_projector
    ids = [*(first_word(tokenizer, name) for name in OBJECTS), model.config.image_token_id]
    words = functional.normalize(model.get_input_embeddings().weight.detach()[ids], dim=-1)

    def losses(step: int) -> Tensor:
        generator = torch.Generator().manual_seed(pace.seed * 1_000_003 + step)
        rows = torch.randint(len(seen), (pace.batch,), generator=generator)
        logits = _SHARPNESS * functional.linear(functional.normalize(projector(seen[rows].float()), dim=-1), words)
        objects = shown_objects(shown[rows])
        asked = torch.cat([objects, objects.sum(dim=-1, keepdim=True) == 0], dim=-1)
        # Two out of three patches show nothing: they count for less.
        weights = torch.where(asked[..., -1] > 0, 0.2, 1.0)
        loss = -(functional.log_softmax(logits.float(), dim=-1) * asked).sum(dim=-1) / asked.sum(dim=-1)
        return (loss * weights).sum()[None] / weights.sum()

    train_within(pace, projector, losses, checkpoint, report)


def first_word(tokenizer: PreTrainedTokenizerFast, name: str) -> int:
    """The first token of an object's name.

    Args:
        tokenizer: The tokenizer.
        name: The object.
    """
    return tokenizer(name, add_special_tokens=False).input_ids[0]
