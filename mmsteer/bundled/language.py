"""Training of the bundled music model's text encoder and decoder on codes, within a time budget."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import MusicgenForConditionalGeneration

from mmsteer.bundled.model import PATTERN_LENGTH
from mmsteer.bundled.training import Pace, Progress, autocast, train_within


@dataclass(frozen=True)
class Budget(Pace):
    """How the language model is trained.

    Attributes:
        null_share: Rows whose prompt is withheld: the null branch of classifier-free guidance.
        unknown_share: Rows whose prompt starts with an unknown word, as strangers' prompts do.
        unheard_share: Rows of which the model does not hear the beginning, up to a random column. What has been
            heard tells instrument and tempo so well that a model hardly learns to read them in the prompt.
    """

    null_share: float = 0.1
    unknown_share: float = 0.15
    unheard_share: float = 0.5


def delayed(model: MusicgenForConditionalGeneration, codes: Tensor) -> Tensor:
    """Codes in the layout that generation uses: start column and delay pattern, (clips, codebooks, 204).

    Args:
        model: Whose pattern to use.
        codes: (clips, codebooks, frames).
    """
    start = torch.full_like(codes[..., :1], model.config.decoder.pad_token_id)
    rows = torch.cat([start, codes], dim=-1).flatten(0, 1)
    _, pattern = model.decoder.build_delay_pattern_mask(
        rows.long(), pad_token_id=model.config.decoder.pad_token_id, max_length=PATTERN_LENGTH
    )
    return pattern.view(*codes.shape[:2], -1)


@dataclass(frozen=True)
class Batch:
    """Clips to learn from.

    Attributes:
        tokens: Delayed codes, (clips, codebooks, columns).
        prompts: Token ids, 0 is padding, (clips, words).
        kept: Whether a row sees its prompt, (clips,) bool.
        unheard: How many columns of the beginning a row does not hear, (clips,).
    """

    tokens: Tensor
    prompts: Tensor
    kept: Tensor
    unheard: Tensor


def losses(model: MusicgenForConditionalGeneration, batch: Batch) -> Tensor:
    """Cross-entropy of each codebook, (codebooks,).

    Args:
        model: The model.
        batch: The clips.
    """
    prompts, kept = batch.prompts, batch.kept
    mask = prompts != 0
    states = model.text_encoder(input_ids=prompts, attention_mask=mask.long()).last_hidden_state
    # MusicGen has a projection only where the two widths differ.
    project = getattr(model, "enc_to_dec_proj", nn.Identity())
    states = project(states) * (mask & kept[:, None])[..., None]
    # A withheld prompt is all zeros, as in generation; its mask is left open, because attention over nothing
    # is not defined, and zeros add nothing wherever attention looks.
    pad = model.config.decoder.pad_token_id
    place = torch.arange(batch.tokens.shape[-1] - 1, device=prompts.device)
    heard = batch.tokens[..., :-1].masked_fill((place < batch.unheard[:, None])[:, None], pad)
    decoded = model.decoder.model(
        input_ids=heard.flatten(0, 1),
        encoder_hidden_states=states,
        encoder_attention_mask=(mask | ~kept[:, None]).long(),
        use_cache=False,
    ).last_hidden_state
    return torch.stack(
        [
            functional.cross_entropy(head(decoded).float().flatten(0, 1), target.flatten(), ignore_index=pad)
            for head, target in zip(model.decoder.lm_heads, batch.tokens[..., 1:].transpose(0, 1), strict=True)
        ]
    )


def train(
    model: MusicgenForConditionalGeneration,
    tokens: Tensor,
    prompts: Tensor,
    budget: Budget,
    checkpoint: Path,
    report: Callable[[str], None],
) -> Progress:
    """Train until the time is spent, from the checkpoint where there is one.

    Args:
        model: The model, on its device; its codec stays as it is.
        tokens: Delayed codes of all clips, (clips, codebooks, columns) int16, on the device.
        prompts: (clips, words) int64, on the device.
        budget: How to train.
        checkpoint: Where the state is kept.
        report: Takes progress lines.
    """
    model.audio_encoder.requires_grad_(False)
    return train_within(
        budget, model, lambda step: losses(model, _draw(tokens, prompts, step, budget)), checkpoint, report
    )


@torch.no_grad()
def evaluate(model: MusicgenForConditionalGeneration, tokens: Tensor, prompts: Tensor, batch: int) -> list[float]:
    """Mean loss of each codebook on clips that were not trained on.

    Args:
        model: The model.
        tokens: Delayed codes, (clips, codebooks, columns).
        prompts: (clips, words).
        batch: Clips at a time.
    """
    sums = torch.zeros(tokens.shape[1], device=tokens.device)
    for part, words in zip(tokens.split(batch), prompts.split(batch), strict=True):
        kept = torch.ones(len(part), dtype=torch.bool, device=part.device)
        with autocast(part.device):
            sums += losses(model, Batch(part.long(), words, kept, torch.zeros_like(words[:, 0]))) * len(part)
    return [round(value, 4) for value in (sums / len(tokens)).tolist()]


def _draw(tokens: Tensor, prompts: Tensor, step: int, budget: Budget) -> Batch:
    """A batch that depends on the step alone, so that a resumed run sees what an unbroken one would."""
    device = tokens.device
    generator = torch.Generator(device).manual_seed(budget.seed * 1_000_003 + step)
    rows = torch.randint(len(tokens), (budget.batch,), generator=generator, device=device)
    kept = torch.rand(budget.batch, generator=generator, device=device) >= budget.null_share
    strange = torch.rand(budget.batch, generator=generator, device=device) < budget.unknown_share
    deaf = torch.rand(budget.batch, generator=generator, device=device) < budget.unheard_share
    until = torch.randint(tokens.shape[-1], (budget.batch,), generator=generator, device=device)
    words = prompts[rows]
    unknown = torch.full_like(words[:, :1], 2)
    shifted = torch.cat([unknown, words[:, :-1]], dim=1)
    return Batch(tokens[rows].long(), torch.where(strange[:, None], shifted, words), kept, until * deaf)
