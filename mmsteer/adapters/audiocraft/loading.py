"""Checkpoints in audiocraft's own layout, read without unpickling anything but tensors.

audiocraft's loader trusts its files: PyTorch's default decides what is unpickled, the configuration may name other
files that are unpickled (Demucs, DAC, CLAP), and may call OmegaConf's resolvers. Here the two files are read as tensors
and plain values, and a configuration that asks for more is refused.
"""

import os
import pickle
import re
from pathlib import Path
from typing import Any

import torch

from mmsteer.errors import AdapterError
from mmsteer.pretrained import load_weights

LM_FILE, CODEC_FILE = "state_dict.bin", "compression_state_dict.bin"

SAFE_CONDITIONERS = ("t5",)
"""Models of conditions that are loaded without unpickling."""

UNUSED = (
    ("conditioners", "args", "merge_text_conditions_p"),
    ("conditioners", "args", "drop_desc_p"),
)
"""What old configurations say and audiocraft no longer takes."""

_RESOLVER = re.compile(r"\$\{[^{}]*:")
_BY_HAND = "load it with audiocraft.models.MusicGen.get_pretrained, if you trust it, and give it to mmsteer.adapt"


def load_musicgen(name: str, device: str, dtype: str) -> Any:
    """An `audiocraft.models.MusicGen`.

    Args:
        name: A folder that holds `state_dict.bin` and `compression_state_dict.bin`, or a hub name.
        device: `cpu`, `cuda` or `auto`.
        dtype: Of the language model; `auto` is float16 on a GPU and float32 on a CPU, as audiocraft has it.

    Raises:
        AdapterError: audiocraft is not installed, or the checkpoint is missing, unsafe, or no MusicGen.
    """
    try:
        from audiocraft.models import MusicGen
    except ImportError as reason:
        raise AdapterError(
            f"{name!r} needs audiocraft, which cannot be imported ({reason}); install mmsteer[audiocraft] in an "
            "environment of its own"
        ) from reason
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if dtype == "auto":
        dtype = "float32" if device == "cpu" else "float16"
    lm, codec = _package(name, LM_FILE), _package(name, CODEC_FILE)
    try:
        return MusicGen(name, _codec(codec, device, name), _lm(lm, device, dtype, name))
    except (KeyError, AttributeError, TypeError, ValueError, RuntimeError, AssertionError, OSError) as reason:
        raise AdapterError(f"audiocraft cannot build the model in {name!r}: {_line(reason)}") from reason


def _package(name: str, file: str) -> dict[str, Any]:
    path = _path(name, file)
    try:
        package = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as reason:
        raise AdapterError(
            f"{path}: the file holds more than tensors and plain values, which may run code when it is read; {_BY_HAND}"
        ) from reason
    except (OSError, RuntimeError, EOFError) as reason:
        raise AdapterError(f"{path}: not readable as a checkpoint: {_line(reason)}") from reason
    if not isinstance(package, dict) or not {"xp.cfg", "pretrained"} & package.keys():
        raise AdapterError(f"{path}: the file is no checkpoint of audiocraft: it has neither 'xp.cfg' nor 'pretrained'")
    return package


def _path(name: str, file: str) -> Path:
    folder = Path(name)
    if os.path.isdir(folder):
        if os.path.isfile(folder / file):
            return folder / file
        raise AdapterError(f"{folder}: there is no {file}; a folder of audiocraft holds {LM_FILE} and {CODEC_FILE}")
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(name, file))
    except (OSError, ValueError) as reason:
        raise AdapterError(f"cannot load {file} of {name!r}: {_line(reason)}") from reason


def _lm(package: dict[str, Any], device: str, dtype: str, name: str) -> Any:
    from audiocraft.models.builders import get_lm_model

    cfg = _config(package, name)
    cfg.device, cfg.dtype = device, dtype
    for way in UNUSED:
        _drop(cfg, way)
    for condition, settings in (cfg.conditioners or {}).items():
        if condition != "args" and settings.model not in SAFE_CONDITIONERS:
            raise AdapterError(
                f"{name}: the condition {condition!r} is read by {settings.model!r}, whose weights audiocraft "
                f"unpickles; {_BY_HAND}"
            )
    lm = get_lm_model(cfg)
    lm.load_state_dict(package["best_state"])
    lm.cfg = cfg
    return lm.eval()


def _codec(package: dict[str, Any], device: str, name: str) -> Any:
    from audiocraft.models.builders import get_compression_model
    from audiocraft.models.encodec import HFEncodecCompressionModel
    from transformers import EncodecModel

    pretrained = package.get("pretrained")
    if pretrained is not None:
        if str(pretrained).startswith("dac_"):
            raise AdapterError(f"{name}: the codec {pretrained!r} is unpickled when it is loaded; {_BY_HAND}")
        codec = load_weights(EncodecModel, pretrained, AdapterError)
        return HFEncodecCompressionModel(codec).to(device).eval()
    cfg = _config(package, name)
    cfg.device = device
    codec = get_compression_model(cfg)
    codec.load_state_dict(package["best_state"])
    return codec.eval()


def _config(package: dict[str, Any], name: str) -> Any:
    """The configuration, which is text.

    Raises:
        AdapterError: It calls a resolver, which may read the environment.
    """
    from omegaconf import OmegaConf  # type: ignore[import-not-found, unused-ignore]

    text = str(package["xp.cfg"])
    found = _RESOLVER.search(text)
    if found:
        raise AdapterError(f"{name}: the configuration calls a resolver, {found[0]}...}}; {_BY_HAND}")
    return OmegaConf.create(text)


def _drop(cfg: Any, way: tuple[str, ...]) -> None:
    for part in way[:-1]:
        cfg = cfg[part] if cfg is not None and part in cfg else None
    if cfg is not None and way[-1] in cfg:
        del cfg[way[-1]]


def _line(reason: Exception) -> str:
    return (str(reason).strip().splitlines() or [type(reason).__name__])[0]
