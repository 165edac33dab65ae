"""The model card of a bundled music model."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mmsteer.worlds.training.codec import SAMPLE_RATE
from mmsteer.worlds.training.music_data import MusicData
from mmsteer.worlds.training.sources import SOURCES
from mmsteer.worlds.training.training import Progress

_CARD = """---
license: apache-2.0
library_name: transformers
pipeline_tag: text-to-audio
---
# mmsteer {world}

A small model of the MusicGen family, trained from nothing on clips that mmsteer renders: a model organism whose
every training note is known. 16 kHz, {seconds:g}-second clips, {rate} frames a second, 4 codebooks of 1024.

{about}
It knows nothing else, and is no use for making music.

- Size: {megabytes:.1f} MB of safetensors; matrices in bfloat16, vectors in float32. Load it in float32: the codec
  computes with offsets that bfloat16 cannot hold.
- Codec: an EncodecModel that holds an MDCT; signal over quantisation error on held-out clips, in dB: {quality}.
- Language model: held-out cross-entropy by codebook, in nats: {losses} (uniform: 6.93).
- Training: {clips} clips, {steps} steps of {batch}, {hours:.2f} hours on {device}, seed {seed}.

Made by `python -m mmsteer.worlds.training.train_music --world {world} --seed {seed} --clips {clips}
--minutes {minutes:g}`.
"""

_ABOUT = {
    "music": """Prompts name instrument ({instruments}), tempo (slow, medium, fast), register (low, middle, high),
mode (major, minor) and chords or arpeggio, and never a pitch: `slow minor piano melody in the low register`.""",
    "band": """An instrument plays one chord, a progression or a scale, one onset a beat, over a bass and drums.
Prompts name instrument ({instruments}), tempo (slow, medium, fast, or 75, 120, 200 bpm), metre (in three, in four),
mode (major, minor, dorian, mixolydian), the chord (major, minor, augmented, diminished) and what is played (one chord,
progression, scale), any of them or none, and never a pitch: `slow minor piano progression in three`.""",
}


def write_card(
    folder: Path,
    data: MusicData,
    losses: Sequence[float],
    progress: Progress,
    options: Mapping[str, object],
) -> None:
    """Write README.md into the model's folder.

    Args:
        folder: The model's folder, already written.
        data: What it was trained on.
        losses: Held-out loss of each codebook.
        progress: Steps and time of training.
        options: The command line.
    """
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    world = str(options["world"])
    source = SOURCES[world]
    text = _CARD.format(
        world=world,
        about=_ABOUT[world].format(instruments=", ".join(source.instruments)),
        seconds=source.frames * source.shape.hop / SAMPLE_RATE,
        rate=SAMPLE_RATE // source.shape.hop,
        megabytes=size / 1e6,
        quality=", ".join(f"{name} {value}" for name, value in data.quality_db.items()),
        losses=", ".join(map(str, losses)),
        clips=len(data.prompts),
        steps=progress.step,
        hours=progress.seconds / 3600,
        **{key: options[key] for key in ("batch", "device", "seed", "minutes")},
    )
    (folder / "README.md").write_text(text)
