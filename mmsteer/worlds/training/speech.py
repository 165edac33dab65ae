"""Training of the bundled vision-language model to talk about what its tower sees."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from mmsteer.worlds.scenes import Turn
from mmsteer.worlds.scenes.shapes import COLOURS
from mmsteer.worlds.training.training import Pace, Progress, autocast, train_within

_SHARING_STEPS = 4
# After these words it is decided what is said of the picture, and whether anything more is; elsewhere, how it is said.
# What follows them counts for more. The weight goes by what stands before, so no word is made likelier by it.
_BEFORE_DECISIONS = ("a", "an", ".", ":", *COLOURS)
_DECISION_WEIGHT = 4.0


@dataclass(frozen=True, eq=False)
class Talks:
    """Conversations as tokens, each about one picture.

    Attributes:
        tokens: (conversations, length) int16, padded on the right.
        heard: Where a token is part of an answer, its end included, (conversations, length) bool.
        decided: Where a token follows a word after which the picture decides, (conversations, length) bool.
        scenes: Index of each conversation's picture, (conversations,).
    """

    tokens: Tensor
    heard: Tensor
    decided: Tensor
    scenes: Tensor


def tokenise(processor: LlavaProcessor, talks: Sequence[Sequence[Sequence[Turn]]]) -> Talks:
    """Read the conversations of each scene as the chat template writes them.

    Args:
        processor: The model's processor.
        talks: Of each scene, some conversations.
    """
    pieces: dict[str, list[int]] = {}

    def read(text: str) -> list[int]:
        if text not in pieces:
            pieces[text] = processor.tokenizer(text, add_special_tokens=False).input_ids
        return pieces[text]

    image = read("<image>") * processor_image_tokens(processor)
    rows = [
        _row(processor, [(read(turn.prompt), read(turn.answer)) for turn in talk], image, read)
        for scene in talks
        for talk in scene
    ]
    length = max(len(tokens) for tokens, _ in rows)
    pad = processor.tokenizer.pad_token_id
    tokens = torch.tensor([tokens + [pad] * (length - len(tokens)) for tokens, _ in rows], dtype=torch.int16)
    before = torch.tensor(processor.tokenizer.convert_tokens_to_ids(list(_BEFORE_DECISIONS)))
    return Talks(
        tokens,
        torch.tensor([heard + [False] * (length - len(heard)) for _, heard in rows]),
        torch.isin(tokens.roll(1, dims=1), before),
        torch.tensor([index for index, scene in enumerate(talks) for _ in scene]),
    )


def processor_image_tokens(processor: LlavaProcessor) -> int:
    """How many tokens one picture takes.

    Args:
        processor: The model's processor.
    """
    return (processor.image_processor.crop_size["height"] // processor.patch_size) ** 2


def _row(
    processor: LlavaProcessor,
    turns: Sequence[tuple[list[int], list[int]]],
    image: list[int],
    read: Callable[[str], list[int]],
) -> tuple[list[int], list[bool]]:
    tokens, heard = [processor.tokenizer.bos_token_id], [False]
    for index, (prompt, answer) in enumerate(turns):
        asked = read("USER:") + (image if index == 0 else []) + prompt + read("ASSISTANT:")
        said = [*answer, processor.tokenizer.eos_token_id]
        tokens += asked + said
        heard += [False] * len(asked) + [True] * len(said)
    return tokens, heard


def train_speech(
    model: LlavaForConditionalGeneration,
    seen: Tensor,
    talks: Talks,
    rows: Tensor,
    pace: Pace,
    checkpoint: Path,
    report: Callable[[str], None],
) -> Progress:
    """Train projector and language model on a finished tower, from the checkpoint where there is one.

    Args:
        model: The model; its tower stays as it is.
        seen: What the tower gives of each picture, (pictures, patches, width).
        talks: Conversations.
        rows: Which of them to learn, (n,).
        pace: How to train.
        checkpoint: Where the state is kept.
        report: Takes progress lines.
    """
    model.model.vision_tower.requires_grad_(False)

    lengths = (talks.tokens != model.config.text_config.pad_token_id).sum(dim=1)

    def losses(step: int) -> Tensor:
        # Some steps share a draw, in the order of length: less padding.
        generator = torch.Generator().manual_seed(pace.seed * 1_000_003 + step // _SHARING_STEPS)
        drawn = rows[torch.randint(len(rows), (_SHARING_STEPS * pace.batch,), generator=generator)]
        parts = drawn[lengths[drawn].argsort()].split(pace.batch)
        turn = torch.randperm(_SHARING_STEPS, generator=generator)[step % _SHARING_STEPS]
        return speech_loss(model, seen, talks, parts[turn])[None]

    return train_within(pace, model, losses, checkpoint, report)


def speech_loss(model: LlavaForConditionalGeneration, seen: Tensor, talks: Talks, rows: Tensor) -> Tensor:
    """Mean cross-entropy of the answers' tokens, those at decisions counted several times.

    Args:
        model: The model.
        seen: What the tower gives of each picture, (pictures, patches, width).
        talks: Conversations.
        rows: Which of them, (n,).
    """
    tokens, heard = talks.tokens[rows].long(), talks.heard[rows]
    length = int((tokens != model.config.text_config.pad_token_id).sum(dim=1).max())
    tokens, heard = tokens[:, :length], heard[:, :length]
    words = model.get_input_embeddings()(tokens)
    # Seen is kept in bfloat16; where nothing is cast by itself the projector computes in float32.
    pictures = model.model.multi_modal_projector(seen[talks.scenes[rows]].to(model.dtype))
    there = (tokens == model.config.image_token_id)[..., None]
    # Causal attention never looks at the padding on the right: no mask is needed.
    states = model.model.language_model(
        inputs_embeds=words.masked_scatter(there, pictures.to(words.dtype)), use_cache=False
    ).last_hidden_state
    said = heard[:, 1:]
    loss = functional.cross_entropy(model.lm_head(states[:, :-1][said]).float(), tokens[:, 1:][said], reduction="none")
    weights = torch.where(talks.decided[rows][:, 1:length][said], _DECISION_WEIGHT, 1.0)
    return (loss * weights).sum() / weights.sum()


@torch.no_grad()
def evaluate(model: LlavaForConditionalGeneration, seen: Tensor, talks: Talks, rows: Tensor, batch: int) -> float:
    """Mean cross-entropy of conversations that were not trained on.

    Args:
        model: The model.
        seen: What the tower gives of each picture.
        talks: Conversations.
        rows: Which of them, (n,).
        batch: Conversations at a time.
    """
    total = 0.0
    for part in rows.split(batch):
        with autocast(seen.device):
            total += float(speech_loss(model, seen, talks, part)) * len(part)
    return round(total / len(rows), 4)
