"""The layout of SAELens: `cfg.json` beside `sae_weights.safetensors`."""

import json
import os
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from mmsteer.atomic import write_atomically
from mmsteer.errors import DictionaryError, SiteError
from mmsteer.sae.dictionary import SparseDictionary, folded, gated
from mmsteer.sae.formats.files import Config, at_path, check_sizes, read_safetensors, take, unit_rows
from mmsteer.tensor_files import Numbers
from mmsteer.types import Site, Sketch

CONFIG = "cfg.json"
WEIGHTS = "sae_weights.safetensors"

_PLAIN = {"W_enc": 2, "b_enc": 1, "W_dec": 2, "b_dec": 1}
_LAYOUTS = {
    "standard": _PLAIN,
    "topk": _PLAIN,
    "jumprelu": {**_PLAIN, "threshold": 1},
    "gated": {"W_enc": 2, "b_gate": 1, "r_mag": 1, "b_mag": 1, "W_dec": 2, "b_dec": 1},
}
_OURS = "mmsteer"


def read_sae_lens(folder: Path) -> SparseDictionary:
    """Read a dictionary that SAELens, or this project, saved for use.

    Files from before SAELens 6 are read as well. A TopK dictionary that measured activations in decoder norms gets unit
    rows, which is the same function.

    Args:
        folder: With the two files.

    Raises:
        DictionaryError: A file is missing, damaged, or asks for what cannot be done exactly.
    """
    config, path = Config.read(folder / CONFIG), folder / WEIGHTS
    architecture = _architecture(config)
    tensors = take(path, _unscaled(path, read_safetensors(path)), _LAYOUTS[architecture])
    check_sizes(path, tensors["W_enc"], config.get("d_in", int), config.get("d_sae", int))
    subtract = config.get("apply_b_dec_to_input", bool, True)
    k = _k(config) if architecture == "topk" else None
    rescale = config.get("rescale_acts_by_decoder_norm", bool, False)
    found = at_path(path, lambda: _dictionary(tensors, architecture, k, subtract=subtract, rescale=rescale))
    return _remembering(found, config, architecture)


def write_sae_lens(
    folder: str | Path, dictionary: SparseDictionary, *, overwrite: bool = False, half: bool = False
) -> None:
    """Write a dictionary so that SAELens and this project read it: as `topk`, `jumprelu`, or `standard` for plain ReLU.

    Args:
        folder: Made if it is not there.
        dictionary: The dictionary.
        overwrite: Replace one that is there.
        half: Write encoder and decoder in float16, which halves the file; biases and thresholds stay float32.

    Raises:
        DictionaryError: The folder holds a dictionary, or cannot be written.
    """
    folder = Path(folder)
    if os.path.exists(folder / WEIGHTS) and not overwrite:
        raise DictionaryError(f"{folder} holds a dictionary; choose another folder, or pass overwrite=True")
    tensors = {
        "W_enc": dictionary.encoder,
        "b_enc": dictionary.encoder_bias,
        "W_dec": dictionary.decoder,
        "b_dec": dictionary.decoder_bias,
    }
    architecture = "topk" if dictionary.k is not None else "standard"
    if bool((dictionary.threshold > 0).any()):
        architecture, tensors["threshold"] = "jumprelu", dictionary.threshold
    if half:
        tensors |= {name: tensors[name].half() for name in ("W_enc", "W_dec")}
    data = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # The weights last: a folder without them holds no dictionary.
        write_atomically(folder / CONFIG, json.dumps(_config(dictionary, architecture), indent=1).encode())
        write_atomically(folder / WEIGHTS, data)
    except OSError as cause:
        raise DictionaryError(f"{folder} cannot be written: {cause.strerror}") from cause


