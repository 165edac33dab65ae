"""The layout of dictionary_learning: `config.json` beside `ae.pt`, whose tensors are read and nothing else."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from mmsteer.errors import DictionaryError
from mmsteer.sae.dictionary import SparseDictionary, folded, gated
from mmsteer.sae.formats.files import Config, at_path, check_sizes, read_weights_only, take, unit_rows
from mmsteer.tensor_files import Numbers

CONFIG = "config.json"
WEIGHTS = "ae.pt"

_LINEAR = {"encoder.weight": 2, "encoder.bias": 1, "decoder.weight": 2}
_MATRICES = {"W_enc": 2, "b_enc": 1, "W_dec": 2, "b_dec": 1}
_LAYOUTS = {
    "AutoEncoder": {**_LINEAR, "bias": 1},
    "AutoEncoderNew": {**_LINEAR, "decoder.bias": 1},
    "GatedAutoEncoder": {
        **{"encoder.weight": 2, "decoder.weight": 2, "decoder_bias": 1},
        **{"gate_bias": 1, "r_mag": 1, "mag_bias": 1},
    },
    "JumpReluAutoEncoder": {**_MATRICES, "threshold": 1},
    "AutoEncoderTopK": {**_LINEAR, "b_dec": 1},
    "BatchTopKSAE": {**_LINEAR, "b_dec": 1, "threshold": 0},
    "MatryoshkaBatchTopKSAE": {**_MATRICES, "threshold": 0},
}
# Integers, and a threshold that TopK measures but does not use.
_SPARE = ("k", "group_sizes")
_SPARE_OF = {"AutoEncoderTopK": (*_SPARE, "threshold")}


def read_dictionary_learning(folder: Path) -> SparseDictionary:
    """Read a dictionary of one of the library's seven classes, as its own loader would.

    Args:
        folder: With the two files.

    Raises:
        DictionaryError: A file is missing, damaged, or more than tensors; or the class is another.
    """
    config, path = Config.read(folder / CONFIG).section("trainer"), folder / WEIGHTS
    kind = config.get("dict_class", str)
    if kind not in _LAYOUTS:
        raise DictionaryError(f"{config.path}: no reader for dict_class {kind!r}; choose from {', '.join(_LAYOUTS)}")
    spare = _SPARE_OF.get(kind, _SPARE)
    tensors = take(path, read_weights_only(path), _LAYOUTS[kind], spare=spare)
    encoder = tensors["W_enc"] if "W_enc" in tensors else tensors["encoder.weight"].T
    check_sizes(path, encoder, config.get("activation_dim", int), config.get("dict_size", int))
    k = config.get("k", int) if kind == "AutoEncoderTopK" else None
    found = at_path(path, lambda: _READERS[kind](tensors, k))
    return replace(found, provenance={"format": "dictionary_learning", "architecture": kind})


def _relu(tensors: Numbers, _: int | None) -> SparseDictionary:
    """Its loader brings decoder rows to unit length, which leaves the reconstruction as it is."""
    return folded(*unit_rows(*_linear(tensors)), tensors["bias"], subtract=True)


def _april(tensors: Numbers, _: int | None) -> SparseDictionary:
    return folded(*_linear(tensors), tensors["decoder.bias"], subtract=False)


def _top(tensors: Numbers, k: int | None) -> SparseDictionary:
    return folded(*_linear(tensors), tensors["b_dec"], subtract=True, k=k)


def _batch_top(tensors: Numbers, _: int | None) -> SparseDictionary:
    return folded(*_linear(tensors), tensors["b_dec"], tensors["threshold"], subtract=True)


def _gated(tensors: Numbers, _: int | None) -> SparseDictionary:
    encoder, bias, threshold = gated(
        tensors["encoder.weight"].T, tensors["gate_bias"], tensors["r_mag"], tensors["mag_bias"]
    )
    return folded(encoder, bias, tensors["decoder.weight"].T, tensors["decoder_bias"], threshold, subtract=True)


def _matrices(*, subtract: bool) -> Callable[[Numbers, int | None], SparseDictionary]:
    def read(tensors: Numbers, _: int | None) -> SparseDictionary:
        encoder, bias, decoder, decoder_bias = (tensors[name] for name in _MATRICES)
        return folded(encoder, bias, decoder, decoder_bias, tensors["threshold"], subtract=subtract)

    return read


def _linear(tensors: Numbers) -> tuple[Tensor, Tensor, Tensor]:
    return tensors["encoder.weight"].T, tensors["encoder.bias"], tensors["decoder.weight"].T


_READERS: dict[str, Callable[[Numbers, int | None], SparseDictionary]] = {
    "AutoEncoder": _relu,
    "AutoEncoderNew": _april,
    "GatedAutoEncoder": _gated,
    "JumpReluAutoEncoder": _matrices(subtract=False),
    "AutoEncoderTopK": _top,
    "BatchTopKSAE": _batch_top,
    "MatryoshkaBatchTopKSAE": _matrices(subtract=True),
}
