"""MusicRFM's seven categories on the band's model: what steering does to each, from the audio alone.

    python benchmarks/seven_categories.py --work runs/seven [--categories note tempo ...] [--clips 80]

For each category the rows are unsteered, a random direction, the mean difference and RFM, at all layers, at strengths
that are chosen on other prompts. The clips of all rows have the same prompts, which leave the category open, and the
same seeds; the label that is asked for goes round. `hit` is the share of clips that are read as that label by the
evaluators; what cannot be read is a miss. `kept` is the share of what else the prompts name, tempo, metre and
quality, that is still read. Categories are written as they are made, and a run that was stopped goes on.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import mmsteer
from mmsteer.data.theory import SEMITONES
from mmsteer.eval.activity import LOWEST
from mmsteer.eval.attributes import Clip
from mmsteer.eval.tempo import accuracy
from mmsteer.probes import RFM, MeanDifference, Probe, sweep
from mmsteer.types import Direction, Sample, Sampling, mean_score
from mmsteer.types.pitch import PITCH_CLASSES
from mmsteer.worlds.band.metre import read_metre
from mmsteer.worlds.band.prompts import STATABLE
from mmsteer.worlds.band.world import (
    BEAT_FRAMES,
    CLIP_SECONDS,
    METRES,
    PROGRESSIONS,
    SAMPLE_RATE,
    SCALE_MODES,
    STEPS,
    Song,
    render_song,
    sample_song,
)

QUALITIES = {"major": "maj", "minor": "min", "aug": "aug", "dim": "dim"}
CHORD_INTERVALS = {"major third": ("major", 4), "minor third": ("minor", 3)}
FINDERS: Mapping[str, Probe] = {"mean difference": MeanDifference(), "RFM": RFM(draws=20)}
BASS_TOP = 48  # MIDI: the bass lies below
# At temperature 1 the codes of this small model wander, unsteered, too.
SAMPLING = Sampling(seconds=CLIP_SECONDS, guidance=3.0, temperature=0.5)
CLEAR = 0.005  # of the pitch classes' strength, by which the best scale leads
Samples = NDArray[np.floating]


@dataclass(frozen=True)
class Category:
    """One of the seven.

    Attributes:
        labels: What is asked for.
        fix: From a label to what its clips have.
        hidden: What prompts do not name.
        open: What all prompts' songs have, whatever is asked for.
        read: From a clip to its label; None where it cannot be told.
    """

    labels: tuple[str, ...]
    fix: Callable[[str], dict[str, Any]]
    hidden: tuple[str, ...]
    open: Mapping[str, Any]
    read: Callable[[Samples], str | None]


def note(samples: Samples) -> str | None:
    return str(Clip(samples, SAMPLE_RATE).read(["notes"])["notes"]["main_note"])


def quality(samples: Samples) -> str | None:
    found: str | None = Clip(samples, SAMPLE_RATE).read(["chords"])["chords"]["quality"]
    return found


def third(samples: Samples) -> str | None:
    """The interval from the root of the chord to its third."""
    return {"major": "major third", "aug": "major third", "minor": "minor third", "dim": "minor third"}.get(
        str(quality(samples))
    )


def tempo(samples: Samples) -> str | None:
    found: str | None = Clip(samples, SAMPLE_RATE).read(["tempo"])["tempo"]["tempo"]
    return found


def scale(samples: Samples) -> str | None:
    """The mode whose scale on the strongest low note holds the most of the clip's pitch classes."""
    activity = Clip(samples, SAMPLE_RATE).activity
    low = np.where(activity.voiced[:, None], activity.notes, 0)[:, : BASS_TOP - LOWEST].sum(axis=0)
    share = activity.chroma[activity.voiced].sum(axis=0)
    if not share.any() or not low.any():
        return None
    above = np.roll(share / share.sum(), -((LOWEST + int(low.argmax())) % SEMITONES))
    fits = {mode: float(above[list(STEPS[mode])].sum()) for mode in SCALE_MODES}
    second, first = sorted(fits.values())[-2:]
    return max(fits, key=lambda mode: fits[mode]) if first - second >= CLEAR else None


