"""What `mmsteer probe` finds directions in: rows of the user's own, a concept of music, or a contrast of images."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import soundfile

from mmsteer.errors import DataError
from mmsteer.recipes.checks import check_reading, found_directions, read_probe
from mmsteer.recipes.contrasts import samples_of
from mmsteer.recipes.rows.schema import LabelledRows
from mmsteer.recipes.schema import FoundDirections
from mmsteer.tasks import Labelled, Row, check_labels, labelled, read_rows

YES = {
    "captions": "true captions, away from hallucinated ones",
    "counterfactual": "scenes without an object, away from the same scenes with it",
    "mentions": "mentions of what is there, away from mentions of what is not",
    "answers": "true answers, away from false ones",
    "masked": "masked copies, away from the whole image",
    "no_image": "the prompt with its image, away from the prompt alone",
}
"""Where the direction `yes` of each contrast points."""


@dataclass(frozen=True, eq=False)
class Material:
    """What a probe is fitted on, and how."""

    entry: FoundDirections
    data: Labelled


def read_labelled(path: Path, split: str | None) -> tuple[Row, ...]:
    """Rows whose labels can carry a probe, before a model is loaded."""
    rows = read_rows(path, split=split)
    check_labels(rows)
    return rows


def of_rows(
    path: Path, rows: Sequence[Row], adapter: Any, seed: int | None, common: Mapping[str, str | None]
) -> Material:
    """Rows of the user's own, as a model reads them.

    `seed`: of the held-out part; None for the probe's own.
    """
    if adapter.output_kind == "audio":
        _say_resampled(rows, adapter.sample_rate)
    data = labelled(rows, adapter)
    kind = "music" if adapter.output_kind == "audio" else "image" if adapter.sees else "text"
    entry = FoundDirections(
        family=str(common["family"]),
        probe=read_probe(kind, str(common["probe"]), seed),
        data=LabelledRows(files=str(path)),
        sites=common["sites"] or f"{adapter.generator}.*",
        positions=common["positions"] or _positions(adapter, rows),
        pool=common["pool"] or "mean",
    )
    check_reading(entry)
    return Material(entry, _named(data))


def concept_entry(concept: str, clips: int, seed: int, text: str, common: Mapping[str, str | None]) -> Any:
    """Rendered clips of a concept of music.

    `concept`: such as `note`.
    """
    data = {"concept": concept, "clips": clips, "seed": seed, "text": text}
    own = {"family": concept, "positions": "all", "sites": "decoder.*", "pool": "mean", "data": data}
    return found_directions("music", own | _given(common))


def contrast_entry(
    contrast: str,
    pairs: int,
    seed: int,
    demos: Path | None,
    images: Path | None,
    ending: str | None,
    common: Mapping[str, str | None],
) -> Any:
    """Pairs of images, answers or both.

    `contrast`: such as `captions`.
    `ending`: whether both captions of a pair are made to end alike, `shared`, or stay as they are `written`.

    Raises:
        DataError: The contrast is not of captions, and an ending is given.
    """
    if ending is not None and contrast != "captions":
        raise DataError(f"--ending is about the contrast captions, not {contrast}; leave it out")
    stack, pool = ("vision", "tokens") if contrast == "masked" else ("text", "last")
    data = _pairs(contrast, pairs, seed, demos, images)
    data |= {"ending": ending} if ending else {}
    own = {"family": contrast, "positions": "all", "sites": f"{stack}.*", "pool": pool, "data": data}
    return found_directions("image", own | _given(common))


def of_entry(entry: FoundDirections, adapter: Any) -> Material:
    """An entry with its samples.

    `entry`: from `concept_entry` or `contrast_entry`.
    """
    return Material(entry, samples_of(entry.data, adapter))


def family_of(path: Path, given: str | None) -> str:
    """The family of the directions: as given, or the file's name.

    Raises:
        DataError: A steering line could not name it.
    """
    family = given or re.sub(r"[^A-Za-z0-9_-]+", "-", path.resolve().stem).strip("-")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", family):
        raise DataError(
            f"directions cannot be named {family!r}; give --family, which begins with a letter and has letters, "
            "digits, _ and -"
        )
    return family


def _given(common: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in common.items() if value is not None}


def _positions(adapter: Any, rows: Sequence[Row]) -> str:
    """Of an answer its tokens; of a prompt alone the last, which the answer hangs on; of audio all.

    Raises:
        DataError: Some rows have an answer, and some have none.
    """
    if adapter.output_kind == "audio":
        return "all"
    without = [row.place for row in rows if not row.answer]
    if without and len(without) < len(rows):
        raise DataError(
            f"{without[0]}: the row has no answer, and {len(rows) - len(without)} rows have one; give all of them an "
            "answer, or say by --positions which tokens to read, such as last"
        )
    return "last" if without else "generated"


def _named(data: Labelled) -> Labelled:
    """Labels as names that a steering line can hold.

    Raises:
        DataError: Two of them would have the same name.
    """
    names = {label: re.sub(r"[\s;]+", "-", label) for label in dict.fromkeys(data.labels)}
    twice = [name for name, count in Counter(names.values()).items() if count > 1]
    if twice:
        alike = [label for label, name in names.items() if name == twice[0]]
        raise DataError(f"the labels {' and '.join(map(repr, alike))} would both be named {twice[0]!r}; rename one")
    return replace(data, labels=tuple(names[label] for label in data.labels))


def _say_resampled(rows: Sequence[Row], sample_rate: int) -> None:
    clips = [row.audio for row in rows if row.audio is not None]
    found = Counter((info.samplerate, info.channels) for info in map(soundfile.info, clips))
    strange = {form: count for form, count in found.items() if form != (sample_rate, 1)}
    if strange:
        forms = ", ".join(f"{count} of {rate} Hz, {channels} ch" for (rate, channels), count in strange.items())
        print(f"audio: {sum(strange.values())} of {len(clips)} clips are brought to {sample_rate} Hz, mono ({forms})")


def _pairs(contrast: str, pairs: int, seed: int, demos: Path | None, images: Path | None) -> dict[str, Any]:
    scenes = {"n": pairs, "split": "demos", "seed": seed}
    shown = {"demos": {"scenes": scenes, "matched": True}}
    if demos is not None:
        if images is None:
            raise DataError(f"{demos} names images; give the folder that holds them as --images")
        shown = {"demos": {"file": str(demos), "images": str(images)}}
    choices: dict[str, dict[str, Any]] = {
        "captions": {**shown, "ending": "shared"},
        "counterfactual": {"scenes": scenes, "decision": "go on"},
        "mentions": {"scenes": scenes},
        "answers": {"scenes": scenes, "balanced": True},
        "masked": {**shown, "copies": 10, "ratio": 0.9},
        "no_image": {**shown, "answered": True},
    }
    if contrast not in choices:
        raise DataError(f"no contrast {contrast!r}; choose from {', '.join(choices)}")
    if demos is not None and "demos" not in choices[contrast]:
        raise DataError(f"the contrast {contrast} is made of rendered scenes; leave out --demos, or choose another")
    return {"contrast": contrast, "seed": seed} | choices[contrast]
