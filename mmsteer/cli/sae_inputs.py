"""What `mmsteer sae` works on: dictionaries by name, and samples of a world or a folder."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmsteer.errors import DataError, DictionaryError

if TYPE_CHECKING:
    from torch import Tensor

    from mmsteer.adapters import AnyAdapter
    from mmsteer.sae import Architecture, Chunks, SparseDictionary, Usage
    from mmsteer.types import Site
    from mmsteer.workers import Workers
    from mmsteer.worlds.training.dictionary_data import Group

IN_MEMORY = 2**28
"""Hidden states are kept in memory up to so many numbers, and read anew in each epoch beyond."""
ROWS = 2048
"""Hidden states that are encoded at a time."""


def opened(name: str, site: str | None = None) -> "SparseDictionary":
    """A dictionary: a bundled one, or a folder in any layout that is read.

    `name`: `bundled:music`, or a folder.
    `site`: Where it belongs, if its file does not say; which one, where a bundled model has several.
    """
    from mmsteer.bundled.dictionary import open_dictionary
    from mmsteer.types import Site

    place = None if site is None else Site.parse(site)
    found = open_dictionary(name, place)
    return found if place is None else found.at(place, found.model)


def rows_beside(data: Path | None, dictionary: str) -> Path | None:
    """Samples that are given, or the rows that ship beside a bundled dictionary of a language model."""
    from mmsteer.bundled.dictionary import rows_path

    return rows_path(dictionary) if data is None else data


def usage_of(name: str, dictionary: "SparseDictionary") -> "Usage | None":
    """How a dictionary is used, as it stands beside it; None where no file says it.

    `name`: as for `opened`.
    """
    from mmsteer.bundled.dictionary import BUNDLED, dictionary_path
    from mmsteer.sae.formats.usage_file import USAGE, read_usage

    bundled = name.startswith(BUNDLED)
    folder = dictionary_path(name.removeprefix(BUNDLED), dictionary.site) if bundled else Path(name)
    return read_usage(folder, dictionary.features) if os.path.exists(folder / USAGE) else None


def loaded(model: str | None, dictionary: str, device: str, dtype: str) -> "AnyAdapter":
    """The model of a dictionary: the one that is named, or that of a bundled dictionary.

    `model`: its name; None for that of the dictionary.

    Raises:
        DictionaryError: Neither says which model.
    """
    from mmsteer.api import load
    from mmsteer.bundled.dictionary import BUNDLED, model_of
    from mmsteer.cli.quiet import hush

    if model is None and not dictionary.startswith(BUNDLED):
        raise DictionaryError(f"{dictionary} is a folder; say which model it belongs to with --model")
    hush()
    return load(model or model_of(dictionary), device=device, dtype=dtype)


def given(adapter: "AnyAdapter", data: Path | None, samples: int, prompt: str, seed: int) -> "Group":
    """Samples of a folder, or of the world that the project renders for such a model.

    `data`: A folder of audio or images; None for the world.
    `samples`: how many, at most.
    `prompt`: what is asked about images that come without a text.

    Raises:
        DictionaryError: No data is given for a language model.
    """
    from mmsteer.tasks import AUDIO, IMAGES, Row
    from mmsteer.types import Positions
    from mmsteer.worlds.training.dictionary_data import Group, groups

    if data is None:
        if adapter.output_kind == "text" and not adapter.sees:
            raise DictionaryError("a language model has no rendered world: give --data, rows.jsonl with texts")
        # The first of the groups is what is rendered; the others cost generations.
        return next(groups(adapter, samples, seed))
    if os.path.isfile(data):
        return _rows_of(adapter, data, samples)
    if adapter.output_kind == "audio":
        files, positions = _files(data, AUDIO)[:samples], Positions("all")
        rows = [Row(file.name, file.name, _beside(file), audio=file) for file in files]
    else:
        files, positions = _files(data, IMAGES)[:samples], Positions("text")
        rows = [Row(file.name, file.name, prompt, images=(file,), answer=_beside(file)) for file in files]
    return Group(str(data), tuple(row.sample(adapter, answered=True) for row in rows), positions, 32)


def _rows_of(adapter: "AnyAdapter", file: Path, samples: int) -> "Group":
    """Rows of one's own; as many tokens are drawn of each as the shortest has."""
    from mmsteer.latents.token_states import token_states
    from mmsteer.tasks import read_rows
    from mmsteer.types import Positions
    from mmsteer.worlds.training.dictionary_data import Group

    rows = read_rows(file)[:samples]
    read = tuple(row.sample(adapter, answered=True) for row in rows)
    positions = Positions("text" if adapter.sees else "all")
    site = next(one for one in adapter.sites if one.stack == adapter.generator)
    shortest = min(int(one.pooled_over(positions).sum()) for one in token_states(adapter, read, site))
    labels = {row.id: {"label": row.label} for row in rows if row.label is not None}
    return Group(file.name, read, positions, min(32, shortest), labels)


