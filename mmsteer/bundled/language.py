"""Training of the bundled music model's text encoder and decoder on codes, within a time budget."""

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional
from transformers import MusicgenForConditionalGeneration

from mmsteer.bundled.model import PATTERN_LENGTH


@dataclass(frozen=True)
class Budget:
    """How the language model is trained.

    Attributes:
        seconds: Training time; the learning rate falls to zero along it.
        batch: Clips a step.
        peak_rate: Highest learning rate.
        warmup: Steps until it is reached.
        null_share: Rows whose prompt is withheld: the null branch of classifier-free guidance.
        unknown_share: Rows whose prompt starts with an unknown word, as strangers' prompts do.
        unheard_share: Rows of which the model does not hear the beginning, up to a random column. What has been
            heard tells instrument and tempo so well that a model hardly learns to read them in the prompt.
        report_seconds: Time between progress lines.
        checkpoint_seconds: Time between checkpoints.
        seed: Seed of batches and dropped prompts.
    """

    seconds: float
    batch: int = 256
    peak_rate: float = 1.5e-3
    warmup: int = 300
    null_share: float = 0.1
    unknown_share: float = 0.15
    unheard_share: float = 0.5
    report_seconds: float = 10.0
    checkpoint_seconds: float = 120.0
    seed: int = 0


@dataclass
class Progress:
    """Where training stands; what a resumed run needs beside the weights.

    Attributes:
        budget_seconds: Training time that the learning rate was planned for; a resumed run keeps the plan.
        step: Steps done.
        seconds: Time spent training.
    """

    budget_seconds: float
    step: int = 0
    seconds: float = 0.0


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
    optimizer = torch.optim.AdamW(_groups(model), lr=budget.peak_rate, betas=(0.9, 0.95), eps=1e-8)
    progress = _resume(model, optimizer, checkpoint) if checkpoint.exists() else Progress(budget.seconds)
    model.train()
    began = time.monotonic() - progress.seconds
    reported, saved, counted = progress.seconds, progress.seconds, progress.step
    while progress.seconds < progress.budget_seconds:
        rate = _rate(progress, budget)
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = _step(model, optimizer, _draw(tokens, prompts, progress.step, budget))
        progress.step += 1
        progress.seconds = time.monotonic() - began
        if progress.seconds - reported >= budget.report_seconds:
            clips = budget.batch * (progress.step - counted) / (progress.seconds - reported)
            books = " ".join(f"{value:.3f}" for value in loss.tolist())
            report(f"step {progress.step}  loss {loss.mean():.3f} ({books})  rate {rate:.1e}  {clips:.0f} clips/s")
            reported, counted = progress.seconds, progress.step
        if progress.seconds - saved >= budget.checkpoint_seconds:
            _save(model, optimizer, progress, checkpoint)
            saved = progress.seconds
    _save(model, optimizer, progress, checkpoint)
    model.eval()
    return progress


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
        with _autocast(part.device):
            sums += losses(model, Batch(part.long(), words, kept, torch.zeros_like(words[:, 0]))) * len(part)
    return [round(value, 4) for value in (sums / len(tokens)).tolist()]


def _autocast(device: torch.device) -> torch.autocast | nullcontext[None]:
    # Without such instructions a CPU emulates bfloat16, slower than float32.
    fast = device.type == "cuda" or torch.cpu._is_avx512_bf16_supported()
    return torch.autocast(device.type, dtype=torch.bfloat16) if fast else nullcontext()


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


def _step(model: MusicgenForConditionalGeneration, optimizer: torch.optim.Optimizer, batch: Batch) -> Tensor:
    with _autocast(batch.tokens.device):
        loss = losses(model, batch)
    optimizer.zero_grad(set_to_none=True)
    loss.mean().backward()
    nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], 1.0)
    optimizer.step()
    return loss.detach()


def _rate(progress: Progress, budget: Budget) -> float:
    """Warm-up over steps, then a cosine over the time that is left."""
    spent = min(progress.seconds / progress.budget_seconds, 1.0)
    return budget.peak_rate * min((progress.step + 1) / budget.warmup, 0.5 * (1 + math.cos(math.pi * spent)))


def _groups(model: nn.Module) -> list[dict[str, object]]:
    """Matrices decay, vectors do not."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [parameter for parameter in trained if parameter.ndim > 1], "weight_decay": 0.05},
        {"params": [parameter for parameter in trained if parameter.ndim == 1], "weight_decay": 0.0},
    ]


def _save(model: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress, path: Path) -> None:
    """Write the checkpoint beside the old one, then put it in its place: a killed run leaves a whole file."""
    tensors = {f"model.{name}": value for name, value in _trained(model).items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value for key, value in state.items()}
    metadata = {key: str(value) for key, value in asdict(progress).items()}
    part = path.with_suffix(".part")
    save_file({key: value.detach().cpu().contiguous() for key, value in tensors.items()}, part, metadata=metadata)
    part.replace(path)


def _resume(model: nn.Module, optimizer: torch.optim.Optimizer, path: Path) -> Progress:
    with safe_open(path, "pt") as stored:
        metadata, tensors = stored.metadata(), {key: stored.get_tensor(key) for key in stored.keys()}
    with torch.no_grad():
        for name, parameter in _trained(model).items():
            parameter.copy_(tensors[f"model.{name}"])
    whole = optimizer.state_dict()
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".")
            whole["state"].setdefault(int(index), {})[name] = value
    optimizer.load_state_dict(whole)
    return Progress(float(metadata["budget_seconds"]), int(metadata["step"]), float(metadata["seconds"]))


def _trained(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
