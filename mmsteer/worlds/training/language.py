"""Training of the bundled music model's text encoder and decoder on codes, within a time budget."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import MusicgenForConditionalGeneration

from mmsteer.adapters.musicgen_decoding import condition_of
from mmsteer.worlds.training.training import Pace, Progress, autocast, parameter_groups, read_checkpoint, train_within

MOST_FRAMES = 63
"""Longest countdown that is told apart; slow beats take 50 frames."""


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
    """Codes in the layout that generation uses: start column and delay pattern, (clips, codebooks, columns).

    Args:
        model: Whose pattern to use.
        codes: (clips, codebooks, frames).
    """
    start = torch.full_like(codes[..., :1], model.config.decoder.vocab_size)
    rows = torch.cat([start, codes], dim=-1).flatten(0, 1)
    _, pattern = model.decoder.build_delay_pattern_mask(
        rows.long(), pad_token_id=model.config.decoder.vocab_size, max_length=rows.shape[1] + codes.shape[1] - 1
    )
    return pattern.view(*codes.shape[:2], -1)


@dataclass(frozen=True)
class Clips:
    """What is learned from.

    Attributes:
        tokens: Delayed codes, (clips, codebooks, columns) int16.
        prompts: Token ids, 0 is padding, (clips, words).
        countdown: Frames until the next onset, -1 where none follows, (clips, frames) int16.
    """

    tokens: Tensor
    prompts: Tensor
    countdown: Tensor

    def part(self, first: int, last: int) -> "Clips":
        """Some of the clips.

        Args:
            first: The first of them.
            last: The first that is left out.
        """
        return Clips(self.tokens[first:last], self.prompts[first:last], self.countdown[first:last])


@dataclass(frozen=True)
class Batch:
    """Clips to learn from.

    Attributes:
        tokens: Delayed codes, (clips, codebooks, columns).
        prompts: Token ids, 0 is padding, (clips, words).
        kept: Whether a row sees its prompt, (clips,) bool.
        unheard: How many columns of the beginning a row does not hear, (clips,).
        countdown: Frames until the next onset, -1 where none follows, (clips, frames).
    """

    tokens: Tensor
    prompts: Tensor
    kept: Tensor
    unheard: Tensor
    countdown: Tensor


def decode(model: MusicgenForConditionalGeneration, batch: Batch) -> Tensor:
    """Last hidden states of the decoder, (clips, columns - 1, width).

    Args:
        model: The model.
        batch: The clips.
    """
    prompts, kept = batch.prompts, batch.kept
    mask = prompts != 0
    states = model.text_encoder(input_ids=prompts, attention_mask=mask.long()).last_hidden_state
    states = condition_of(model, states, mask & kept[:, None])
    # A withheld prompt is all zeros, as in generation; its mask is left open, because attention over nothing
    # is not defined, and zeros add nothing wherever attention looks.
    pad = model.config.decoder.vocab_size
    place = torch.arange(batch.tokens.shape[-1] - 1, device=prompts.device)
    heard = batch.tokens[..., :-1].masked_fill((place < batch.unheard[:, None])[:, None], pad)
    return model.decoder.model(
        input_ids=heard.flatten(0, 1),
        encoder_hidden_states=states,
        encoder_attention_mask=(mask | ~kept[:, None]).long(),
        use_cache=False,
    ).last_hidden_state


def losses(model: MusicgenForConditionalGeneration, decoded: Tensor, batch: Batch) -> Tensor:
    """Cross-entropy of each codebook, (codebooks,).

    Args:
        model: The model.
        decoded: Last hidden states, (clips, columns - 1, width).
        batch: The clips.
    """
    pad = model.config.decoder.vocab_size
    return torch.stack(
        [
            functional.cross_entropy(head(decoded).float().flatten(0, 1), target.flatten(), ignore_index=pad)
            for head, target in zip(model.decoder.lm_heads, batch.tokens[..., 1:].transpose(0, 1), strict=True)
        ]
    )


def train(
    model: MusicgenForConditionalGeneration,
    clips: Clips,
    budget: Budget,
    checkpoint: Path,
    report: Callable[[str], None],
) -> Progress:
    """Train until the time is spent, from the checkpoint where there is one.

    Beside the codes the model learns to count the frames to the next onset, by a head that is thrown away: the codes
    alone hold one nat a clip about the tempo, too little to learn from.

    Args:
        model: The model, on its device; its codec stays as it is.
        clips: What to learn from, on the device.
        budget: How to train.
        checkpoint: Where the state is kept.
        report: Takes progress lines; the first loss is that of the head.
    """
    learner = _learner(model)
    counter = learner[1]

    def step(number: int) -> Tensor:
        batch = _draw(clips, number, budget)
        decoded = decode(model, batch)
        return torch.cat([_counting(counter(decoded), batch.countdown)[None], losses(model, decoded, batch)])

    return train_within(budget, learner, step, checkpoint, report)


def restore(model: MusicgenForConditionalGeneration, checkpoint: Path) -> Progress:
    """Put the weights of a checkpoint into a model, and say where training stands.

    Args:
        model: The model, on its device.
        checkpoint: From `train`.
    """
    learner = _learner(model)
    progress = read_checkpoint(learner, torch.optim.AdamW(parameter_groups(learner)), checkpoint)
    model.eval()
    return progress


def _learner(model: MusicgenForConditionalGeneration) -> nn.ModuleList:
    """What is trained: the model without its codec, and the head that counts."""
    model.audio_encoder.requires_grad_(False)
    counter = nn.Linear(model.config.decoder.hidden_size, MOST_FRAMES + 1).to(model.device)
    return nn.ModuleList([model, counter])


@torch.no_grad()
def evaluate(model: MusicgenForConditionalGeneration, clips: Clips, batch: int) -> list[float]:
    """Mean loss of each codebook on clips that were not trained on.

    Args:
        model: The model.
        clips: The clips.
        batch: Clips at a time.
    """
    sums = torch.zeros(clips.tokens.shape[1], device=clips.tokens.device)
    for rows in torch.arange(len(clips.tokens), device=sums.device).split(batch):
        nothing = torch.zeros_like(rows)
        part = Batch(clips.tokens[rows].long(), clips.prompts[rows], nothing == 0, nothing, clips.countdown[rows])
        with autocast(sums.device):
            sums += losses(model, decode(model, part), part) * len(rows)
    return [round(value, 4) for value in (sums / len(clips.tokens)).tolist()]


def _counting(scores: Tensor, countdown: Tensor) -> Tensor:
    """Cross-entropy of the frames until the next onset; the state of column s predicts frame s."""
    target = countdown.long().clamp(max=MOST_FRAMES)
    return functional.cross_entropy(
        scores[:, : target.shape[1]].float().flatten(0, 1), target.flatten(), ignore_index=-1
    )


def _draw(clips: Clips, step: int, budget: Budget) -> Batch:
    """A batch that depends on the step alone, so that a resumed run sees what an unbroken one would."""
    tokens, prompts = clips.tokens, clips.prompts
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
    words = torch.where(strange[:, None], shifted, words)
    return Batch(tokens[rows].long(), words, kept, until * deaf, clips.countdown[rows])
