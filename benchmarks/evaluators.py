"""How often each evaluator is right, on clips whose truth is known because they were rendered.

    python benchmarks/evaluators.py [--clips 120] [--soundfont [PATH]]

The default renderer is the project's own synthesiser. With `--soundfont`, FluidSynth and a General MIDI SoundFont play
the SynTheory categories. Columns: right, cannot tell, wrong (shares of n) and milliseconds a clip.
"""

import argparse
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from mmsteer.data.soundfont import load_soundfont
from mmsteer.data.syntheory import Item, catalogue, render, synthesise
from mmsteer.data.synthesis import TIMBRES, Note
from mmsteer.data.synthesis import render as render_notes
from mmsteer.eval import tempo
from mmsteer.eval.adherence import (
    ATTRIBUTES,
    MIN_POSTERIOR,
    SURE,
    AdherenceJudge,
    Example,
    coded,
    load_judge,
    under_noise,
)
from mmsteer.eval.chords import read_chord
from mmsteer.eval.intervals import read_interval
from mmsteer.eval.keys import read_key
from mmsteer.eval.notes import read_notes
from mmsteer.eval.register import read_register
from mmsteer.types.pitch import PITCH_CLASSES
from mmsteer.worlds.music.world import render_clip, sample_clip

RATE = 16000
QUALITIES = {"major": "maj", "minor": "min", "aug": "aug", "dim": "dim"}
Verdict = bool | None


def same(heard: object, truth: object) -> Verdict:
    return None if heard is None else heard == truth


def chord_verdict(samples: np.ndarray, item: Item) -> Verdict:
    """An augmented triad has three equal roots, so any of its tones counts as one."""
    reading, quality = read_chord(samples, RATE), QUALITIES[str(item.labels["chord_type"])]
    if reading.label is None or quality != "aug" or reading.quality != "aug":
        return same(reading.label, f"{item.labels['root']}:{quality}")
    apart = PITCH_CLASSES.index(str(reading.root)) - PITCH_CLASSES.index(str(item.labels["root"]))
    return apart % 4 == 0


def note_verdict(samples: np.ndarray, item: Item) -> Verdict:
    return same(read_notes(samples, RATE).main_note, item.labels["root"])


def register_verdict(samples: np.ndarray, item: Item) -> Verdict:
    midi = read_register(samples, RATE).midi
    return None if midi is None else abs(midi - float(item.labels["midi"])) <= 0.5


def interval_verdict(samples: np.ndarray, item: Item) -> Verdict:
    return same(read_interval(samples, RATE).semitones, item.labels["interval"])


def style_verdict(samples: np.ndarray, item: Item) -> Verdict:
    kind = read_interval(samples, RATE).kind
    return same({"together": "unison"}.get(kind, kind) if kind else None, item.labels["style"])


def scale_verdict(samples: np.ndarray, item: Item) -> Verdict:
    reading = read_key(samples, RATE)
    return same(reading.scale and (reading.scale, reading.tonic), (item.labels["mode"], item.labels["root"]))


def tempo_verdict(samples: np.ndarray, item: Item) -> Verdict:
    hit = tempo.accuracy(tempo.read_tempo(samples, RATE).bpm, float(item.labels["bpm"]))
    return None if hit is None else bool(hit)


def octave_verdict(samples: np.ndarray, item: Item) -> Verdict:
    hit = tempo.octave_accuracy(tempo.read_tempo(samples, RATE).bpm, float(item.labels["bpm"]))
    return None if hit is None else bool(hit)


SYNTHEORY: dict[str, tuple[str, Callable[[np.ndarray, Item], Verdict]]] = {
    "notes: pitch class": ("notes", note_verdict),
    "register: exact note": ("notes", register_verdict),
    "chords: root and quality": ("chords", chord_verdict),
    "intervals: size": ("intervals", interval_verdict),
    "intervals: kind": ("intervals", style_verdict),
    "keys: mode and tonic": ("scales", scale_verdict),
    "tempo: within 4 % (acc1)": ("tempos", tempo_verdict),
    "tempo: or its octave (acc2)": ("tempos", octave_verdict),
}


def clips_of(category: str, count: int, renderer: Any) -> list[tuple[np.ndarray, Item]]:
    """A seeded draw; of notes only MIDI 24 to 107, and no clip that the renderer leaves silent."""
    items, rng = catalogue(category), np.random.default_rng(0)
    drawn: list[tuple[np.ndarray, Item]] = []
    for index in rng.permutation(len(items)):
        item = items[int(index)]
        if int(item.labels.get("midi", 24)) < 24:
            continue
        samples = render(item, RATE, renderer)
        if np.abs(samples).max() > 1e-3:
            drawn.append((samples, item))
        if len(drawn) == count:
            break
    return drawn


def dense_mix(rng: np.random.Generator) -> tuple[np.ndarray, str]:
    """A line, three quarters on one note, over a chord, a bass, and drums; up to 30 cents out of tune."""
    pitch, tuning = int(rng.integers(12)), float(rng.uniform(-0.3, 0.3))
    lead, pad, bass = rng.choice(list(TIMBRES), 3, replace=False)
    base, root = 60 + pitch + tuning, pitch - int(rng.choice([0, 3, 7]))
    steps = [0 if rng.random() < 0.75 else int(rng.choice([-5, -3, 2, 4, 7])) for _ in range(16)]
    line = [Note(0.25 * k, 0.22, base + step, 0.9) for k, step in enumerate(steps)]
    chord = [Note(2.0 * k, 1.9, 48 + root % 12 + tuning + step, 0.45) for k in (0, 1) for step in (0, 4, 7)]
    low = [Note(0.5 * k, 0.45, 36 + root % 12 + tuning, 0.5) for k in range(8)]
    parts = [render_notes(notes, TIMBRES[name], 4.0, RATE) for notes, name in ((line, lead), (chord, pad), (low, bass))]
    mix = np.sum(parts, axis=0)
    burst = rng.standard_normal(1600) * np.exp(-np.arange(1600) / 400)
    for k in range(16):
        mix[4000 * k : 4000 * k + 1600] += 0.5 * np.abs(mix).max() * burst / np.abs(burst).max()
    return mix, PITCH_CLASSES[pitch]