def _config(dictionary: SparseDictionary, architecture: str) -> dict[str, object]:
    ours: dict[str, object] = {"model": dictionary.model, "provenance": dict(dictionary.provenance)}
    if dictionary.sketch is not None:
        ours["sketch"] = dictionary.sketch.written()
    site = None if dictionary.site is None else str(dictionary.site)
    active = {} if dictionary.k is None else {"k": dictionary.k, "rescale_acts_by_decoder_norm": False}
    return {
        "architecture": architecture,
        "d_in": dictionary.width,
        "d_sae": dictionary.features,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": False,
        "normalize_activations": "none",
        "reshape_activations": "none",
        **active,
        # SAELens takes files without a version for ones from before its version 6.
        "metadata": {"sae_lens_version": "6.0.0", "hook_name": site, _OURS: {"site": site, **ours}},
    }


def _architecture(config: Config) -> str:
    # The architecture, once nothing stands in the way of reading it exactly.
    function = config.values.get("activation_fn", config.values.get("activation_fn_str", "relu"))
    name = "topk" if function == "topk" else config.get("architecture", str, "standard")
    if name not in _LAYOUTS or function not in ("relu", "topk"):
        raise DictionaryError(
            f"{config.path}: architecture {name!r} with activation {function!r} is not read; choose from "
            f"{', '.join(_LAYOUTS)}. A BatchTopK or Matryoshka dictionary is read as save_inference_model writes it"
        )
    config.refuse(
        "normalize_activations",
        "none",
        False,
        why="the numbers it needs are not in the file, or it normalises each token, which steering cannot undo; fold "
        "the scale into the weights and save again",
    )
    config.refuse("reshape_activations", "none", why="heads side by side are not a site of this project")
    config.refuse("finetuning_scaling_factor", False, why="its scales must first be folded into the decoder")
    return name


def _k(config: Config) -> int:
    old = config.values.get("activation_fn_kwargs")
    return config.section("activation_fn_kwargs").get("k", int) if old else config.get("k", int)


def _unscaled(path: Path, tensors: Numbers) -> Numbers:
    # Without the scaling factor of old files, which is one.
    factor = tensors.pop("scaling_factor", None)
    if factor is not None and not torch.equal(factor, torch.ones_like(factor)):
        raise DictionaryError(f"{path}: scaling_factor is not one; fold it into the decoder and save again")
    return tensors


def _dictionary(
    tensors: Numbers, architecture: str, k: int | None, *, subtract: bool, rescale: bool
) -> SparseDictionary:
    encoder, decoder, decoder_bias = (tensors[name].double() for name in ("W_enc", "W_dec", "b_dec"))
    threshold: Tensor | float = tensors.get("threshold", 0.0)
    if architecture == "gated":
        encoder, bias, threshold = gated(encoder, tensors["b_gate"], tensors["r_mag"], tensors["b_mag"])
    else:
        bias = tensors["b_enc"].double()
    if architecture == "topk" and rescale:
        encoder, bias, decoder = unit_rows(encoder, bias, decoder)
    return folded(encoder, bias, decoder, decoder_bias, threshold, subtract=subtract, k=k)


def _remembering(dictionary: SparseDictionary, config: Config, architecture: str) -> SparseDictionary:
    # With what the file says of its origin, as this project wrote it or SAELens.
    metadata = Config(config.path, config.get("metadata", dict, config.values))
    if _OURS not in metadata.values:
        said = {name: metadata.values.get(name) for name in ("model_name", "hook_name")}
        words = {name: str(value) for name, value in said.items() if value is not None}
        return replace(dictionary, provenance={"format": "SAELens", "architecture": architecture, **words})
    ours = metadata.section(_OURS)
    site, model = ours.get("site", str, ""), ours.get("model", str, "")
    provenance = {str(key): str(value) for key, value in ours.get("provenance", dict).items()}
    try:
        place = Site.parse(site) if site else None
        # Files of earlier versions have none.
        sketch = Sketch.read(ours.get("sketch", dict, {}))
    except (SiteError, ValueError, TypeError) as cause:
        raise DictionaryError(f"{config.path}: {cause}") from None
    return replace(dictionary, site=place, model=model or None, sketch=sketch, provenance=provenance)