def architecture_of(name: str, k: int, steps: int) -> "Architecture":
    """An architecture by name.

    `k`: active features a hidden state; the weight of the penalty is 1 / k for `gated`.
    `steps`: of the training: a threshold is measured from its middle on, or from step 1000.

    Raises:
        DictionaryError: There is no such architecture.
    """
    from dataclasses import replace

    from mmsteer.sae import BatchTopK, Gated, JumpReLU, TopK, matryoshka

    start = min(1000, steps // 2)
    known: dict[str, Callable[[], Architecture]] = {
        "batchtopk": lambda: BatchTopK(k, threshold_start=start),
        "matryoshka": lambda: replace(matryoshka(k), threshold_start=start),
        "topk": lambda: TopK(k),
        "jumprelu": lambda: JumpReLU(float(k), warmup=start),
        "gated": lambda: Gated(1 / k, warmup=start),
    }
    if name not in known:
        raise DictionaryError(f"no architecture {name!r}; choose from {', '.join(known)}")
    return known[name]()


def learned_and_judged(
    adapter: "AnyAdapter",
    site: "Site",
    data: Path | None,
    store: str | None,
    *,
    samples: int,
    tokens: int | None,
    positions: str | None,
    prompt: str,
    seed: int,
    workers: "Workers | None" = None,
) -> "tuple[Chunks, Chunks]":
    """Hidden states to learn from, and others to judge by; of a store, the same.

    `data`: rows or a folder of samples; None for the world.
    `store`: recorded activations in their place.
    `tokens`: drawn of each sample; None, as for `positions`, for what suits the samples.
    `workers`: what reads the samples; None for this process.

    Raises:
        DictionaryError: The model has no such site.
    """
    from dataclasses import replace

    from mmsteer.store import ActivationStore
    from mmsteer.streams import ReadStates, StoredStates
    from mmsteer.types import Positions

    if site not in adapter.widths:
        raise DictionaryError(f"no site {site} in this model; it has {adapter.sites[0]} to {adapter.sites[-1]}")
    if store is not None:
        stored = _held(StoredStates(ActivationStore(store), site))
        return stored, stored
    group = given(adapter, data, samples, prompt, seed)
    where = Positions(positions) if positions else group.positions
    group = replace(group, tokens=tokens or group.tokens, positions=where)
    learned, judged = (
        _held(ReadStates(adapter, half.samples, site, half.positions, half.tokens, seed=seed, workers=workers))
        for half in group.halves
    )
    return learned, judged


def pieces(chunks: "Chunks") -> "Iterator[Tensor]":
    """Chunks one after the other."""
    for index in range(len(chunks.rows)):
        yield from chunks[index].split(ROWS)


def _held(chunks: "Chunks") -> "Chunks":
    """The states in memory where they fit, so that the model runs once."""
    import torch

    from mmsteer.sae import Held
    from mmsteer.sae.source import together

    if sum(chunks.rows) * chunks.width > IN_MEMORY:
        return chunks
    return Held(torch.cat(together(chunks, range(len(chunks.rows)))))


def _files(folder: Path, endings: Sequence[str]) -> list[Path]:
    if not os.path.isdir(folder):
        raise DataError(f"there is no folder {folder}; give one with {', '.join(endings)} files")
    found = sorted(file for file in folder.iterdir() if file.suffix.lower() in endings)
    if not found:
        raise DataError(f"{folder} has no file that ends in {', '.join(endings)}")
    return found


def _beside(file: Path) -> str | None:
    from mmsteer.json_lines import read_text

    text = file.with_suffix(".txt")
    return read_text(text, DictionaryError).strip() if os.path.isfile(text) else None
