"""What identifies a model's weights, wherever they lie, whatever adapters are around them; and what a run's.

All are read from the weights whenever they are asked for, so that none is stale when the weights change.
"""

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from mmsteer.types import Sketch

SAMPLES = 64
SKETCHED = 8
"""Numbers of each weight in a sketch."""

BASES = ("base_layer", "original_module")
"""What the modules of PEFT, which stand in place of a model's own, call what they stand for."""

_PLAIN = (Tensor, nn.Parameter)
"""Quantisation holds weights as other classes of tensor, or in other types of number."""

_FLOATS = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


_REGROUPED = (("vision_tower.vision_model.", "vision_tower."),)
"""What older releases of transformers call the weights of CLIP's and SigLIP's towers, and later ones."""

_NOTHING = torch.full((SKETCHED,), torch.nan, dtype=torch.bfloat16)

Sampler = Callable[[Tensor], Tensor]

Held = tuple[str, nn.Module, str]
"""A weight: its name in the model, the module that holds it, and what it is called there."""


@dataclass(frozen=True, eq=False)
class _Weight:
    """Numbers of a weight, by the name and shape that it has unquantised; NaN where it is quantised."""

    name: str
    shape: tuple[int, ...]
    numbers: Tensor


class Weights:
    """A model's own weights, as its fingerprint and its sketch see them.

    Weights that are offloaded are read once: no program changes them where they lie.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._offloaded: dict[tuple[str, Sampler], Tensor] = {}

    def fingerprint(self) -> str:
        """A short hash of names, shapes and a sample of every weight.

        The sample is rounded to bfloat16 first, so that a checkpoint has the same fingerprint in float32 and bfloat16.
        """
        return self._digest(_weights(self._model), exact=False)

    def run_identity(self) -> str:
        """A short hash of all that a model's numbers come from: weights as they are held, and active adapters.

        Samples are not rounded, and the dtype and class of each weight, the settings of adapters and how the model is
        quantised count.
        """
        active = list(_active_adapters(self._model))
        added = [weight for path, module, names in active for weight in _added(path, module, names)]
        content = self._digest([*_weights(self._model), *added], exact=True)
        settings = [(path, _settings(module, names)) for path, module, names in active]
        quantised = getattr(self._model.config, "quantization_config", None)
        return hashlib.sha256(repr((content, settings, quantised)).encode()).hexdigest()[:16]

    def _digest(self, held: Iterable[Held], *, exact: bool) -> str:
        digest = hashlib.sha256()
        weights = sorted(((_named(name), module, key) for name, module, key in held), key=lambda one: one[0])
        samples = _together([self._sampled(_strided, module, key, name) for name, module, key in weights], exact=exact)
        for (name, module, key), sample in zip(weights, samples, strict=True):
            weight = getattr(module, key)
            how = f"{type(weight).__name__} {weight.dtype}" if exact else ""
            digest.update(f"{name}{tuple(weight.shape)}{how}".encode())
            digest.update(sample)
        return digest.hexdigest()[:16]

    def sketch(self) -> Sketch:
        """The architecture, and a few numbers of every weight."""
        weights = sorted(self._weights(), key=lambda one: one.name)
        digest = hashlib.sha256(str(self._model.config.model_type).encode())
        for one in weights:
            digest.update(f"\0{one.name}{one.shape}".encode())
        return Sketch(digest.hexdigest()[:16], torch.cat([one.numbers for one in weights]))

    def _weights(self) -> Iterator[_Weight]:
        for prefix, module in _modules(self._model):
            shapes = _linear_shapes(module)
            for key in shapes or _own(module):
                held: Any = getattr(module, key, None)
                shape = shapes[key] if shapes else tuple(held.shape)
                is_plain = type(held) in _PLAIN and held.dtype in _FLOATS and held.shape == shape
                numbers = self._sampled(_spread, module, key, prefix + key) if is_plain else _NOTHING
                yield _Weight(_named(prefix + key), shape, numbers)

    def _sampled(self, sampler: Sampler, module: nn.Module, key: str, name: str) -> Tensor:
        held: Tensor = getattr(module, key).detach()
        if not held.is_meta:
            return sampler(held)
        if (name, sampler) not in self._offloaded:
            self._offloaded[name, sampler] = sampler(_kept(module, key)).clone()  # not a view of all of it
        return self._offloaded[name, sampler]


def _kept(module: nn.Module, key: str) -> Tensor:
    """An offloaded weight, from where accelerate keeps it; nothing where it does not."""
    hook = getattr(module, "_hf_hook", None)
    maps = (getattr(one, "weights_map", None) for one in (hook, *getattr(hook, "hooks", ())))
    kept: Mapping[str, Tensor] = next((weights for weights in maps if weights is not None), {})
    return kept[key] if key in kept else torch.empty(0)


def _modules(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Every module and what its weights' names begin with, as if there were no adapters."""
    base = next((module._modules[name] for name in BASES if name in module._modules), None)
    if base is not None:
        yield from _modules(base, prefix)
        return
    yield prefix, module
    for name, child in module._modules.items():
        if child is not None:
            yield from _modules(child, f"{prefix}{name}.")


