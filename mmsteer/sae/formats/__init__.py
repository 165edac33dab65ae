"""Dictionaries on disk, in the layouts that others use."""

from collections.abc import Callable, Mapping
from pathlib import Path

from mmsteer.errors import DictionaryError
from mmsteer.sae.dictionary import SparseDictionary
from mmsteer.sae.formats import dictionary_learning, gemma_scope, sae_lens, sparsify
from mmsteer.sae.formats.dictionary_learning import read_dictionary_learning
from mmsteer.sae.formats.gemma_scope import read_gemma_scope
from mmsteer.sae.formats.sae_lens import read_sae_lens, write_sae_lens
from mmsteer.sae.formats.sparsify import read_sparsify

# By the file that only this layout has.
READERS: Mapping[str, Callable[[Path], SparseDictionary]] = {
    sae_lens.WEIGHTS: read_sae_lens,
    sparsify.WEIGHTS: read_sparsify,
    dictionary_learning.WEIGHTS: read_dictionary_learning,
    gemma_scope.PARAMS: lambda folder: read_gemma_scope(folder / gemma_scope.PARAMS),
}


def read_dictionary(folder: str | Path) -> SparseDictionary:
    """Read a dictionary, whatever layout it has.

    Args:
        folder: With the files of SAELens, sparsify, dictionary_learning or Gemma Scope.

    Raises:
        DictionaryError: No layout is there, or several; or the files are damaged, unsafe, or cannot be read exactly.
    """
    folder = Path(folder)
    found = [name for name in READERS if (folder / name).exists()]
    if len(found) != 1:
        raise DictionaryError(
            f"{folder} has {' and '.join(found) or 'no dictionary'}; a folder has one of {', '.join(READERS)}"
        )
    return READERS[found[0]](folder)


__all__ = [
    "READERS",
    "read_dictionary",
    "read_dictionary_learning",
    "read_gemma_scope",
    "read_sae_lens",
    "read_sparsify",
    "write_sae_lens",
]
