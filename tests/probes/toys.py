"""Data in which the truth was planted."""

import torch


def anisotropic(n, d, generator):
    """Gaussian states whose coordinates differ in scale by a factor of 30, as hidden states do."""
    return torch.randn(n, d, generator=generator) * torch.logspace(0.5, -1, d)


def _unit(d, generator):
    v = torch.randn(d, generator=generator)
    return v / v.norm()


def mean_shift(n=600, d=64, shift=5.0, seed=0):
    """The classes differ by a shift along the truth."""
    g = torch.Generator().manual_seed(seed)
    truth, y = _unit(d, g), (torch.rand(n, generator=g) < 0.5).float()
    return anisotropic(n, d, g) + shift * (y[:, None] - 0.5) * truth, y, truth


def sign_linear(n=600, d=64, seed=0):
    """The class is the sign of the projection on the truth."""
    g = torch.Generator().manual_seed(seed)
    x, truth = anisotropic(n, d, g), _unit(d, g)
    return x, (x @ truth > 0).float(), truth


def classes(n=480, d=48, count=6, shift=5.0, seed=0):
    """Each class is shifted along its own of `count` orthogonal directions."""
    g = torch.Generator().manual_seed(seed)
    truth = torch.linalg.qr(torch.randn(d, count, generator=g)).Q.T
    y = torch.arange(n) % count
    return anisotropic(n, d, g) + shift * truth[y], [f"class {int(k)}" for k in y], truth


def values(n=400, d=32, slope=2.0, seed=0):
    """The value moves the state along the truth."""
    g = torch.Generator().manual_seed(seed)
    truth, y = _unit(d, g), torch.randn(n, generator=g)
    return torch.randn(n, d, generator=g) + slope * y[:, None] * truth, y, truth


def pairs(n=80, d=48, shift=3.0, noise=0.3, copies=1, tokens=0, seed=0):
    """Pairs that differ by a shift along the truth, between pairs that differ by much more.

    Returns states, labels, groups and the truth, (d,) or, with tokens, one truth a token, (tokens, d). Each pair
    has one negative and `copies` positives.
    """
    g = torch.Generator().manual_seed(seed)
    shape = (tokens, d) if tokens else (d,)
    truth = torch.randn(shape, generator=g)
    truth = truth / truth.norm(dim=-1, keepdim=True)
    scale = torch.logspace(0.5, -1, d)
    base = torch.randn(n, 1, *shape, generator=g) * scale * 2
    y = torch.tensor([0.0] + [1.0] * copies).repeat(n)
    own = noise * torch.randn(n, 1 + copies, *shape, generator=g) * scale
    x = (base + own).flatten(0, 1) + shift * y.view(-1, *[1] * len(shape)) * truth
    groups = [f"pair {k}" for k in range(n) for _ in range(1 + copies)]
    return x, y, groups, truth
