"""What the band's model plays unsteered, judged as its rendered truth is.

    python benchmarks/band.py [--model FOLDER] [--clips 80]

Two rows of prompts: `named`, which say everything, and are judged against it; and `open`, which leave the attribute in
question out, and are judged by whether it can be read at all (tempo: whether it is one of the world's).
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import mmsteer
from mmsteer.eval.attributes import Clip
from mmsteer.eval.tempo import TOLERANCE, accuracy
from mmsteer.types import Sampling, mean_score
from mmsteer.worlds.band.metre import read_metre
from mmsteer.worlds.band.prompts import STATABLE
from mmsteer.worlds.band.world import CLIP_SECONDS, SAMPLE_RATE, TEMPOS_BPM, Song, render_song, sample_song

HIDDEN = {"chord": ("chord",), "mode": ("mode",), "tempo": ("tempo",), "metre": ("metre",)}
Samples = NDArray[np.floating]


def songs_of(count: int, seed: int, hidden: Sequence[str] = (), **fixed: Any) -> list[Song]:
    stated = set(STATABLE) - set(hidden)
    return [sample_song(np.random.default_rng([seed, at]), stated=stated, **fixed) for at in range(count)]


def played(adapter: Any, songs: Sequence[Song], batch: int, temperature: float) -> list[Samples]:
    clips: list[Samples] = []
    for start in range(0, len(songs), batch):
        part = [song.prompt for song in songs[start : start + batch]]
        seeds = list(range(start, start + len(part)))
        outputs = adapter.generate(part, Sampling(seconds=CLIP_SECONDS, guidance=3.0, temperature=temperature), seeds)
        clips += [np.asarray(one.output, dtype=np.float64).reshape(-1) for one in outputs]
    return clips


def judged(song: Song, samples: Samples, *, named: bool) -> dict[str, bool]:
    """What is right in a clip, or can be read in it, by attribute."""
    read = Clip(samples, SAMPLE_RATE).read(["chords", "tempo", "key"])
    quality, bpm, mode = read["chords"]["quality"], read["tempo"]["bpm"], read["key"]["mode"]
    metre = read_metre(samples, SAMPLE_RATE)
    known = bpm is not None and any(abs(bpm - one) <= TOLERANCE * one for one in TEMPOS_BPM)
    found = {
        "tempo": bool(accuracy(bpm, song.tempo_bpm)) if named else known,
        "metre": metre == song.metre if named else metre is not None,
    }
    if song.chord is not None:
        found["chord"] = quality == song.chord if named else quality is not None
    elif song.mode in ("major", "minor"):
        found["mode"] = mode == song.mode if named else mode is not None
    return found


def report(label: str, rows: Sequence[Mapping[str, bool]], only: Sequence[str] = ()) -> None:
    for name in only or ("chord", "tempo", "mode", "metre"):
        hits = [row[name] for row in rows if name in row]
        score = mean_score([float(hit) for hit in hits])
        print(f"| {label} | {name} | {score.value:.3f} [{score.low:.2f}, {score.high:.2f}] | {score.n} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="What the band's model plays unsteered.")
    parser.add_argument("--model", default="bundled:band")
    parser.add_argument("--clips", type=int, default=80)
    parser.add_argument("--open", type=int, default=40, help="clips for each attribute that is left open")
    parser.add_argument("--batch", type=int, default=40)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--keep", type=Path, help="a folder for the clips")
    options = parser.parse_args()
    songs = songs_of(options.clips, 11)
    print("| clips | attribute | right, or read | n |\n|---|---|---|---|")
    report("rendered", [judged(song, render_song(song), named=True) for song in songs])
    adapter = mmsteer.load(options.model)
    clips = played(adapter, songs, options.batch, options.temperature)
    if options.keep:
        keep(options.keep, songs, clips)
    report("named", [judged(song, samples, named=True) for song, samples in zip(songs, clips, strict=True)])
    for name, hidden in HIDDEN.items():
        if options.open:
            fixed = {"chord": {"texture": "chord"}, "mode": {"texture": "progression"}}.get(name, {})
            left = songs_of(options.open, 12, hidden, **fixed)
            pairs = zip(left, played(adapter, left, options.batch, options.temperature), strict=True)
            report("open", [judged(song, samples, named=False) for song, samples in pairs], [name])


def keep(folder: Path, songs: Sequence[Song], clips: Sequence[Samples]) -> None:
    import soundfile

    folder.mkdir(parents=True, exist_ok=True)
    for at, (song, samples) in enumerate(zip(songs, clips, strict=True)):
        soundfile.write(folder / f"{at} {song.prompt}.wav", samples, SAMPLE_RATE)


if __name__ == "__main__":
    main()
