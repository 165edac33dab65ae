"""The sparse dictionaries that recipes name."""

import os
from dataclasses import replace
from pathlib import Path

from mmsteer.bundled.dictionary import BUNDLED, open_dictionary
from mmsteer.errors import DictionaryError
from mmsteer.latents.bound import dictionary_content, placed
from mmsteer.recipes.schema import FoundDirections, SaeProbe
from mmsteer.sae import SparseDictionary, Usage, feature_direction
from mmsteer.types import Activations, Adapter, Direction, select_sites


def located(probe: SaeProbe, home: Path) -> SaeProbe:
    """The probe with the whole path of its dictionary; what lies beside the recipe goes first, then what lies here.

    Raises:
        DictionaryError: There is no such folder.
    """
    if probe.dictionary.startswith(BUNDLED):
        return probe
    for folder in (home / probe.dictionary, Path(probe.dictionary)):
        if os.path.isdir(folder):
            return probe.model_copy(update={"dictionary": str(folder.resolve())})
    raise DictionaryError(
        f"no folder {probe.dictionary!r} beside the recipe ({home}) or here; give the folder of a dictionary, or "
        f"{BUNDLED}music or {BUNDLED}vision"
    )


def dictionary_of(entry: FoundDirections, probe: SaeProbe, adapter: Adapter) -> SparseDictionary:
    """The dictionary of an entry, at its site in a model.

    A file that names no site of this project is taken to be of the only site that the entry reads, and where it reads
    several, of the site that its hook name stands for.

    Raises:
        DictionaryError: The dictionary does not fit the model, or the entry does not read its site.
    """
    dictionary = open_dictionary(probe.dictionary)
    sites = select_sites(entry.sites, adapter.widths)
    found = placed(dictionary, adapter, sites[0] if dictionary.site is None and len(sites) == 1 else None)
    if found.site not in sites:
        raise DictionaryError(f"the dictionary {probe.dictionary} is of {found.site}, which is none of {entry.sites!r}")
    return found


def readable(probe: SaeProbe, dictionary: SparseDictionary) -> bool:
    """Whether a direction that is found can be read as one feature, such as by `when NAME active`.

    `probe`: how features are chosen.
    `dictionary`: its dictionary; one that keeps the k largest features reads none alone.
    """
    return probe.features == 1 and dictionary.k is None


def as_feature(direction: Direction, dictionary: SparseDictionary, feature: int, read: Activations) -> Direction:
    """The direction of a single feature, which operators and gates then read by its activation.

    `direction`: the direction as it was found.
    `feature`: its only feature.
    `read`: pooled activations, whose mean and spread are the direction's.
    """
    (site,) = direction.sites
    used = Usage.of_samples(read.values[site], read.norms[site])
    alone = feature_direction(dictionary, feature, used, direction.name)
    if alone.vectors[site] @ direction.vectors[site] <= 0:
        # It is written backwards: more of the direction is less of the feature.
        return direction
    stats = {site: replace(alone.stats[site], score=direction.stats[site].score)}
    return replace(direction, stats=stats, features=alone.features)


def dictionary_digest(name: str) -> str:
    """A short hash of a dictionary's numbers, wherever it lies.

    `name`: as recipes name it, with a whole path.
    """
    return dictionary_content(open_dictionary(name))
