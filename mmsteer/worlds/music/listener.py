"""The judge of the bundled world's clips: instrument, tempo and register, from the audio alone.

    python -m mmsteer.worlds.music.listener

fits it again and prints how often it is right on clips that it was not fitted on. It hears clips as they are rendered
and as the bundled model's codec leaves them, because a codec changes an instrument more than noise does; of the
language model, which steering changes, it knows nothing.
"""

import json
from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from rich.progress import track

from mmsteer.adapters import MusicgenAdapter, load
from mmsteer.atomic import write_atomically
from mmsteer.bundled import bundled_path
from mmsteer.eval.adherence import ATTRIBUTES, JUDGE, AdherenceJudge, Example
from mmsteer.eval.audio import Floats
from mmsteer.worlds.music.world import BEAT_FRAMES, INSTRUMENTS, REGISTERS, SAMPLE_RATE, Clip, render_clip, sample_clip

ROUNDS, HELD_OUT = 24, 2


def through_codec(adapter: MusicgenAdapter, samples: Floats) -> Floats:
    """A clip as the model's codec leaves it.

    Args:
        adapter: The model.
        samples: Mono audio at the model's rate, (samples,).
    """
    wave = torch.from_numpy(np.asarray(samples, dtype=np.float32))[None, None].to(adapter.device)
    codec = adapter.model.audio_encoder
    with torch.no_grad():
        decoded = codec.decode(codec.encode(wave).audio_codes, [None]).audio_values
    return np.asarray(decoded[0, 0].cpu().numpy(), dtype=np.float64)


def world_clips(rounds: int, seed: int) -> list[Clip]:
    """Clips in which every instrument, tempo and register meet equally often.

    Args:
        rounds: Clips of each of the 72 combinations.
        seed: Seed of everything else.
    """
    rng = np.random.default_rng(seed)
    return [
        sample_clip(rng, instrument=instrument, tempo=tempo, register=register, drone=False)
        for _ in range(rounds)
        for instrument in INSTRUMENTS
        for tempo in BEAT_FRAMES
        for register in REGISTERS
    ]


def heard(adapter: MusicgenAdapter, clips: Sequence[Clip], coded: bool) -> list[Example]:
    """The clips with their truth.

    Args:
        adapter: Whose codec to hear them through.
        clips: The clips.
        coded: Whether to.
    """
    examples = []
    for index, clip in enumerate(track(clips, "Rendering", transient=True)):
        samples = np.asarray(render_clip(clip, np.random.default_rng(index)), dtype=np.float64)
        truth = {name: str(getattr(clip, name)) for name in ATTRIBUTES}
        examples.append(Example(through_codec(adapter, samples) if coded else samples, SAMPLE_RATE, truth))
    return examples


def accuracy(judge: AdherenceJudge, examples: Sequence[Example]) -> dict[str, float]:
    """How often the judge is right about each attribute; not telling is not being right.

    Args:
        judge: The judge.
        examples: Clips whose truth is known.
    """
    readings = [judge.read(example.samples, example.sample_rate) for example in examples]
    return {
        name: float(np.mean([r[name] == e.truth[name] for r, e in zip(readings, examples, strict=True)]))
        for name in ATTRIBUTES
    }


def main() -> None:
    """Fit the judge, say how good it is, and put it in its place."""
    adapter = cast(MusicgenAdapter, load(bundled_path("music"), dtype="float32"))
    clips = world_clips(ROUNDS, seed=1)
    judge = AdherenceJudge.fit(heard(adapter, clips, coded=False) + heard(adapter, clips, coded=True))
    others = world_clips(HELD_OUT, seed=2)
    for coded in (False, True):
        print("coded" if coded else "clean", accuracy(judge, heard(adapter, others, coded)))
    write_atomically(JUDGE, json.dumps(judge.to_json(), indent=1).encode())


if __name__ == "__main__":
    main()
