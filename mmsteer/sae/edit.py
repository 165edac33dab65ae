"""Writing through a dictionary: activations are changed, and what the dictionary misses stays."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor

from mmsteer import hooks
from mmsteer.sae.dictionary import SparseDictionary
from mmsteer.types import Adapter

Change = Callable[[Tensor], Tensor]
"""New activations from activations, both (..., features); a new tensor, never the old one changed in place."""


def unchanged(z: Tensor) -> Tensor:
    """The activations as they are."""
    return z


def latent_edit(dictionary: SparseDictionary, change: Change, *, error_term: bool = True) -> hooks.Edit:
    """A function of hidden states that changes a dictionary's activations in them, wherever they are.

    Args:
        dictionary: The dictionary.
        change: What to do with the activations.
        error_term: Keep what the dictionary does not reconstruct: h + (z' - z) decoder, which for z' = z is h bit for
            bit. Without it the state is replaced by the reconstruction from z'.
    """
    placed = dictionary

    def edit(h: Tensor) -> Tensor:
        nonlocal placed
        # Only a state tells where a layer runs: of offloaded weights nothing is there before.
        if placed.decoder.device != h.device:
            placed = dictionary.to(h.device)
        z = placed.encode(h)
        edited = h.float() + (change(z) - z) @ placed.decoder if error_term else placed.decode(change(z))
        return edited.to(h.dtype)

    return edit


@contextmanager
def spliced(
    adapter: Adapter, dictionary: SparseDictionary, change: Change = unchanged, *, error_term: bool = False
) -> Iterator[None]:
    """Put a dictionary into a model at its site, for every row and token.

    Args:
        adapter: The model.
        dictionary: A dictionary that knows its site.
        change: What to do with the activations.
        error_term: As for `latent_edit`; off, the model goes on with the reconstruction.

    Raises:
        DictionaryError: The dictionary names no site, or was trained at another one or on another model.
    """
    port = adapter.port(dictionary.located(adapter))
    with hooks.edits({port: latent_edit(dictionary, change, error_term=error_term)}):
        yield