def progression(samples: Samples) -> str | None:
    """`major` or `minor`, by the key of the chords."""
    found: str | None = Clip(samples, SAMPLE_RATE).read(["key"])["key"]["mode"]
    return found


CATEGORIES: Mapping[str, Category] = {
    "notes": Category(
        PITCH_CLASSES, lambda label: {"tonic": PITCH_CLASSES.index(label)}, (), {"texture": "chord"}, note
    ),
    "intervals": Category(
        tuple(CHORD_INTERVALS),
        lambda label: {"chord": CHORD_INTERVALS[label][0]},
        ("chord",),
        {"texture": "chord"},
        third,
    ),
    "chords": Category(tuple(QUALITIES), lambda label: {"chord": label}, ("chord",), {"texture": "chord"}, quality),
    "scales": Category(
        SCALE_MODES, lambda label: {"mode": label, "texture": "scale"}, ("mode",), {"texture": "scale"}, scale
    ),
    "progressions": Category(
        tuple(PROGRESSIONS),
        lambda label: {"mode": label, "texture": "progression"},
        ("mode",),
        {"texture": "progression"},
        progression,
    ),
    "tempo": Category(tuple(BEAT_FRAMES), lambda label: {"tempo": label}, ("tempo",), {}, tempo),
    "time signatures": Category(
        tuple(METRES), lambda label: {"metre": label}, ("metre",), {}, lambda samples: read_metre(samples, SAMPLE_RATE)
    ),
}


def directions_of(adapter: Any, category: Category, clips: int, probe: Probe) -> Mapping[str, Direction]:
    """Directions from rendered clips, under prompts that leave the category open."""
    stated = set(STATABLE) - set(category.hidden)
    samples, labels, groups = list[Sample](), list[str](), list[str]()
    for label in category.labels:
        for at in range(clips):
            song = sample_song(
                np.random.default_rng([31, at]), stated=stated, **{**category.open, **category.fix(label)}
            )
            samples.append(Sample(f"{label} {at}", song.prompt, output=render_song(song)))
            labels.append(label)
            groups.append(str(at))
    activations = mmsteer.record(adapter, samples, "decoder.*")
    task = "multiclass"
    return sweep(probe, activations, labels, family="c", task=task, groups=groups, progress=False).directions


def prompts_of(category: Category, count: int, seed: int) -> list[Song]:
    stated = set(STATABLE) - set(category.hidden)
    return [sample_song(np.random.default_rng([seed, at]), stated=stated, **category.open) for at in range(count)]


def played(
    adapter: Any, songs: Sequence[Song], wanted: Sequence[str], found: Mapping[str, Direction], strength: float
) -> list[Samples]:
    """A clip for each prompt, steered to its own label; a strength of 0 is unsteered."""
    clips: list[Samples] = [np.zeros(0)] * len(songs)
    for label in dict.fromkeys(wanted):
        rows = [at for at, one in enumerate(wanted) if one == label]
        direction = replace(found[f"c:{label}"], name="c:steered")
        line = f"c:steered {strength:g} branch conditional"
        with mmsteer.steer(adapter, line, {direction.name: direction}) if strength else nullcontext():
            outputs = adapter.generate([songs[at].prompt for at in rows], SAMPLING, rows)
        for at, one in zip(rows, outputs, strict=True):
            clips[at] = np.asarray(one.output, dtype=np.float64).reshape(-1)
    return clips


def kept(song: Song, samples: Samples) -> list[float]:
    """Which of tempo, metre and quality that the prompt names are still there."""
    read = Clip(samples, SAMPLE_RATE).read(["tempo", "chords", "key"])
    found = {
        "tempo": bool(accuracy(read["tempo"]["bpm"], song.tempo_bpm)),
        "metre": read_metre(samples, SAMPLE_RATE) == song.metre,
        "chord": song.chord is not None and read["chords"]["quality"] == song.chord,
        "mode": song.texture == "progression" and read["key"]["mode"] == song.mode,
    }
    told = [name for name in found if name in song.stated and not (name == "mode" and song.texture != "progression")]
    return [float(found[name]) for name in told]


