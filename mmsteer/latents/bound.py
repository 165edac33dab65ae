"""Dictionaries bound to a model: at a checked site, with thresholds, and with the use of their features counted."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from mmsteer.atomic import write_atomically
from mmsteer.errors import DictionaryError, MmsteerError
from mmsteer.json_lines import read_json
from mmsteer.latents.token_states import token_states
from mmsteer.record import data_fingerprint
from mmsteer.sae import SparseDictionary, Usage, measure, usage, with_thresholds
from mmsteer.sae.formats.usage_file import read_usage, write_usage
from mmsteer.sae.hook_names import site_of_hook
from mmsteer.types import Adapter, Positions, Sample, Site

WORST = 0.9
"""FVU above which a dictionary explains nothing of a site."""
BETTER = 0.8
"""Share of its own FVU below which a neighbouring layer is the one that a dictionary was trained at."""
LEAST = 0.02
"""Difference of FVU that counts: a dictionary that explains everything everywhere has no layer of its own."""
CHECKED = 64
"""Samples that neighbouring layers are compared on."""
_NOTES = "bound.json"
_TENSORS = ("encoder", "encoder_bias", "decoder", "decoder_bias", "threshold")


@dataclass(frozen=True, eq=False)
class BoundDictionary:
    """A dictionary that every method can use with one model.

    Attributes:
        dictionary: With site, fingerprint and thresholds.
        used: How its features are used on the corpus.
        fvu: Fraction of variance unexplained at its site and at the layers beside it; of the site first.
    """

    dictionary: SparseDictionary
    used: Usage
    fvu: Mapping[Site, float]

    @property
    def site(self) -> Site:
        """Where the dictionary reads and writes."""
        return next(iter(self.fvu))


def placed(dictionary: SparseDictionary, adapter: Adapter, site: Site | None = None) -> SparseDictionary:
    """A dictionary at its site in a model; nothing is computed.

    `site`: where it belongs; None for what its file says, as a site or as a hook name of another library.

    Raises:
        DictionaryError: The file says no site that is known, or site, width or model do not fit.
    """
    place = site or dictionary.site
    if place is None:
        hook = dictionary.provenance.get("hook_name")
        if hook is None:
            raise DictionaryError(
                f"the dictionary's file names no site; say where it was trained with --site, such as {adapter.sites[0]}"
            )
        place = site_of_hook(hook, adapter.generator)
    found = replace(dictionary, site=place)
    found.located(adapter)
    return found.at(place, adapter.fingerprint, adapter.sketch)


def bind(
    dictionary: SparseDictionary,
    adapter: Adapter,
    corpus: Sequence[Sample],
    *,
    site: Site | None = None,
    positions: Positions | None = None,
    cache: Path | None = None,
) -> BoundDictionary:
    """Bind a dictionary to a model: check site, width and reconstruction, set thresholds, and count its use.

    Attention sinks are left out, as their norms would outweigh all else. A dictionary at the wrong layer is refused:
    one that leaves more than 0.9 of the variance unexplained, or clearly more than at a layer beside it.

    Args:
        dictionary: A dictionary of any layout.
        adapter: The model.
        corpus: What is read: prompts with outputs, or texts.
        site: Where it belongs; None for what its file says.
        positions: Tokens that are read; None for all of a text or clip, and for words alone where there are images.
        cache: Folder that keeps what was measured, by the content of dictionary, model and corpus.

    Raises:
        DictionaryError: Site, width, model or reconstruction do not fit, or the corpus is empty.
    """
    here = placed(dictionary, adapter, site)
    assert here.site is not None
    if not corpus:
        raise DictionaryError("the corpus has no samples, so there are no hidden states to check and count")
    positions = positions or Positions("text" if adapter.sees else "all")
    named = [replace(one, id=str(at)) for at, one in enumerate(corpus)]
    folder = None if cache is None else cache / _key(here, adapter, named, positions)
    if folder is not None and os.path.exists(folder / _NOTES):
        return _read(folder, here)
    states = list(_states(adapter, named, here.site, positions))
    fvu = _checked(here, adapter, named, positions, states)
    ready = with_thresholds(here, states)
    found = BoundDictionary(ready, usage(ready, states), fvu)
    if folder is not None:
        _write(folder, found)
    return found


def dictionary_content(dictionary: SparseDictionary) -> str:
    """A short hash of a dictionary's numbers and of where it belongs."""
    digest = hashlib.sha256(f"{dictionary.k} {dictionary.site} {dictionary.model}".encode())
    for name in _TENSORS:
        tensor: Tensor = getattr(dictionary, name)
        digest.update(f"{name} {tuple(tensor.shape)}".encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _key(dictionary: SparseDictionary, adapter: Adapter, corpus: Sequence[Sample], positions: Positions) -> str:
    parts = (dictionary_content(dictionary), adapter.run_identity, data_fingerprint(corpus), str(positions))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _states(adapter: Adapter, corpus: Sequence[Sample], site: Site, positions: Positions) -> Iterator[Tensor]:
    for one in token_states(adapter, corpus, site):
        chosen = one.states[one.pooled_over(positions)]
        if len(chosen):
            yield chosen


def _checked(
    dictionary: SparseDictionary,
    adapter: Adapter,
    corpus: Sequence[Sample],
    positions: Positions,
    states: Sequence[Tensor],
) -> dict[Site, float]:
    site = dictionary.located(adapter)
    own = measure(dictionary, states).fvu
    some = corpus[:CHECKED]
    mine = own if len(some) == len(corpus) else measure(dictionary, _states(adapter, some, site, positions)).fvu
    others = {near: measure(dictionary, _states(adapter, some, near, positions)).fvu for near in _beside(adapter, site)}
    said = ", ".join(f"{near} {fvu:.3f}" for near, fvu in others.items())
    best = min(others, key=lambda near: others[near], default=site)
    if best != site and others[best] < BETTER * mine and mine - others[best] > LEAST:
        raise DictionaryError(
            f"the dictionary leaves {mine:.3f} of the variance at {site} unexplained, and less at {best} ({said}); it "
            f"was trained there, or on another model: give --site {best}"
        )
    if own > WORST:
        raise DictionaryError(
            f"the dictionary leaves {own:.3f} of the variance at {site} unexplained (beside it: {said}); up to {WORST} "
            "is taken: it is of another layer or model, or the corpus is unlike what it was trained on"
        )
    return {site: own, **others}


def _beside(adapter: Adapter, site: Site) -> list[Site]:
    near = (replace(site, layer=site.layer + step) for step in (-1, 1))
    return [one for one in near if adapter.widths.get(one) == adapter.widths[site]]


def _write(folder: Path, found: BoundDictionary) -> None:
    threshold = found.dictionary.threshold.unique()
    notes = {
        "threshold": float(threshold) if len(threshold) == 1 else None,
        "fvu": {str(site): fvu for site, fvu in found.fvu.items()},
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_usage(folder, found.used, overwrite=True)
        # The notes last: a folder without them holds nothing.
        write_atomically(folder / _NOTES, json.dumps(notes).encode())
    except OSError as cause:
        raise DictionaryError(f"{folder} cannot be written: {cause.strerror}; give another cache") from cause


def _read(folder: Path, dictionary: SparseDictionary) -> BoundDictionary:
    try:
        notes = read_json(folder / _NOTES, DictionaryError)
        fvu = {Site.parse(site): float(value) for site, value in notes["fvu"].items()}
        threshold = notes["threshold"]
    except (MmsteerError, ValueError, KeyError, TypeError, AttributeError) as cause:
        raise DictionaryError(f"{folder / _NOTES} is damaged ({cause}); remove {folder} and count again") from None
    used = read_usage(folder, dictionary.features)
    if dictionary.k is None:
        return BoundDictionary(dictionary, used, fvu)
    ready = replace(dictionary, k=None, threshold=torch.full_like(dictionary.threshold, threshold))
    return BoundDictionary(ready, used, fvu)
