"""What a SynTheory category contains, without rendering any of it."""

import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import floor, prod
from typing import overload

from mmsteer.data.midi import MidiTrack
from mmsteer.errors import DataError

Label = str | int
Choice = Mapping[str, Label]
CLIP_S = 4.0
# Part of every random crop: change it and the crops of all clips change.
CROP_SEED = 0


@dataclass(frozen=True)
class Item:
    """One clip that can be rendered: exactly 4.0 s of a track.

    Attributes:
        category: Name of its category.
        index: Its place in the category.
        labels: What a probe may ask about it.
        group: The sound source, such as `program:24`; splits never share one.
        track: What is played.
        start_s: Where the clip starts in the track, in seconds.
    """

    category: str
    index: int
    labels: Mapping[str, Label] = field(hash=False)
    group: str
    track: MidiTrack
    start_s: float = 0.0

    @property
    def id(self) -> str:
        """Its name among all clips, such as `chords/00420`."""
        return f"{self.category}/{self.index:05d}"


@dataclass(frozen=True)
class Category:
    """A product of choices, each of which is a clip.

    Attributes:
        name: Name of the category.
        axes: What is chosen, and from what; the last varies fastest, as in the original data.
        labels: Labels of a choice.
        write: Track of a choice.
        track_s: Length of the track, in seconds; a clip is cut from it at random where it is longer than 4.0 s.
    """

    name: str
    axes: Mapping[str, tuple[Label, ...]]
    labels: Callable[[Choice], Mapping[str, Label]]
    write: Callable[[Choice], MidiTrack]
    track_s: float = CLIP_S

    def __len__(self) -> int:
        return prod(len(values) for values in self.axes.values())

    def choice(self, index: int) -> Choice:
        """The choice at a place.

        Args:
            index: 0 or more, below the length.
        """
        chosen: dict[str, Label] = {}
        for name, values in reversed(list(self.axes.items())):
            index, place = divmod(index, len(values))
            chosen[name] = values[place]
        return chosen

    def item(self, index: int) -> Item:
        """The clip at a place.

        Args:
            index: 0 or more, below the length.
        """
        choice = self.choice(index)
        track = self.write(choice)
        return Item(self.name, index, self.labels(choice), self.group(index), track, self._start_s(index))

    def group(self, index: int) -> str:
        """The sound source of the clip at a place.

        Args:
            index: 0 or more, below the length.
        """
        return f"program:{self.labels(self.choice(index))['program']}"

    def _start_s(self, index: int) -> float:
        # Python's own generator: its numbers are the same in every release.
        return random.Random(f"{CROP_SEED}:{self.name}:{index}").uniform(0.0, self.track_s - CLIP_S)


@dataclass(frozen=True)
class Catalogue(Sequence[Item]):
    """Clips of one category, made when they are asked for.

    Attributes:
        category: Their category.
        rows: Their places in it.
    """

    category: Category
    rows: Sequence[int]

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> "Catalogue": ...
    def __getitem__(self, index: int | slice) -> "Item | Catalogue":
        if isinstance(index, slice):
            return Catalogue(self.category, self.rows[index])
        return self.category.item(self.rows[index])

    def __iter__(self) -> Iterator[Item]:
        return (self.category.item(row) for row in self.rows)

    def values(self, label: str) -> tuple[Label, ...]:
        """The values that a label takes here, in order of appearance.

        Args:
            label: Name of a label.

        Raises:
            DataError: The category has no such label.
        """
        return tuple(dict.fromkeys(self._column(label)))

    def where(self, **wanted: Label | Collection[Label]) -> "Catalogue":
        """The clips with the given labels.

        Args:
            **wanted: For each label a value, or several allowed values.

        Raises:
            DataError: There is no such label, a value occurs nowhere, or no clip has all of them.
        """
        keep = set(range(len(self)))
        for label, value in wanted.items():
            allowed = {value} if isinstance(value, str | int) else set(value)
            column = self._column(label)
            self._check_values(label, allowed, column)
            keep &= {place for place, found in enumerate(column) if found in allowed}
        if not keep:
            raise DataError(f"{self.category.name}: no clip has {wanted}; ask for fewer labels at once")
        return self._take(keep)

    def sample(self, per_class: int, by: str, seed: int) -> "Catalogue":
        """The same number of clips of every value of a label, drawn without replacement.

        Args:
            per_class: Clips of each value.
            by: Name of the label.
            seed: Seed of the draw.

        Raises:
            DataError: There is no such label, or a value has fewer clips.
        """
        places: dict[Label, list[int]] = {}
        for place, value in enumerate(self._column(by)):
            places.setdefault(value, []).append(place)
        scarce = {value: len(found) for value, found in places.items() if len(found) < per_class}
        if scarce or per_class < 1:
            raise DataError(
                f"{self.category.name}: cannot draw {per_class} clips of each {by}; "
                f"ask for 1 to {min(map(len, places.values()), default=0)}"
            )
        rng = random.Random(seed)
        return self._take({place for found in places.values() for place in rng.sample(found, per_class)})

    def split(self, *fractions: float, seed: int) -> tuple["Catalogue", ...]:
        """Parts that share no sound source.

        Sources are dealt by largest remainder, at least one to each part.

        Args:
            *fractions: Share of the sources in each part, such as 0.7, 0.15, 0.15; their sum is 1.
            seed: Seed of the deal.

        Raises:
            DataError: The fractions do not sum to 1, or there are fewer sources than parts.
        """
        groups = [self.category.group(row) for row in self.rows]
        sources = sorted(set(groups))
        if abs(sum(fractions) - 1) > 1e-9 or min(fractions) <= 0 or len(sources) < len(fractions):
            raise DataError(
                f"{self.category.name}: cannot deal {len(sources)} sound sources to parts of {fractions}; "
                "give positive fractions that sum to 1, no more than there are sources"
            )
        random.Random(seed).shuffle(sources)
        parts, first = [], 0
        for count in _deal(len(sources), fractions):
            mine = set(sources[first : first + count])
            parts.append(self._take({place for place, group in enumerate(groups) if group in mine}))
            first += count
        return tuple(parts)

    def _take(self, places: set[int]) -> "Catalogue":
        return Catalogue(self.category, tuple(self.rows[place] for place in sorted(places)))

    def _column(self, label: str) -> list[Label]:
        rows = [self.category.labels(self.category.choice(row)) for row in self.rows]
        if rows and label not in rows[0]:
            raise DataError(f"{self.category.name} has no label {label!r}; choose from {sorted(rows[0])}")
        return [row[label] for row in rows]

    def _check_values(self, label: str, allowed: set[Label], column: list[Label]) -> None:
        unknown = allowed - set(column)
        if unknown or not allowed:
            raise DataError(
                f"{self.category.name}: no clip has {label} {sorted(map(str, unknown))}; "
                f"choose from {list(dict.fromkeys(column))}"
            )


def _deal(total: int, fractions: Sequence[float]) -> list[int]:
    counts = [max(1, floor(total * fraction)) for fraction in fractions]
    while sum(counts) != total:
        step = 1 if sum(counts) < total else -1
        gaps = [step * (total * fraction - count) for fraction, count in zip(fractions, counts, strict=True)]
        # A part that has one source keeps it.
        open_to = [place for place, count in enumerate(counts) if step > 0 or count > 1]
        counts[max(open_to, key=lambda place: gaps[place])] += step
    return counts
