"""Features as Neuronpedia takes them: the JSON batches that the Neuronpedia runner of SAEDashboard writes.

Of the runner's fields these stay empty, as they do where its feature tables are switched off: correlated neurons and
features, and the weights of heads. Sequences are the top activating ones; its intervals of lower activation are left
out.

Source: SAEDashboard 0.8.0 (MIT), `sae_dashboard/neuronpedia/neuronpedia_dashboard.py` and `neuronpedia_converter.py`.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmsteer.adapters import AnyAdapter
from mmsteer.atomic import write_atomically
from mmsteer.errors import DictionaryError
from mmsteer.latents.token_states import TokenStates, token_states
from mmsteer.latents.vocabulary import lens
from mmsteer.sae import SparseDictionary
from mmsteer.types import Positions
from mmsteer.worlds.training.dictionary_data import Group

BATCH = 128
"""Features a file."""
BINS = 50
LOGITS, SEQUENCES, ALIGNED = 10, 20, 3
DIGITS = 3
_ALL = Positions("all")
_EMPTY = (
    *("correlated_neurons_indices", "correlated_neurons_l1", "correlated_neurons_pearson"),
    *("correlated_features_indices", "correlated_features_l1", "correlated_features_pearson"),
    *("decoder_weights_dist", "vector"),
)


@dataclass(frozen=True)
class Source:
    """What the batches say they are of.

    Attributes:
        model: Neuronpedia's name of the model.
        name: Neuronpedia's name of the set of dictionaries.
    """

    model: str
    name: str = "mmsteer"


def write_neuronpedia(
    folder: Path, adapter: AnyAdapter, dictionary: SparseDictionary, group: Group, source: Source
) -> int:
    """Write every feature that is active in some samples, and the list of the others; the number of features written.

    `folder`: where to write; it must not exist.

    Raises:
        DictionaryError: The folder exists or cannot be written, or the model makes no text.
    """
    site = dictionary.located(adapter)
    if adapter.output_kind != "text":
        raise DictionaryError(f"Neuronpedia shows words, and this model makes {adapter.output_kind}")
    if os.path.exists(folder):
        raise DictionaryError(f"{folder} exists and is not overwritten; give another name")
    read = list(token_states(adapter, group.samples, site))
    counted = [one.pooled_over(group.positions) for one in read]
    alive = torch.zeros(dictionary.features, dtype=torch.bool)
    for one, chosen in zip(read, counted, strict=True):
        alive |= (dictionary.encode(one.states)[chosen] > 0).any(dim=0)
    numbers = alive.nonzero().flatten()
    head = {"model_id": source.model, "layer": site.layer, "sae_set": source.name, "sae_id_suffix": None}
    batches = (
        {**head, "features": list(_features(adapter, dictionary, some.tolist(), read, counted, group.name))}
        for some in numbers.split(BATCH)
    )
    skipped = {
        **{name: head[name] for name in ("model_id", "sae_set")},
        "layer": str(site.layer),
        "log_sparsity": None,
        "skipped_indexes": (~alive).nonzero().flatten().tolist(),
    }
    try:
        folder.mkdir(parents=True)
        for number, batch in enumerate(batches):
            write_atomically(folder / f"batch-{number}.json", json.dumps(batch, allow_nan=False).encode())
        write_atomically(folder / "skipped_indexes.json", json.dumps(skipped).encode())
    except OSError as cause:
        raise DictionaryError(f"{folder} cannot be written: {cause.strerror}") from None
    return len(numbers)


def _features(
    adapter: AnyAdapter,
    dictionary: SparseDictionary,
    numbers: Sequence[int],
    read: Sequence[TokenStates],
    counted: Sequence[Tensor],
    dataset: str,
) -> Iterator[dict[str, Any]]:
    active = [
        dictionary.encode(one.states)[:, list(numbers)] * chosen[:, None]
        for one, chosen in zip(read, counted, strict=True)
    ]
    logits = lens(adapter, dictionary, numbers)[:, 0]
    tokens = sum(int(chosen.sum()) for chosen in counted)
    for at, number in enumerate(numbers):
        z = [one[:, at] for one in active]
        every = torch.cat(z)
        fired = every[every > 0]
        yield {
            "feature_index": number,
            **_alignment(dictionary.decoder[number]),
            **{name: [] for name in _EMPTY},
            **_lens(adapter, logits[at]),
            "frac_nonzero": round(len(fired) / tokens, 5),
            **_histogram("freq_hist_data", fired),
            **_histogram("logits_hist_data", logits[at]),
            "n_prompts_total": len(read),
            "n_tokens_in_prompt": max(map(len, z)),
            "dataset": dataset,
            "activations": list(_sequences(adapter, read, z)),
        }


def _alignment(row: Tensor) -> dict[str, Any]:
    """Coordinates of the hidden state that a decoder row points to most."""
    largest = row.topk(ALIGNED)
    return {
        "neuron_alignment_indices": largest.indices.tolist(),
        "neuron_alignment_values": _rounded(largest.values),
        "neuron_alignment_l1": _rounded(largest.values.abs() / row.abs().sum()),
    }


def _lens(adapter: AnyAdapter, logits: Tensor) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for side, largest in (("pos", True), ("neg", False)):
        ends = logits.topk(LOGITS, largest=largest)
        found[f"{side}_str"] = [adapter.token_name(token) for token in ends.indices.tolist()]
        found[f"{side}_values"] = _rounded(ends.values)
    return found


def _histogram(name: str, values: Tensor) -> dict[str, Any]:
    """Counts in bins from the smallest to the largest value, and the bins' middles."""
    low, high = float(values.min()), float(values.max())
    edges = torch.linspace(low, high, BINS + 1)
    return {
        f"{name}_bar_heights": values.histc(BINS).int().tolist(),
        f"{name}_bar_values": _rounded(edges[:-1] + (high - low) / BINS / 2),
    }


def _sequences(adapter: AnyAdapter, read: Sequence[TokenStates], z: Sequence[Tensor]) -> Iterator[dict[str, Any]]:
    """The samples in which a feature is most active, the most active first."""
    peaks = torch.stack([one.max() for one in z])
    top = peaks.topk(min(SEQUENCES, len(z)))
    for index in top.indices[top.values > 0].tolist():
        real = read[index].chosen(_ALL)
        place = int(real[: int(z[index].argmax())].sum())
        yield {
            # As the runner writes the group of top activations.
            "bin_min": -1,
            "bin_max": round(float(peaks.max()), DIGITS),
            "bin_contains": -1,
            "tokens": [adapter.token_name(int(token)) for token in read[index].given[real, 0]],
            "values": _rounded(z[index][real]),
            "qualifying_token_index": place,
        }


def _rounded(values: Tensor) -> list[float]:
    return [round(value, DIGITS) for value in values.tolist()]
