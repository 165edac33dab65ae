"""The layout of sparsify, which lmms-lab's multimodal dictionaries use: `cfg.json` beside `sae.safetensors`."""

from dataclasses import replace
from pathlib import Path

from mmsteer.sae.dictionary import SparseDictionary, folded
from mmsteer.sae.formats.files import Config, at_path, check_sizes, read_safetensors, take

CONFIG = "cfg.json"
WEIGHTS = "sae.safetensors"
_NAMES = {"encoder.weight": 2, "encoder.bias": 1, "W_dec": 2, "b_dec": 1}


def read_sparsify(folder: Path) -> SparseDictionary:
    """Read a TopK dictionary; its encoder takes hidden states minus `b_dec`, whatever else the configuration says.

    Args:
        folder: With the two files.

    Raises:
        DictionaryError: A file is missing or damaged, or is a transcoder, grouped, or signed.
    """
    config, path = Config.read(folder / CONFIG), folder / WEIGHTS
    config.refuse("activation", "topk", why="only TopK dictionaries of this layout are read")
    for name in ("transcode", "skip_connection", "signed"):
        config.refuse(name, False, why="it is no autoencoder with activations of zero and above")
    tensors = take(path, read_safetensors(path), _NAMES)
    encoder, width = tensors["encoder.weight"].T, config.get("d_in", int)
    features = config.get("num_latents", int, 0) or width * config.get("expansion_factor", int)
    check_sizes(path, encoder, width, features)
    k = config.get("k", int)
    bias, decoder, decoder_bias = (tensors[name] for name in ("encoder.bias", "W_dec", "b_dec"))
    found = at_path(path, lambda: folded(encoder, bias, decoder, decoder_bias, subtract=True, k=k))
    return replace(found, provenance={"format": "sparsify", "architecture": "topk"})
