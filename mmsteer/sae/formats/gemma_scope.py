"""The layout of Gemma Scope: one `params.npz`."""

from dataclasses import replace
from pathlib import Path

from mmsteer.sae.dictionary import SparseDictionary, folded
from mmsteer.sae.formats.files import at_path, read_npz, take

PARAMS = "params.npz"
_NAMES = {"W_enc": 2, "b_enc": 1, "W_dec": 2, "b_dec": 1, "threshold": 1}


def read_gemma_scope(path: Path) -> SparseDictionary:
    """Read a JumpReLU dictionary of Gemma Scope; nothing is subtracted before its encoder.

    Args:
        path: The npz file.

    Raises:
        DictionaryError: The file is missing, damaged, or of another layout.
    """
    tensors = take(path, read_npz(path), _NAMES)
    encoder, bias, decoder, decoder_bias, threshold = (tensors[name] for name in _NAMES)
    found = at_path(path, lambda: folded(encoder, bias, decoder, decoder_bias, threshold, subtract=False))
    return replace(found, provenance={"format": "Gemma Scope", "architecture": "jumprelu"})
