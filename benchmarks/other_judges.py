"""How far the project's evaluators agree with judges that nobody here made: CREPE and Basic Pitch.

    python benchmarks/other_judges.py [--clips 40] [--band FOLDER]

Each row is of clips: rendered ones, whose truth is known, and ones that a model made. `project`, `CREPE` and `Basic
Pitch` are shares of clips in which the truth is named; of made clips the truth is not known. The last columns are
shares of the clips that both name, in which they name the same.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import mmsteer
from mmsteer.eval.basic_pitch import read_basic_pitch
from mmsteer.eval.chords import read_chord
from mmsteer.eval.crepe import read_crepe
from mmsteer.eval.notes import read_notes
from mmsteer.types import Sampling
from mmsteer.types.pitch import PITCH_CLASSES
from mmsteer.worlds.band.world import render_song, sample_song
from mmsteer.worlds.music.world import SAMPLE_RATE, render_clip, sample_clip

QUALITIES = {"major": "maj", "minor": "min", "aug": "aug", "dim": "dim"}
Samples = NDArray[np.floating]
Judge = Callable[[Samples], str | None]


@dataclass(frozen=True)
class Case:
    """A clip, the prompt that asks for it, and the truth about it where it is known."""

    samples: Samples
    prompt: str
    truth: str | None


def quality_of(label: str | None) -> str | None:
    """Root and quality; of an augmented triad, whose tones are alike, the quality alone."""
    return "aug" if label is not None and label.endswith(":aug") else label


NOTES: dict[str, Judge] = {
    "project": lambda samples: read_notes(samples, SAMPLE_RATE).main_note,
    "CREPE": lambda samples: read_crepe(samples, SAMPLE_RATE).main_note,
    "Basic Pitch": lambda samples: read_basic_pitch(samples, SAMPLE_RATE).main_note,
}
CHORDS: dict[str, Judge] = {
    "project": lambda samples: quality_of(read_chord(samples, SAMPLE_RATE).label),
    "Basic Pitch": lambda samples: quality_of(read_basic_pitch(samples, SAMPLE_RATE).chord),
}


def note_cases(count: int) -> list[Case]:
    clips = [
        sample_clip(np.random.default_rng([21, at]), texture="repeated", drone=False, stated=("instrument", "register"))
        for at in range(count)
    ]
    return [Case(render_clip(clip), clip.prompt, PITCH_CLASSES[clip.tonic]) for clip in clips]


def chord_cases(count: int) -> list[Case]:
    cases = []
    for at in range(count):
        rng = np.random.default_rng([22, at])
        chord = tuple(QUALITIES)[at % 4]
        clip = sample_clip(rng, chord=chord, stated=("instrument", "texture"))
        still = [note for note in clip.notes if note.onset_s == clip.notes[0].onset_s]
        classes = {note.midi % 12 for note in clip.notes}
        if len(classes) == len(still) == 3:  # a clip whose chords move has no one truth
            cases.append(
                Case(render_clip(clip), clip.prompt, quality_of(f"{PITCH_CLASSES[clip.tonic]}:{QUALITIES[chord]}"))
            )
    return cases


def band_cases(count: int) -> list[Case]:
    songs = [sample_song(np.random.default_rng([23, at]), texture="chord") for at in range(count)]
    return [
        Case(render_song(song), song.prompt, quality_of(f"{PITCH_CLASSES[song.tonic]}:{QUALITIES[str(song.chord)]}"))
        for song in songs
    ]


def made(model: str, cases: Sequence[Case], seconds: float) -> list[Case]:
    adapter: Any = mmsteer.load(model)
    prompts, seeds = [case.prompt for case in cases], list(range(len(cases)))
    outputs = adapter.generate(prompts, Sampling(seconds=seconds, guidance=3.0), seeds)
    return [
        Case(np.asarray(one.output, dtype=np.float64).reshape(-1), case.prompt, None)
        for one, case in zip(outputs, cases, strict=True)
    ]


def report(name: str, what: str, judges: dict[str, Judge], cases: Sequence[Case]) -> None:
    found = {judge: [read(case.samples) for case in cases] for judge, read in judges.items()}
    truth = [case.truth for case in cases]
    right = [
        ""
        if judge not in found or truth[0] is None
        else share([a == b for a, b in zip(found[judge], truth, strict=True)])
        for judge in NOTES
    ]
    agreed = []
    for judge in ("CREPE", "Basic Pitch"):
        pairs = [pair for pair in zip(found["project"], found.get(judge, []), strict=False) if None not in pair]
        agreed.append(f"{share([a == b for a, b in pairs])} of {len(pairs)}" if pairs else "")
    print(f"| {name} | {what} | {len(cases)} | " + " | ".join([*right, *agreed]) + " |", flush=True)


def share(hits: Sequence[bool]) -> str:
    return f"{np.mean(hits):.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Agreement of the evaluators with judges of others.")
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--music", default="bundled:music")
    parser.add_argument("--band", default="bundled:band")
    options = parser.parse_args()
    print("| clips | what | n | project | CREPE | Basic Pitch | project = CREPE | project = Basic Pitch |")
    print("|---|---|---|---|---|---|---|---|")
    notes, chords, band = note_cases(options.clips), chord_cases(options.clips), band_cases(options.clips)
    report("rendered, music", "note", NOTES, notes)
    report("rendered, music", "chord", CHORDS, chords)
    report("rendered, band", "chord", CHORDS, band)
    report("made by bundled:music", "note", NOTES, made(options.music, notes, 4.0))
    report("made by bundled:music", "chord", CHORDS, made(options.music, chords, 4.0))
    report("made by bundled:band", "chord", CHORDS, made(options.band, band, 8.0))


if __name__ == "__main__":
    main()
