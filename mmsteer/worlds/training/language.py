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
        wrong_share: Rows in which the model hears codes of another row here and there, and all of them for a while. Its
            own outputs hold such errors; without them in training it takes up each one, and wanders.
        wrong_codes: Most codes of such a row that are another's.
        wrong_columns: Most columns in which all are.
    """

    null_share: float = 0.1
    unknown_share: float = 0.15
    unheard_share: float = 0.5
    wrong_share: float = 0.0
    wrong_codes: float = 0.2
    wrong_columns: int = 10


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
        heard: What the model hears of them, of the same shape.
        prompts: Token ids, 0 is padding, (clips, words).
        kept: Whether a row sees its prompt, (clips,) bool.
        countdown: Frames until the next onset, -1 where none follows, (clips, frames).
    """

    tokens: Tensor
    heard: Tensor
    prompts: Tensor
    kept: Tensor
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
    return model.decoder.model(
        input_ids=batch.heard[..., :-1].flatten(0, 1),
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
    counter, pad = learner[1], model.config.decoder.vocab_size

    def step(number: int) -> Tensor:
        batch = _draw(clips, number, budget, pad)
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
        tokens = clips.tokens[rows].long()
        part = Batch(tokens, tokens, clips.prompts[rows], torch.ones_like(rows).bool(), clips.countdown[rows])
        with autocast(sums.device):
            sums += losses(model, decode(model, part), part) * len(rows)
    return [round(value, 4) for value in (sums / len(clips.tokens)).tolist()]


def _counting(scores: Tensor, countdown: Tensor) -> Tensor:
    """Cross-entropy of the frames until the next onset; the state of column s predicts frame s."""
    target = countdown.long().clamp(max=MOST_FRAMES)
    return functional.cross_entropy(
        scores[:, : target.shape[1]].float().flatten(0, 1), target.flatten(), ignore_index=-1
    )


def _draw(clips: Clips, step: int, budget: Budget, pad: int) -> Batch:
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
    drawn = tokens[rows].long()
    heard = _with_errors(drawn, pad, budget, generator) if budget.wrong_share else drawn
    place = torch.arange(drawn.shape[-1], device=device)
    heard = heard.masked_fill((place < (until * deaf)[:, None])[:, None], pad)
    return Batch(drawn, heard, words, kept, clips.countdown[rows])


def _with_errors(tokens: Tensor, pad: int, budget: Budget, generator: torch.Generator) -> Tensor:
    """The codes with those of the row before in places, single ones and all of some columns in a row."""
    rows, _, columns = tokens.shape

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=tokens.device)

    single = uniform(*tokens.shape) < (budget.wrong_codes * uniform(rows))[:, None, None]
    first, length = columns * uniform(rows), budget.wrong_columns * uniform(rows)
    place = torch.arange(columns, device=tokens.device)
    span = (place >= first[:, None]) & (place < (first + length)[:, None])
    wrong = (single | span[:, None]) & (uniform(rows) < budget.wrong_share)[:, None, None]
    others = tokens.roll(1, dims=0)
    # The start column and the delays' padding are no codes, and stay as they are.
    return torch.where(wrong & (tokens != pad) & (others != pad), others, tokens)
