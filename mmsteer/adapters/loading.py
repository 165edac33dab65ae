"""Models → adapters: those that are loaded already, and those that are named."""

from pathlib import Path
from typing import Any

import torch
import transformers
from packaging.version import Version

from mmsteer.adapters.audiocraft import PREFIX, AudiocraftMusicgen, is_musicgen, load_musicgen
from mmsteer.adapters.families import FAMILIES, REFUSED, no_row
from mmsteer.adapters.language_model import LanguageModelAdapter
from mmsteer.adapters.musicgen import MusicgenAdapter
from mmsteer.adapters.musicgen_transformers import TransformersMusicgen
from mmsteer.adapters.wrapped import unwrapped
from mmsteer.errors import AdapterError
from mmsteer.images import read_image
from mmsteer.pretrained import load_pretrained, load_weights

AnyAdapter = MusicgenAdapter | LanguageModelAdapter

MUSICGENS = ("musicgen", "musicgen_melody")

QUANTISED: dict[str, dict[str, bool]] = {"4bit": {"load_in_4bit": True}, "8bit": {"load_in_8bit": True}}

DTYPES = ("auto", "float32", "bfloat16", "float16")

_UNSHARED = "without a cache its last layers do not share the keys and values of earlier ones, as they do with one"
FAULTS = {
    "musicgen_melody": ("0", "5.18", "its generate leaves the prompt out"),
    "internvl": ("0", "5.18", "its processor fails beside NumPy 2"),
    "gemma3n": ("0", "5.18", _UNSHARED),
    "gemma3n_text": ("0", "5.18", _UNSHARED),
    "llama4": ("5.24", "5.25", "its forward asks its language model for an output that there is not"),
}
"""Models that transformers runs wrongly: from which version on, before which, and what is wrong."""


__all__ = ["AnyAdapter", "adapt", "load", "read_image"]


def adapt(model: Any, processor: Any = None) -> AnyAdapter:
    """Make a model that is already loaded readable and steerable.

    Args:
        model: The model, or what PEFT, torch.compile, DataParallel or DistributedDataParallel made of it: calls of the
            wrapper are steered as well. It is used as it is, training or not. For a compiled one, torch.compile is set
            to check hooks from now on, and what it has compiled so far is compiled again. Or audiocraft's `MusicGen`.
        processor: Its processor; the tokenizer of a plain language model; None for a model of audiocraft.

    Raises:
        AdapterError: No adapter serves this type of model, or its processor is missing.
    """
    if is_musicgen(model):
        return AudiocraftMusicgen(model)
    inner = unwrapped(model)
    if processor is None:
        raise AdapterError(f"{type(inner).__name__} needs its processor or tokenizer; give it as the second argument")
    adapter, _, _ = _classes(inner.config.model_type)
    return adapter(inner, processor)


def load(name: str | Path, *, device: str = "cpu", dtype: str = "auto", quantise: str | None = None) -> AnyAdapter:
    """Load a model and its processor.

    Args:
        name: A folder in the `from_pretrained` layout, or a name on the Hugging Face hub; `audiocraft:` before either
            takes a checkpoint in audiocraft's layout and runs it with audiocraft.
        device: `cpu`, `cuda` or `auto`, which spreads the model over what there is.
        dtype: `auto`, as the checkpoint says, or `float32`, `bfloat16`, `float16`.
        quantise: `4bit` or `8bit` to hold the weights so, by bitsandbytes; None to hold them as they are.

    Raises:
        AdapterError: There is no such model, no adapter serves its type, or it cannot be held like this here.
    """
    if dtype not in DTYPES:
        raise AdapterError(f"no dtype {dtype!r}; choose from {', '.join(DTYPES)}")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise AdapterError(f"device {device!r}: PyTorch finds no such device here; take 'cpu' or 'auto'")
    if str(name).startswith(PREFIX):
        if quantise is not None:
            raise AdapterError(
                f"{name}: audiocraft holds no weights in {quantise}; leave it out, or load by transformers"
            )
        return AudiocraftMusicgen(load_musicgen(str(name).removeprefix(PREFIX), device, dtype))
    kind = load_pretrained(transformers.AutoConfig, name, AdapterError).model_type
    adapter, models, processors = _classes(kind)
    place = "auto" if device == "auto" else {"": torch.device(device)}
    options = _quantisation(quantise)
    model = load_weights(models, name, AdapterError, dtype=dtype, device_map=place, **options)
    processor = load_pretrained(processors, name, AdapterError)
    return adapter(model.eval(), processor)


def _classes(kind: str) -> tuple[type[TransformersMusicgen | LanguageModelAdapter], Any, Any]:
    """The adapter of a type of model, and what loads the model and its processor.

    Raises:
        AdapterError: There is none, it cannot be steered, or this version of transformers runs the model wrongly.
    """
    from transformers.models.auto import modeling_auto as auto

    _check_version(kind)
    if kind in REFUSED:
        raise AdapterError(f"models of type {kind!r} cannot be steered: {REFUSED[kind]}; choose another model")
    # Asked of transformers one by one: each brings a part of it that takes its time.
    if kind in MUSICGENS:
        return TransformersMusicgen, transformers.AutoModelForTextToWaveform, transformers.AutoProcessor
    if kind in FAMILIES:
        return LanguageModelAdapter, transformers.AutoModelForImageTextToText, transformers.AutoProcessor
    # What also fills in masked words (BERT) does not write from left to right.
    if kind in auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and kind not in auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        return LanguageModelAdapter, transformers.AutoModelForCausalLM, transformers.AutoTokenizer
    if kind in auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        raise AdapterError(no_row(kind))
    choice = ", ".join((*MUSICGENS, *FAMILIES))
    raise AdapterError(f"no adapter for models of type {kind!r}; choose from {choice}, and causal language models")


def _check_version(kind: str) -> None:
    first, until, fault = FAULTS.get(kind, ("0", "0", ""))
    found = transformers.__version__
    if Version(first) <= Version(found) < Version(until):
        allowed = f"{until} or later" if first == "0" else f"a version before {first}"
        raise AdapterError(
            f"models of type {kind!r} cannot run in transformers {found}: {fault}; install transformers {allowed}"
        )


def _quantisation(quantise: str | None) -> dict[str, Any]:
    if quantise is None:
        return {}
    if quantise not in QUANTISED:
        raise AdapterError(f"cannot quantise to {quantise!r}; choose from {', '.join(QUANTISED)}")
    if not transformers.utils.is_bitsandbytes_available():
        raise AdapterError(
            f"quantise={quantise!r} needs bitsandbytes, which is not installed; pip install bitsandbytes"
        )
    return {"quantization_config": transformers.BitsAndBytesConfig(**QUANTISED[quantise])}
