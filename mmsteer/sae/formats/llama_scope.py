"""The layout of Llama Scope: `hyperparams.json` and `checkpoints/final.safetensors`."""

import math
from dataclasses import replace
from pathlib import Path

import torch

from mmsteer.errors import DictionaryError
from mmsteer.sae.dictionary import SparseDictionary, folded
from mmsteer.sae.formats.files import Config, at_path, check_sizes, read_safetensors, take, unit_rows
from mmsteer.tensor_files import Numbers

CONFIG = "hyperparams.json"
WEIGHTS = "checkpoints/final.safetensors"
_NAMES = {"encoder.weight": 2, "encoder.bias": 1, "decoder.weight": 2}
_ACTIVATIONS = ("jumprelu", "topk", "relu")


def read_llama_scope(folder: Path) -> SparseDictionary:
    """Read a dictionary of Llama Scope, as the library that trained it prepares it for use.

    The data had one mean norm in training, which is folded into the weights; then decoder rows are brought to unit
    length, and the one threshold of all features applies to the activations that result. A TopK dictionary for which a
    threshold was measured is used with the threshold.

    Args:
        folder: With `hyperparams.json`; the `lm_config.json` beside it is not needed.

    Raises:
        DictionaryError: A file is missing or damaged, or asks for what a dictionary here does not do.

    Source: OpenMOSS/Language-Model-SAEs, `standardize_parameters_of_dataset_norm` and
        `transform_to_unit_decoder_norm`; He et al. 2024, arXiv:2410.20526.
    """
    config, path = Config.read(folder / CONFIG), folder / WEIGHTS
    kind = _activation(config)
    names = _NAMES | ({"decoder.bias": 1} if config.get("use_decoder_bias", bool) else {})
    tensors = {name: tensor.double() for name, tensor in take(path, read_safetensors(path), names).items()}
    check_sizes(path, tensors["encoder.weight"].T, config.get("d_model", int), config.get("d_sae", int))
    threshold = _number(config, "jump_relu_threshold") if kind != "relu" else 0.0
    k = config.get("top_k", int) if kind == "topk" and threshold <= 0 else None
    found = at_path(path, lambda: _folded(config, tensors, threshold, k))
    words = {"hook_name": config.get("hook_point_in", str), "architecture": kind}
    return replace(found, provenance={"format": "Llama Scope", **words})


def _activation(config: Config) -> str:
    # The activation function, once nothing stands in the way of reading the file exactly.
    kind = config.get("act_fn", str).lower()
    if kind not in _ACTIVATIONS:
        raise DictionaryError(f"{config.path}: 'act_fn' is {kind!r}; choose from {', '.join(_ACTIVATIONS)}")
    config.refuse("use_glu_encoder", False, why="its encoder is a product of two, which no dictionary here has")
    config.refuse("apply_decoder_bias_to_pre_encoder", False, why="how it goes with the fold of norms is not known")
    config.refuse(
        "norm_activation",
        "dataset-wise",
        "inference",
        why="it normalises each token or batch, which steering cannot undo",
    )
    there, back = config.get("hook_point_in", str), config.get("hook_point_out", str)
    if there != back:
        raise DictionaryError(f"{config.path}: it reads {there} and writes {back}; a transcoder is no dictionary")
    return kind


def _folded(config: Config, tensors: Numbers, threshold: float, k: int | None) -> SparseDictionary:
    scale_in, scale_out = _scales(config)
    decoder = tensors["decoder.weight"].T * (scale_in / scale_out)
    encoder, bias = tensors["encoder.weight"].T, tensors["encoder.bias"] / scale_in
    if config.get("sparsity_include_decoder_norm", bool, True):
        encoder, bias, decoder = unit_rows(encoder, bias, decoder)
    decoder_bias = tensors.get("decoder.bias", torch.zeros(len(encoder), dtype=torch.float64)) / scale_out
    return folded(encoder, bias, decoder, decoder_bias, threshold, subtract=False, k=k)


def _scales(config: Config) -> tuple[float, float]:
    # What inputs and outputs were multiplied by in training: √width over the mean norm of the data.
    if config.values.get("norm_activation") == "inference":
        return 1.0, 1.0
    norms, width = config.section("dataset_average_activation_norm"), math.sqrt(config.get("d_model", int))
    there, back = _number(norms, "in"), _number(norms, "out")
    if not (0 < there < math.inf and 0 < back < math.inf):
        raise DictionaryError(f"{config.path}: mean norms of {there} and {back} are none of a data set")
    return width / there, width / back


def _number(config: Config, name: str) -> float:
    value = config.values.get(name)
    return float(config.get(name, int)) if isinstance(value, int) else config.get(name, float)