def report(name: str, verdicts: Iterable[Verdict], seconds: float) -> None:
    votes = list(verdicts)
    right, unsure = sum(v is True for v in votes), sum(v is None for v in votes)
    n = len(votes)
    shares = f"{right / n:6.1%} right {unsure / n:6.1%} unsure {(n - right - unsure) / n:6.1%} wrong"
    print(f"{name:32} {shares}  n={n:<4} {1000 * seconds / n:5.0f} ms", flush=True)


def measure_world(count: int) -> None:
    rng = np.random.default_rng(0)
    clips = [sample_clip(rng) for _ in range(3 * count)]
    truths = [{name: str(getattr(clip, name)) for name in ATTRIBUTES} for clip in clips]
    examples = [Example(render_clip(c), RATE, truth) for c, truth in zip(clips, truths, strict=True)]
    judge = AdherenceJudge.fit([*examples[:-count], *under_noise(examples[:-count])])
    for label, change in (("clean", lambda samples: samples), ("codec", lambda samples: coded(samples, rng))):
        start = time.perf_counter()
        readings = [judge.read(change(example.samples), RATE) for example in examples[-count:]]
        spent = time.perf_counter() - start
        for name in ATTRIBUTES:
            pairs = zip(readings, examples[-count:], strict=True)
            verdicts = [same(reading[name], example.truth[name]) for reading, example in pairs]
            report(f"adherence, {label}: {name}", verdicts, spent)


def steady_noise(index: int) -> np.ndarray:
    """White, pink and brown in turn, three of each 4, 8 and 12 s long."""
    samples = np.random.default_rng(1000 + index).standard_normal(RATE * (4, 8, 12)[index % 3])
    slope = (0, 0.5, 1)[index // 3 % 3]
    spectrum = np.fft.rfft(samples)
    shaped = np.fft.irfft(spectrum / np.maximum(np.arange(len(spectrum)), 20.0) ** slope)
    return 0.1 * shaped / shaped.std()


def measure_noise(count: int) -> None:
    start = time.perf_counter()
    found = [tempo.read_tempo(steady_noise(index), RATE).bpm for index in range(count)]
    report("tempo: none in steady noise", [bpm is None for bpm in found], time.perf_counter() - start)


def brass(midi: float, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """A bright tone that swells and vibrates; none of the world's instruments."""
    frequency, t = 440 * 2 ** ((midi - 69) / 12), np.arange(int(seconds * RATE)) / RATE
    phase = np.cumsum(2 * np.pi * frequency * (1 + 0.004 * np.sin(2 * np.pi * 5.2 * t))) / RATE
    level = np.minimum(1, np.minimum(t / 0.06, (seconds - t) / 0.05))
    partials = [k for k in range(1, 16) if k * frequency < 7600]
    waves = [(0.55 + 0.3 * level) ** k * np.sin(k * phase + rng.uniform(0, 6)) for k in partials]
    return np.asarray(level * np.sum(waves, axis=0))


def brass_line(seed: int) -> np.ndarray:
    rng = np.random.default_rng(100 + seed)
    steps, each_s, base = rng.integers(-5, 8, 8), float(rng.choice([0.3, 0.5, 0.8])), int(rng.integers(50, 76))
    samples = np.concatenate([brass(base + int(step), each_s, rng) for step in steps])
    return np.asarray(0.2 * samples / np.abs(samples).max())


def measure_confidence() -> None:
    """At both thresholds: the world's instruments (right), and a tone that is none of them (right: not named)."""
    judge, rng = load_judge(), np.random.default_rng(5)
    clips = [sample_clip(rng) for _ in range(160)]
    known = [(render_clip(clip), clip.instrument) for clip in clips]
    unknown = [brass_line(seed) for seed in range(60)]
    for least in (MIN_POSTERIOR, SURE):
        start = time.perf_counter()
        votes = [same(judge.read(samples, RATE, least)["instrument"], truth) for samples, truth in known]
        report(f"instrument at {least}: known", votes, time.perf_counter() - start)
        start = time.perf_counter()
        named = [judge.read(samples, RATE, least)["instrument"] is None for samples in unknown]
        report(f"instrument at {least}: unknown", named, time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=120, help="clips for each row")
    parser.add_argument("--soundfont", nargs="?", const="", help="play SynTheory by FluidSynth with this SoundFont")
    parser.add_argument("--noise", action="store_true", help="only what is read in noise and in an unknown instrument")
    options = parser.parse_args()
    if options.noise:
        measure_noise(150)
        measure_confidence()
        return
    renderer = synthesise if options.soundfont is None else load_soundfont(options.soundfont or None).render
    drawn = {name: clips_of(name, options.clips, renderer) for name, _ in SYNTHEORY.values()}
    for row, (category, verdict) in SYNTHEORY.items():
        start = time.perf_counter()
        verdicts = [verdict(samples, item) for samples, item in drawn[category]]
        report(row, verdicts, time.perf_counter() - start)
    rng, start = np.random.default_rng(0), time.perf_counter()
    mixes = [dense_mix(rng) for _ in range(options.clips)]
    report(
        "notes: dense mixes",
        [same(read_notes(mix, RATE).main_note, name) for mix, name in mixes],
        time.perf_counter() - start,
    )
    measure_world(options.clips)


if __name__ == "__main__":
    main()
