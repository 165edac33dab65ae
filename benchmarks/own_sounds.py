"""Directions from one's own clips: instruments that the bundled model's world never had.

    python benchmarks/own_sounds.py --work runs/own-sounds

A General MIDI SoundFont plays tunes of 4 s on instruments unknown to `bundled:music`, a folder for each. Directions
are found in these folders as by `mmsteer probe --model bundled:music --data FOLDER`, and steer prompts that name no
instrument. The judge is a network on timbre features of other clips, which another SoundFont plays, and of clips of
the world's own instruments, all as the model's codec leaves them: it never saw what the directions were found in.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from sklearn.neural_network import MLPClassifier

import mmsteer
from mmsteer.data.midi import MidiNote, MidiTrack
from mmsteer.data.soundfont import SoundFont, load_soundfont
from mmsteer.data.theory import MODES, scale_notes
from mmsteer.eval.activity import read_activity
from mmsteer.eval.onsets import read_onsets
from mmsteer.eval.timbre import timbre_features
from mmsteer.recipes.finding import find
from mmsteer.recipes.probe_sources import of_rows, read_labelled
from mmsteer.types import Direction, Sampling
from mmsteer.worlds.music.listener import through_codec, world_clips
from mmsteer.worlds.music.world import SAMPLE_RATE, render_clip, sample_clip

PROGRAMS = {"trumpet": 56, "accordion": 21, "sitar": 104, "choir": 52, "distortion": 30}
FONTS = Path("/usr/share/sounds/sf2")
SECONDS = 4.0
Samples = NDArray[np.floating]


def tune(program: int, rng: np.random.Generator) -> MidiTrack:
    """Single notes or thirds on a random scale, at a random pace, from MIDI 48 to 84."""
    ladder = scale_notes(int(rng.integers(12)), MODES[str(rng.choice(list(MODES)))], 48, 84)
    step, at = int(rng.choice([240, 480, 720])), int(rng.integers(4, len(ladder) - 4))
    notes = []
    for start in range(0, 4 * 960, step):
        at = int(np.clip(at + rng.integers(-2, 3), 0, len(ladder) - 3))
        notes.append(MidiNote(start, step, ladder[at], 90))
        if rng.random() < 0.2:
            notes.append(MidiNote(start, step, ladder[at + 2], 80))
    return MidiTrack(tuple(notes), program)


def played(font: SoundFont, program: int, seed: Sequence[int]) -> Samples:
    samples = font.render(tune(program, np.random.default_rng(seed)), SECONDS, SAMPLE_RATE)
    return samples * (0.6 / max(float(np.abs(samples).max()), 1e-6))


def write_clips(folder: Path, clips: int) -> None:
    font = load_soundfont(FONTS / "FluidR3_GM.sf2")
    for name, program in PROGRAMS.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for at in range(clips):
            soundfile.write(folder / name / f"{at}.wav", played(font, program, [1, program, at]), SAMPLE_RATE)


def features(samples: Samples) -> Samples:
    activity, onsets = read_activity(samples, SAMPLE_RATE), read_onsets(samples, SAMPLE_RATE)
    if not activity.voiced.any() or not len(onsets.onsets_s):
        return np.full(len(features_of_silence()), np.nan)
    return timbre_features(samples, SAMPLE_RATE, activity, onsets)


def features_of_silence() -> Samples:
    tone = 0.1 * np.sin(2 * np.pi * 440 * np.arange(SAMPLE_RATE) / SAMPLE_RATE)
    return timbre_features(tone, SAMPLE_RATE, read_activity(tone, SAMPLE_RATE), read_onsets(tone, SAMPLE_RATE))


class Judge:
    """Which instrument plays, from the audio alone."""

    def __init__(self, adapter: Any, clips: int, seed: int) -> None:
        read, names = self._clips(adapter, clips, seed)
        self._mean, self._spread = read.mean(axis=0), read.std(axis=0) + 1e-6
        self._network = MLPClassifier((32,), alpha=1.0, max_iter=3000, random_state=0)
        self._network.fit((read - self._mean) / self._spread, names)

    def right(self, adapter: Any, clips: int, seed: int) -> float:
        """The share of other clips whose instrument it names."""
        read, names = self._clips(adapter, clips, seed)
        return float(np.mean(self._network.predict((read - self._mean) / self._spread) == np.array(names)))

    def posterior(self, samples: Samples) -> Mapping[str, float]:
        read = features(samples)
        if np.isnan(read).any():
            return dict.fromkeys(self._network.classes_, 0.0)
        shares = self._network.predict_proba([(read - self._mean) / self._spread])[0]
        return dict(zip(self._network.classes_, shares.tolist(), strict=True))

    def _clips(self, adapter: Any, clips: int, seed: int) -> tuple[Samples, list[str]]:
        font = load_soundfont(FONTS / "TimGM6mb.sf2")
        audio = [
            (name, played(font, program, [seed, program, at]))
            for name, program in PROGRAMS.items()
            for at in range(clips)
        ]
        # Seventy-two clips of the world are nine of each instrument.
        audio += [(clip.instrument, render_clip(clip)) for clip in world_clips(max(1, clips // 9), seed)]
        read = [(name, features(through_codec(adapter, samples))) for name, samples in audio]
        told = [(name, row) for name, row in read if not np.isnan(row).any()]
        return np.array([row for _, row in told]), [name for name, _ in told]


def drawn(direction: Direction, seed: int) -> Direction:
    """A random direction at the same sites."""
    generator = torch.Generator().manual_seed(seed)
    vectors = {site: torch.randn(v.shape, generator=generator) for site, v in direction.vectors.items()}
    return replace(direction, name="own:random", vectors={site: v / v.norm() for site, v in vectors.items()})


def main() -> None:
    parser = argparse.ArgumentParser(description="Directions from one's own clips.")
    parser.add_argument("--work", type=Path, default=Path("runs/own-sounds"))
    parser.add_argument("--clips", type=int, default=40, help="of each instrument")
    parser.add_argument("--judge-clips", type=int, default=27, help="of each instrument")
    parser.add_argument("--prompts", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--labels", nargs="*", default=list(PROGRAMS))
    parser.add_argument("--strengths", nargs="*", type=float, default=[0.02, 0.04, 0.07])
    parser.add_argument("--random", type=int, default=3, help="random directions, whose clips count together")
    parser.add_argument("--seed", type=int, default=4, help="of the prompts")
    parser.add_argument("--probe", default="mean-difference")
    options = parser.parse_args()
    if not (options.work / "clips").exists():
        write_clips(options.work / "clips", options.clips)
    adapter = mmsteer.load("bundled:music")
    rows = read_labelled(options.work / "clips", None)
    common = {"probe": options.probe, "family": "own", "sites": None, "positions": None, "pool": None}
    material = of_rows(options.work / "clips", rows, adapter, None, common)
    found = find(adapter, material.entry, material.data, judged=True)
    print(found.held_out, flush=True)
    for name, one in found.directions.items():
        print(name, {str(site): round(stats.score, 3) for site, stats in one.stats.items()}, flush=True)
    judge = Judge(adapter, options.judge_clips, seed=2)
    print(f"judge: right in {judge.right(adapter, 9, seed=3):.3f} of other clips", flush=True)
    prompts = [
        sample_clip(np.random.default_rng([options.seed, at]), stated=("tempo", "register"), drone=False).prompt
        for at in range(options.prompts)
    ]
    sampling, seeds = Sampling(seconds=options.seconds, guidance=3.0), list(range(options.prompts))

    def judged(line: str | None, directions: Sequence[Direction]) -> list[Mapping[str, float]]:
        if line is None:
            outputs = adapter.generate(prompts, sampling, seeds)
        else:
            with mmsteer.steer(adapter, line, {one.name: one for one in directions}):
                outputs = adapter.generate(prompts, sampling, seeds)
        return [judge.posterior(np.asarray(cast(Any, one.output), dtype=np.float64).reshape(-1)) for one in outputs]

    print("| label | strength | named | posterior | random: named | posterior | unsteered: named | posterior |")
    print("|---|---|---|---|---|---|---|---|")
    plain = judged(None, [])
    for strength in options.strengths:
        first = next(iter(found.directions.values()))
        line = f"own:random {strength} branch conditional"
        chance = [row for seed in range(options.random) for row in judged(line, [drawn(first, seed)])]
        for label in options.labels:
            name = f"own:{label}"
            steered = judged(f"{name} {strength} branch conditional", [found.directions[name]])
            cells = [cell for rows in (steered, chance, plain) for cell in (named(rows, label), mean(rows, label))]
            print(f"| {label} | {strength:g} | " + " | ".join(f"{cell:.3f}" for cell in cells) + " |", flush=True)


def named(rows: Sequence[Mapping[str, float]], label: str) -> float:
    return float(np.mean([max(row, key=lambda name: row[name]) == label for row in rows]))


def mean(rows: Sequence[Mapping[str, float]], label: str) -> float:
    return float(np.mean([row[label] for row in rows]))


if __name__ == "__main__":
    main()
