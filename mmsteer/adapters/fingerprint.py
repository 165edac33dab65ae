"""What identifies a model's weights, whatever their dtype or device."""

import hashlib

import torch
from torch import nn

SAMPLES = 64


def fingerprint(model: nn.Module) -> str:
    """A short hash of names, shapes and a sample of every weight.

    The sample is rounded to bfloat16 first, so that loading the same checkpoint in another precision gives the same
    fingerprint; a fine-tuned model gives another.

    Args:
        model: The model.
    """
    digest = hashlib.sha256()
    for name, weight in sorted(model.state_dict().items()):
        digest.update(f"{name}{tuple(weight.shape)}".encode())
        digest.update(_sample(weight))
    return digest.hexdigest()[:16]


def _sample(weight: torch.Tensor) -> bytes:
    if weight.is_meta:
        return b"offloaded"
    flat = weight.detach().flatten()
    stride = max(1, flat.numel() // SAMPLES)
    sample = flat[::stride][:SAMPLES].float().bfloat16().float().cpu()
    return sample.numpy().tobytes()