def _weights(model: nn.Module) -> Iterator[Held]:
    """A model's own weights."""
    return ((prefix + key, module, key) for prefix, module in _modules(model) for key in _own(module))


def _active_adapters(model: nn.Module) -> Iterator[tuple[str, nn.Module, Sequence[str]]]:
    """Modules of PEFT that do something: where, and the names of the adapters that are switched on."""
    for path, module in model.named_modules():
        if not module._modules.keys().isdisjoint(BASES) and not getattr(module, "disable_adapters", False):
            yield path, module, getattr(module, "active_adapters", ())


def _added(path: str, module: nn.Module, adapters: Sequence[str]) -> Iterator[Held]:
    """The weights of some adapters, which a module of PEFT keeps as `<part>.<adapter>`."""
    for inner, held in module.named_modules():
        for key in _own(held):
            part, *rest = f"{inner}.{key}".lstrip(".").split(".")
            if part not in BASES and rest and rest[0] in adapters:
                yield f"{path}.{inner}.{key}", held, key


def _settings(module: nn.Module, adapters: Sequence[str]) -> list[tuple[str, str, Any]]:
    """Plain numbers and words that a module of PEFT keeps of some adapters, such as the scale of LoRA."""
    kept = [(name, of) for name, of in sorted(vars(module).items()) if isinstance(of, dict)]
    found = [(name, one, of[one]) for name, of in kept for one in adapters if one in of]
    return [(name, one, value) for name, one, value in found if isinstance(value, int | float | str)]


def _named(name: str) -> str:
    """The name of a weight, the same in every release of transformers."""
    for older, newer in _REGROUPED:
        name = name.replace(older, newer)
    return name


def _own(module: nn.Module) -> list[str]:
    """Parameters and buffers that a module saves."""
    saved = [name for name, held in module._parameters.items() if held is not None]
    for name, held in module._buffers.items():
        if held is not None and name not in module._non_persistent_buffers_set:
            saved.append(name)
    return saved


def _linear_shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """What a linear layer holds when it is not quantised; empty for other modules."""
    wide, narrow = getattr(module, "in_features", None), getattr(module, "out_features", None)
    if not isinstance(wide, int) or not isinstance(narrow, int):
        return {}
    return {"weight": (narrow, wide)} | ({} if getattr(module, "bias", None) is None else {"bias": (narrow,)})


def _strided(weight: Tensor) -> Tensor:
    if type(weight) not in _PLAIN and hasattr(weight, "__tensor_flatten__"):
        # Quantised weights of torchao are several tensors in one that can do little but multiply.
        names, _ = weight.__tensor_flatten__()
        return torch.cat([_strided(getattr(weight, name)).float() for name in names])
    flat = weight.flatten()
    return flat[:: max(1, flat.numel() // SAMPLES)][:SAMPLES]


def _together(samples: Sequence[Tensor], *, exact: bool) -> list[bytes]:
    """Samples as bytes of float32, rounded to bfloat16 unless exact: one operator for all, one wait a device."""
    found = [b""] * len(samples)
    for device in {one.device for one in samples}:
        mine = [index for index, one in enumerate(samples) if one.device == device]
        # Before they are put together, so that no neighbour's type rounds them.
        whole = torch.cat([samples[index].float() if exact else samples[index] for index in mine]).float()
        numbers = (whole if exact else whole.bfloat16().float()).cpu().numpy()
        ends = itertools.accumulate(samples[index].numel() for index in mine)
        for index, end in zip(mine, ends, strict=True):
            found[index] = numbers[end - samples[index].numel() : end].tobytes()
    return found


def _spread(weight: Tensor) -> Tensor:
    """Numbers from the middles of equal parts of a weight, (SKETCHED,) bfloat16."""
    if not weight.numel():
        return _NOTHING
    return weight.flatten()[_middles(weight.numel(), weight.device)].bfloat16().cpu()


@lru_cache(maxsize=64)
def _middles(numbers: int, device: torch.device) -> Tensor:
    # Most weights of a model are of few sizes.
    return (2 * torch.arange(SKETCHED, device=device) + 1) * numbers // (2 * SKETCHED)
