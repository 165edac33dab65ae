"""Training within a time budget, with checkpoints that a killed run resumes from."""

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


@dataclass(frozen=True)
class Pace:
    """How long to train and how fast.

    Attributes:
        seconds: Training time; the learning rate falls to zero along it.
        batch: Rows a step.
        peak_rate: Highest learning rate.
        warmup: Steps until it is reached.
        report_seconds: Time between progress lines.
        checkpoint_seconds: Time between checkpoints.
        seed: Seed of the batches.
        extends: Whether a run that has a checkpoint gets the time on top of what it has spent: another leg, whose
            learning rate starts where the longer plan has it.
    """

    seconds: float
    batch: int = 256
    peak_rate: float = 1.5e-3
    warmup: int = 300
    report_seconds: float = 10.0
    checkpoint_seconds: float = 120.0
    seed: int = 0
    extends: bool = False


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


def train_within(
    pace: Pace,
    model: nn.Module,
    losses: Callable[[int], Tensor],
    checkpoint: Path,
    report: Callable[[str], None],
) -> Progress:
    """Minimise the mean of some losses until the time is spent, from the checkpoint where there is one.

    Args:
        pace: How to train.
        model: Its parameters that require a gradient are trained.
        losses: Takes the step's number and computes the losses of its batch; a resumed run asks for the same ones.
        checkpoint: Where the state is kept.
        report: Takes progress lines.
    """
    optimizer = torch.optim.AdamW(parameter_groups(model), lr=pace.peak_rate, betas=(0.9, 0.95), eps=1e-8)
    progress = read_checkpoint(model, optimizer, checkpoint) if checkpoint.exists() else Progress(pace.seconds)
    if pace.extends and progress.step:
        progress.budget_seconds = progress.seconds + pace.seconds
    model.train()
    began = time.monotonic() - progress.seconds
    reported, saved, counted = progress.seconds, progress.seconds, progress.step
    while progress.seconds < progress.budget_seconds:
        rate = _rate(progress, pace)
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = _step(optimizer, losses, progress.step)
        progress.step += 1
        progress.seconds = time.monotonic() - began
        if progress.seconds - reported >= pace.report_seconds:
            rows = pace.batch * (progress.step - counted) / (progress.seconds - reported)
            parts = " ".join(f"{value:.3f}" for value in loss.tolist())
            report(f"step {progress.step}  loss {loss.mean():.3f} ({parts})  rate {rate:.1e}  {rows:.0f} rows/s")
            reported, counted = progress.seconds, progress.step
        if progress.seconds - saved >= pace.checkpoint_seconds:
            save_checkpoint(model, optimizer, progress, checkpoint)
            saved = progress.seconds
    save_checkpoint(model, optimizer, progress, checkpoint)
    model.eval()
    return progress


def autocast(device: torch.device) -> torch.autocast | nullcontext[None]:
    """bfloat16 where the device computes faster with it.

    Args:
        device: Where the model is.
    """
    # AVX-512 has instructions for it, too; with them alone small models train at half the speed of float32.
    fast = device.type == "cuda" or torch.cpu._is_amx_tile_supported()
    return torch.autocast(device.type, dtype=torch.bfloat16) if fast else nullcontext()


def _step(optimizer: torch.optim.Optimizer, losses: Callable[[int], Tensor], number: int) -> Tensor:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    with autocast(parameters[0].device):
        loss = losses(number)
    optimizer.zero_grad(set_to_none=True)
    loss.mean().backward()
    nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    return loss.detach()


def _rate(progress: Progress, pace: Pace) -> float:
    """Warm-up over steps, then a cosine over the time that is left."""
    spent = min(progress.seconds / progress.budget_seconds, 1.0)
    return pace.peak_rate * min((progress.step + 1) / pace.warmup, 0.5 * (1 + math.cos(math.pi * spent)))


def parameter_groups(model: nn.Module) -> list[dict[str, object]]:
    """What is trained, for AdamW: matrices decay, vectors do not.

    Args:
        model: Its parameters that require a gradient.
    """
    trained = list(_trained(model).values())
    return [
        {"params": [parameter for parameter in trained if parameter.ndim > 1], "weight_decay": 0.05},
        {"params": [parameter for parameter in trained if parameter.ndim == 1], "weight_decay": 0.0},
    ]


def save_checkpoint(model: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress, path: Path) -> None:
    """Write the checkpoint beside the old one, then put it in its place: a killed run leaves a whole file.

    Args:
        model: Its parameters that require a gradient are kept.
        optimizer: Its state.
        progress: Where training stands.
        path: The file.
    """
    tensors = {f"model.{name}": value for name, value in _trained(model).items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value for key, value in state.items()}
    metadata = {key: str(value) for key, value in asdict(progress).items()}
    part = path.with_suffix(".part")
    save_file({key: value.detach().cpu().contiguous() for key, value in tensors.items()}, part, metadata=metadata)
    part.replace(path)


def read_checkpoint(model: nn.Module, optimizer: torch.optim.Optimizer, path: Path) -> Progress:
    """Put the state of a checkpoint into a model and its optimizer, and say where training stands.

    Args:
        model: Its parameters that require a gradient are set.
        optimizer: Its state is set.
        path: The file.
    """
    with safe_open(path, "pt") as stored:
        metadata, tensors = stored.metadata(), {key: stored.get_tensor(key) for key in stored.keys()}
    with torch.no_grad():
        for name, parameter in _trained(model).items():
            parameter.copy_(tensors[f"model.{name}"])
    whole = optimizer.state_dict()
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            # The parameter's number, then what the optimizer keeps of it.
            _, index, name = key.split(".")
            whole["state"].setdefault(int(index), {})[name] = value
    optimizer.load_state_dict(whole)
    return Progress(float(metadata["budget_seconds"]), int(metadata["step"]), float(metadata["seconds"]))


def _trained(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