def drawn(found: Mapping[str, Direction]) -> Mapping[str, Direction]:
    """Random directions in the place of others."""
    generator = torch.Generator().manual_seed(0)
    changed = {}
    for name, one in found.items():
        vectors = {site: torch.randn(v.shape, generator=generator) for site, v in one.vectors.items()}
        changed[name] = replace(one, vectors={site: v / v.norm() for site, v in vectors.items()})
    return changed


def measure(adapter: Any, name: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    category = CATEGORIES[name]
    songs = prompts_of(category, options.clips, 41)
    wanted = [category.labels[at % len(category.labels)] for at in range(len(songs))]
    found = {finder: directions_of(adapter, category, options.probe_clips, probe) for finder, probe in FINDERS.items()}
    cases = {
        "unsteered": (found["mean difference"], (0.0,)),
        "random": (drawn(found["mean difference"]), options.strengths),
    }
    cases |= {finder: (one, options.strengths) for finder, one in found.items()}
    rows = []
    for case, (directions, strengths) in cases.items():
        strength = (
            strengths[0] if len(strengths) == 1 else choose(adapter, category, directions, strengths, options.chosen_on)
        )
        clips = played(adapter, songs, wanted, directions, strength)
        hits = mean_score([float(category.read(one) == label) for one, label in zip(clips, wanted, strict=True)])
        still = [value for song, one in zip(songs, clips, strict=True) for value in kept(song, one)]
        rows.append(
            {
                "category": name,
                "case": case,
                "strength": strength,
                "hit": hits.to_json(),
                "kept": mean_score(still).to_json(),
            }
        )
        print(json.dumps(rows[-1]), flush=True)
    return rows


def choose(
    adapter: Any, category: Category, found: Mapping[str, Direction], strengths: Sequence[float], count: int
) -> float:
    """The strength of the most hits on other prompts; of equal ones the smallest."""
    songs = prompts_of(category, count, 51)
    wanted = [category.labels[at % len(category.labels)] for at in range(count)]
    reached = {}
    for strength in strengths:
        clips = played(adapter, songs, wanted, found, strength)
        reached[strength] = sum(category.read(one) == label for one, label in zip(clips, wanted, strict=True))
    return max(sorted(reached), key=lambda strength: reached[strength])


def main() -> None:
    parser = argparse.ArgumentParser(description="The seven categories on the band's model.")
    parser.add_argument("--work", type=Path, required=True, help="where finished categories are kept")
    parser.add_argument("--model", default="bundled:band")
    parser.add_argument("--categories", nargs="*", choices=list(CATEGORIES), default=list(CATEGORIES))
    parser.add_argument("--clips", type=int, default=80)
    parser.add_argument("--probe-clips", type=int, default=40, help="rendered clips of each label")
    parser.add_argument("--chosen-on", type=int, default=16, help="prompts that strengths are chosen on")
    parser.add_argument("--strengths", nargs="*", type=float, default=[0.01, 0.02, 0.04])
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    adapter = mmsteer.load(options.model)
    for name in options.categories:
        path = options.work / f"{name.replace(' ', '-')}.json"
        if not path.exists():
            path.write_text(json.dumps(measure(adapter, name, options), indent=1))
    print("| category | case | strength | hit [95 %] | kept |\n|---|---|---|---|---|")
    for path in sorted(options.work.glob("*.json")):
        for row in json.loads(path.read_text()):
            hit = row["hit"]
            print(
                f"| {row['category']} | {row['case']} | {row['strength']:g} | {hit['value']:.3f} [{hit['low']:.2f}, "
                f"{hit['high']:.2f}] | {row['kept']['value']:.3f} |"
            )


if __name__ == "__main__":
    main()
