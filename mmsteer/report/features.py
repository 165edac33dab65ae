"""The feature browser: what a dictionary's features are active on, promote, and do when they are steered."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from mmsteer.adapters import AnyAdapter, MusicgenAdapter
from mmsteer.atomic import write_atomically
from mmsteer.errors import DictionaryError
from mmsteer.eval.notes import read_notes
from mmsteer.latents.controls import at_maximum
from mmsteer.latents.maximal import Maximal, Moment, maximal_moments
from mmsteer.latents.token_states import TokenStates, token_states
from mmsteer.latents.vocabulary import vocabulary
from mmsteer.report.feature_views import (
    FeatureView,
    MomentView,
    Steered,
    curve,
    density_chart,
    named,
    shared,
    spaced,
    words,
)
from mmsteer.report.rendering import render
from mmsteer.report.spectrograms import spectrogram
from mmsteer.sae import SparseDictionary, Usage
from mmsteer.steering import Steering, steer
from mmsteer.types import Positions, Sampling
from mmsteer.worlds.training.dictionary_data import Group

PAGE = "features.html"
JUDGED, MOMENTS = 8, 3
"""Moments of a feature that are looked at for what they share, and those that are shown."""
ALIKE = 3
"""Features that share the same label are shown by so many at a time, with others between."""
RARE, DENSE = 1e-3, 0.2
"""Features that are more rarely or more often active than this are not among the most telling ones."""
BEFORE, AFTER = 40, 16
"""Tokens of a text that are shown before and after a moment."""
SECONDS = 4.0
ANSWER_TOKENS = 64
FALLBACK = "a slow piano melody"


def write_browser(
    folder: Path,
    adapter: AnyAdapter,
    dictionary: SparseDictionary,
    used: Usage,
    group: Group,
    *,
    features: int = 40,
    steered: int = 12,
    seed: int = 0,
) -> Path:
    """Write a page on the features whose moments have most in common, with the clips and pictures it shows.

    Args:
        folder: Where to write; it must not exist. The page moves with its folder.
        adapter: The model.
        dictionary: With thresholds.
        used: What `usage` counted.
        group: What to look through, with what is known of it.
        features: How many features.
        steered: How many of them are steered as well: held at their largest activation.
        seed: Of what is generated.

    Raises:
        DictionaryError: The folder exists, the dictionary does not fit, or no feature is active here.
    """
    site = dictionary.located(adapter)
    if os.path.exists(folder):
        raise DictionaryError(f"{folder} exists and is not overwritten; give another name")
    ours = _chosen(adapter, dictionary, used, group, features)
    if not ours:
        raise DictionaryError(f"no feature is active in these {len(group.samples)} samples at a usual rate; give more")
    numbers = [found.feature for found, _, _ in ours]
    promoted: dict[int, Any] = {}
    if site.stack == adapter.generator:
        promoted = {one.feature: one.heads for one in vocabulary(adapter, dictionary, numbers, count=8)}
    show = _Shelf(folder, adapter)
    done = _steered(show, dictionary, used, group, numbers[:steered], seed)
    read = _read(adapter, group, {moment.sample for found, _, _ in ours for moment in found.moments}, site)
    views = [
        FeatureView(
            found.feature,
            reads,
            telling,
            float(used.density[found.feature]),
            float(used.mean[found.feature] / used.density[found.feature].clamp(min=1e-9)),
            float(used.maximum[found.feature]),
            tuple(_moment(show, dictionary, read[moment.sample], moment, found) for moment in found.moments),
            tuple(named(head) for head in promoted.get(found.feature, ())),
            done.get(found.feature, ()),
        )
        for found, reads, telling in ours
    ]
    return _write(folder, adapter, dictionary, used, group, views)


def _chosen(
    adapter: AnyAdapter, dictionary: SparseDictionary, used: Usage, group: Group, features: int
) -> list[tuple[Maximal, str, float]]:
    """The features whose moments have most in common, the most telling first, with what that is."""
    usual = (used.density >= RARE) & (used.density <= DENSE)
    positions = group.positions.without("first")
    found = maximal_moments(
        adapter, dictionary, group.samples, usual.nonzero().flatten().tolist(), count=JUDGED, positions=positions
    )
    words_too = not isinstance(adapter, MusicgenAdapter)
    told = [(one, *shared(one, group.labels, words=words_too)) for one in found if len(one.moments) >= MOMENTS]
    # Of two that tell as much, the rarer one says more.
    told.sort(key=lambda one: (-one[2], float(used.density[one[0].feature]), one[0].feature))
    seen: Counter[str] = Counter()
    turns = []
    for one, said, _ in told:
        label = said.split(" (")[0] or str(one.feature)
        turns.append(seen[label] // ALIKE)
        seen[label] += 1
    mixed = [told[at] for at in sorted(range(len(told)), key=turns.__getitem__)]
    return [(Maximal(one.feature, one.moments[:MOMENTS]), said, telling) for one, said, telling in mixed[:features]]


def _read(adapter: AnyAdapter, group: Group, names: set[str], site: Any) -> dict[str, TokenStates]:
    shown = [sample for sample in group.samples if sample.id in names]
    return {one.sample.id: one.unpadded() for one in token_states(adapter, shown, site)}


class _Shelf:
    """The clips and pictures of a page, each written once."""

    def __init__(self, folder: Path, adapter: AnyAdapter) -> None:
        self.folder, self.adapter = folder, adapter

    def clip(self, name: str, wave: Any) -> tuple[str, str]:
        """The clip and its spectrogram, relative to the page."""
        assert isinstance(self.adapter, MusicgenAdapter)
        rate = self.adapter.sample_rate
        audio, picture = f"audio/{name}.wav", f"audio/{name}.png"
        if not os.path.exists(self.folder / audio):
            file = BytesIO()
            soundfile.write(file, np.clip(wave, -1, 1), rate, format="WAV", subtype="PCM_16")
            self._keep(audio, file.getvalue())
            mono = wave if wave.ndim == 1 else wave.mean(axis=1)
            self._keep(picture, spectrogram(mono, rate))
        return audio, picture

    def picture(self, name: str, image: Any) -> str:
        """The picture, relative to the page."""
        path = f"images/{name}.png"
        if not os.path.exists(self.folder / path):
            file = BytesIO()
            image.save(file, "PNG")
            self._keep(path, file.getvalue())
        return path

    def _keep(self, path: str, data: bytes) -> None:
        place = self.folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(place, data)


def _moment(show: _Shelf, dictionary: SparseDictionary, one: TokenStates, moment: Moment, found: Maximal) -> MomentView:
    z = dictionary.encode(one.states)[:, found.feature]
    largest = found.moments[0].activation
    sample = one.sample
    if isinstance(show.adapter, MusicgenAdapter):
        audio, picture = show.clip(_safe(sample.id), np.asarray(sample.output))
        when = "" if moment.seconds is None else f" · at {moment.seconds:.2f} s"
        at = 100 * moment.place / max(len(z) - 1, 1)
        return MomentView(
            moment.activation, f"{sample.text or 'no text'}{when}", audio, picture, at, curve(z, largest), ()
        )
    seen = show.picture(_safe(sample.id.rsplit("-", 1)[0]), sample.images[0]) if sample.images else None
    shown = _around(_worded(one), moment.place)
    names = [" ".join(show.adapter.token_name(int(token)) for token in one.given[place]) for place in shown]
    marked = words(spaced(names), z[shown], moment, shown[0])
    return MomentView(moment.activation, sample.text or "", None, seen, None, None, marked)


def _worded(one: TokenStates) -> list[int]:
    """Places of the words: no image tokens, nothing that is padding, in one piece from the first to the last."""
    places = one.chosen(Positions("text - first")).nonzero().flatten().tolist()
    # Words before the image are the template's.
    gap = max((at for at in range(1, len(places)) if places[at] > places[at - 1] + 1), default=0)
    return places[gap:]


def _around(places: list[int], moment: int) -> list[int]:
    """Of a long text what is near the moment, most of it before."""
    at = next((index for index, place in enumerate(places) if place >= moment), len(places) - 1)
    return places[max(0, at - BEFORE) : at + AFTER + 1]


def _steered(
    show: _Shelf, dictionary: SparseDictionary, used: Usage, group: Group, numbers: Sequence[int], seed: int
) -> Mapping[int, tuple[Steered, ...]]:
    """What comes of one prompt with each feature held at its largest activation, beside what comes of it without."""
    if not numbers:
        return {}
    plans = [Steering(), *(_held(dictionary, used, number) for number in numbers)]
    first, *others = _generated(show, group, plans, ["unsteered", *(f"steered-{number}" for number in numbers)], seed)
    return {number: (first, one) for number, one in zip(numbers, others, strict=True)}


def _held(dictionary: SparseDictionary, used: Usage, feature: int) -> Steering:
    return Steering((replace(at_maximum(dictionary, feature, used), operator="clamp"),))


def _generated(
    show: _Shelf, group: Group, plans: Sequence[Steering], names: Sequence[str], seed: int
) -> tuple[Steered, ...]:
    adapter, roles = show.adapter, ["unsteered", *["steered"] * (len(plans) - 1)]
    if isinstance(adapter, MusicgenAdapter):
        prompt = group.samples[0].text or FALLBACK
        with steer(adapter, plans):
            made = adapter.generate([prompt] * len(plans), Sampling(seconds=SECONDS), [seed] * len(plans))
        waves = [one.output for one in made]
        return tuple(
            Steered(role, *show.clip(name, wave), f"{prompt} · main note {_note(wave, adapter.sample_rate)}")
            for role, name, wave in zip(roles, names, waves, strict=True)
        )
    asked = group.samples[0]
    shown = replace(asked, output=None)
    with steer(adapter, plans):
        texts = [one.output for one in adapter.generate([shown] * len(plans), Sampling(ANSWER_TOKENS))]
    picture = show.picture(_safe(asked.id.rsplit("-", 1)[0]), asked.images[0]) if asked.images else None
    return tuple(Steered(role, None, picture, text) for role, text in zip(roles, texts, strict=True))


def _note(wave: Any, rate: int) -> str:
    return read_notes(wave if wave.ndim == 1 else wave.mean(axis=1), rate).main_note or "undecided"


def _safe(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name)


def _write(
    folder: Path,
    adapter: AnyAdapter,
    dictionary: SparseDictionary,
    used: Usage,
    group: Group,
    views: Sequence[FeatureView],
) -> Path:
    html = render(
        "features.html.j2",
        dictionary=dictionary,
        used=used,
        dead=int((used.density == 0).sum()),
        dense=int((used.density > 0.1).sum()),
        model=adapter.fingerprint,
        group=group,
        views=views,
        music=isinstance(adapter, MusicgenAdapter),
        chart=density_chart(used.density),
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / PAGE, html.encode())
    except OSError as cause:
        raise DictionaryError(f"{folder / PAGE} cannot be written: {cause.strerror}") from None
    return folder / PAGE
