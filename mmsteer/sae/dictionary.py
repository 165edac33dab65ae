"""A sparse dictionary: hidden states as sparse sums of feature directions."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from mmsteer.errors import DictionaryError
from mmsteer.types import COMPATIBILITIES, Identified, Site, Sketch, likeness

_SHAPES = {
    "encoder": ("width", "features"),
    "encoder_bias": ("features",),
    "decoder": ("features", "width"),
    "decoder_bias": ("width",),
    "threshold": ("features",),
}


@dataclass(frozen=True, eq=False)
class SparseDictionary:
    """A trained dictionary, as it is used: hidden states in, as the model makes them, and nothing to prepare.

    Every architecture and every file comes down to this one form. With h a hidden state,

        a = h encoder + encoder_bias,   z = max(a, 0) where a > threshold, else 0,   ĥ = z decoder + decoder_bias,

    and where `k` is set only the k largest z stay. A bias that is subtracted before the encoder is part of
    `encoder_bias`, a scale of the input is folded into biases and thresholds, a gate with tied weights is a threshold
    of its magnitude (Rajamanoharan et al. 2024, arXiv:2404.16014, section 3.2), and ReLU is the threshold zero.

    Attributes:
        encoder: (width, features) float32.
        encoder_bias: (features,).
        decoder: One row a feature, (features, width).
        decoder_bias: (width,).
        threshold: (features,); below zero it does nothing.
        k: Most active features of one hidden state; None where the thresholds alone decide.
        site: Where it was read, and is written; None where a file does not say it as a site of this project.
        model: Fingerprint of the model it was trained on; None where it is not known.
        sketch: What other models are compared with that one by; None where it is not known.
        compatibility: How alike a model must be that it is used with, as of directions: `exact`, `architecture` or
            `dimension`.
        provenance: How it came to be: architecture and settings, or the file's own words.
    """

    encoder: Tensor
    encoder_bias: Tensor
    decoder: Tensor
    decoder_bias: Tensor
    threshold: Tensor
    k: int | None = None
    site: Site | None = None
    model: str | None = None
    sketch: Sketch | None = None
    compatibility: str = "exact"
    provenance: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.compatibility not in COMPATIBILITIES:
            raise DictionaryError(f"no compatibility {self.compatibility!r}; choose from {', '.join(COMPATIBILITIES)}")
        tensors = {name: getattr(self, name) for name in _SHAPES}
        _check_shapes(tensors)
        for name, tensor in tensors.items():
            if tensor.dtype != torch.float32 or not torch.isfinite(tensor).all():
                what = "numbers that are not finite" if tensor.dtype == torch.float32 else f"type {tensor.dtype}"
                raise DictionaryError(f"{name} has {what}; a dictionary is made of finite float32 numbers")
        if self.k is not None and not 0 < self.k <= self.features:
            raise DictionaryError(f"k is {self.k}; of {self.features} features between 1 and all of them can be active")
        if self.k is not None and bool((self.threshold > 0).any()):
            raise DictionaryError("a dictionary keeps the k largest features or has thresholds, not both")

    @property
    def width(self) -> int:
        """Numbers in a hidden state."""
        return self.decoder.shape[1]

    @property
    def features(self) -> int:
        """How many features there are."""
        return self.decoder.shape[0]

    def encode(self, h: Tensor) -> Tensor:
        """Activations of the features, (..., features) float32; zero where a feature is silent.

        Args:
            h: Hidden states, (..., width) of any type; computed in float32, because thresholds flip in half precision.

        Raises:
            DictionaryError: The hidden states have another width.
        """
        if h.shape[-1] != self.width:
            raise DictionaryError(f"hidden states of width {h.shape[-1]} do not fit a dictionary of width {self.width}")
        a = h.float() @ self.encoder + self.encoder_bias
        z = torch.where(a > self.threshold, a, 0).relu()
        if self.k is None:
            return z
        largest = z.topk(self.k, dim=-1, sorted=False)
        return torch.zeros_like(z).scatter(-1, largest.indices, largest.values)

    def decode(self, z: Tensor) -> Tensor:
        """Hidden states, (..., width) float32.

        Args:
            z: Activations, (..., features).
        """
        return z @ self.decoder + self.decoder_bias

    def reconstruct(self, h: Tensor) -> Tensor:
        """What the dictionary makes of hidden states, (..., width) float32; their difference is its error.

        Args:
            h: Hidden states, (..., width).
        """
        return self.decode(self.encode(h))

    def direction(self, feature: int) -> Tensor:
        """The unit vector that a feature stands for, (width,) float32.

        Args:
            feature: Its number, from 0.

        Raises:
            DictionaryError: There is no such feature, or its decoder row is zero.
        """
        if not 0 <= feature < self.features:
            raise DictionaryError(f"no feature {feature}; the dictionary has 0 to {self.features - 1}")
        row = self.decoder[feature]
        if not row.any():
            raise DictionaryError(f"feature {feature} has no direction: its decoder row is zero")
        return row / row.norm()

    def to(self, device: torch.device | str) -> "SparseDictionary":
        """The same dictionary on a device.

        Args:
            device: Where.
        """
        return replace(self, **{name: getattr(self, name).to(device) for name in _SHAPES})

    def at(self, site: Site, model: str | None = None, sketch: Sketch | None = None) -> "SparseDictionary":
        """The same dictionary, told where it belongs; for files that do not say it.

        Args:
            site: The site it was trained at.
            model: Fingerprint of the model, or None.
            sketch: The model's sketch, or None.
        """
        return replace(self, site=site, model=model, sketch=sketch)

    def located(self, model: Identified) -> Site:
        """The site, once it is sure that a model has it and is as like the one it was trained on as it must be.

        Args:
            model: The model.

        Raises:
            DictionaryError: No site is named, or the site, its width, or the model is another.
        """
        if self.site is None:
            raise DictionaryError("the dictionary's file names no site; say which with dictionary.at(Site(...))")
        if model.widths.get(self.site) != self.width:
            have = f"width {model.widths[self.site]}" if self.site in model.widths else "no such site"
            raise DictionaryError(
                f"a dictionary of width {self.width} does not fit {self.site}, where this model has {have}"
            )
        level = "exact" if self.model is None else likeness(self.model, self.sketch, model)
        if COMPATIBILITIES.index(level) > COMPATIBILITIES.index(self.compatibility):
            raise DictionaryError(
                f"the dictionary was trained on model {self.model}, this model is {model.fingerprint}; train one on "
                f"this, or accept it with dataclasses.replace(dictionary, compatibility={level!r})"
            )
        return self.site


def folded(
    encoder: Tensor,
    encoder_bias: Tensor,
    decoder: Tensor,
    decoder_bias: Tensor,
    threshold: Tensor | float = 0.0,
    *,
    subtract: bool,
    scale: float = 1.0,
    k: int | None = None,
) -> SparseDictionary:
    """The dictionary that reads hidden states as they are, from one that wants them centred and scaled.

    Args:
        encoder: (width, features).
        encoder_bias: (features,).
        decoder: (features, width).
        decoder_bias: (width,).
        threshold: (features,), or one for all.
        subtract: The decoder's bias is taken off before the encoder.
        scale: What hidden states are multiplied by before all else; activations then come out divided by it, in the
            units of the hidden state, and decoder rows keep their length.
        k: As in the dictionary.

    Raises:
        DictionaryError: The tensors do not fit together.
    """
    thresholds = torch.as_tensor(threshold, device=decoder.device)
    thresholds = thresholds if thresholds.ndim else thresholds.expand(decoder.shape[0])
    given = {"encoder": encoder, "encoder_bias": encoder_bias, "decoder": decoder, "decoder_bias": decoder_bias}
    given["threshold"] = thresholds
    _check_shapes(given)
    # float64: the projection of a large bias cancels against that of the hidden states.
    wide = {name: tensor.detach().double() for name, tensor in given.items()}
    if subtract:
        wide["encoder_bias"] = wide["encoder_bias"] - wide["decoder_bias"] @ wide["encoder"]
    for name in ("encoder_bias", "decoder_bias", "threshold"):
        wide[name] = wide[name] / scale
    narrow = {name: tensor.float().contiguous() for name, tensor in wide.items()}
    encoder, encoder_bias, decoder, decoder_bias, threshold = (narrow[name] for name in _SHAPES)
    return SparseDictionary(encoder, encoder_bias, decoder, decoder_bias, threshold, k)


def gated(
    encoder: Tensor, gate_bias: Tensor, log_scale: Tensor, magnitude_bias: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Encoder, bias and threshold of the same activations without a gate.

    The magnitude exp(r) w·h + m passes where the gate w·h + g is open, that is, where it exceeds m - exp(r) g.

    Args:
        encoder: (width, features).
        gate_bias: g, (features,).
        log_scale: r, (features,).
        magnitude_bias: m, (features,).

    Raises:
        DictionaryError: They do not fit together.

    Source: Rajamanoharan et al. 2024, arXiv:2404.16014, section 3.2.
    """
    features = tuple(encoder.shape[1:])
    for name, one in {"gate_bias": gate_bias, "log_scale": log_scale, "magnitude_bias": magnitude_bias}.items():
        if tuple(one.shape) != features:
            raise DictionaryError(f"{name} is {tuple(one.shape)}, the encoder {tuple(encoder.shape)}; they do not fit")
    scale = log_scale.double().exp()
    threshold = magnitude_bias.double() - scale * gate_bias.double()
    return encoder.double() * scale, magnitude_bias, threshold


def _check_shapes(tensors: Mapping[str, Tensor]) -> None:
    decoder = tensors["decoder"]
    if decoder.ndim != 2 or not decoder.numel():
        raise DictionaryError(f"decoder is {tuple(decoder.shape)}; a dictionary has (features, width)")
    sizes = dict(zip(("features", "width"), decoder.shape, strict=True))
    for name, shape in _SHAPES.items():
        wanted = tuple(sizes[size] for size in shape)
        if tuple(tensors[name].shape) != wanted:
            raise DictionaryError(
                f"{name} is {tuple(tensors[name].shape)}; with a decoder of {sizes['features']} features and width "
                f"{sizes['width']} it must be ({', '.join(shape)}) = {wanted}"
            )
