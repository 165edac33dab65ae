"""Dictionaries on disk, in the layouts that others use."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mmsteer.errors import DictionaryError
from mmsteer.sae.dictionary import SparseDictionary
from mmsteer.sae.formats import dictionary_learning, gemma_scope, llama_scope, sae_lens, sparsify
from mmsteer.sae.formats.dictionary_learning import read_dictionary_learning
from mmsteer.sae.formats.gemma_scope import read_gemma_scope
from mmsteer.sae.formats.llama_scope import read_llama_scope
from mmsteer.sae.formats.sae_lens import read_sae_lens, write_sae_lens
from mmsteer.sae.formats.sparsify import read_sparsify

# By the file that only this layout has.
READERS: Mapping[str, Callable[[Path], SparseDictionary]] = {
    sae_lens.WEIGHTS: read_sae_lens,
    sparsify.WEIGHTS: read_sparsify,
    dictionary_learning.WEIGHTS: read_dictionary_learning,
    llama_scope.WEIGHTS: read_llama_scope,
    gemma_scope.PARAMS: lambda folder: read_gemma_scope(folder / gemma_scope.PARAMS),
}

_PICKLES = (".pkl", ".pickle")


def read_dictionary(folder: str | Path) -> SparseDictionary:
    """Read a dictionary, whatever layout it has.

    Args:
        folder: With the files of SAELens, sparsify, dictionary_learning, Llama Scope or Gemma Scope.

    Raises:
        DictionaryError: No layout is there, or several; or the files are damaged, unsafe, or cannot be read exactly.
    """
    folder = Path(folder)
    found = [name for name in READERS if os.path.exists(folder / name)]
    _refuse_pickles(folder, found)
    if len(found) != 1:
        raise DictionaryError(
            f"{folder} has {' and '.join(found) or 'no dictionary'}; a folder has one of {', '.join(READERS)}"
        )
    return READERS[found[0]](folder)


def _refuse_pickles(folder: Path, found: Sequence[str]) -> None:
    # Before they are opened: to read such a file, of which SAVE's dictionaries are some, can be to run it.
    inside = folder.glob("*") if os.path.isdir(folder) else ()
    pickles = [folder] if folder.suffix in _PICKLES else sorted(p for p in inside if p.suffix in _PICKLES)
    if pickles and not found:
        raise DictionaryError(
            f"{pickles[0]} is a pickle, which could run any program; it is not read. Take its tensors with "
            "torch.load(..., weights_only=True) and save them in SAELens' layout: of SAVE, W_enc = fc1.weight.T, b_enc "
            "= fc1.bias, W_dec = fc2.weight.T, b_dec = fc2.bias, architecture 'standard', apply_b_dec_to_input false"
        )


__all__ = [
    "READERS",
    "read_dictionary",
    "read_dictionary_learning",
    "read_gemma_scope",
    "read_llama_scope",
    "read_sae_lens",
    "read_sparsify",
    "write_sae_lens",
]
