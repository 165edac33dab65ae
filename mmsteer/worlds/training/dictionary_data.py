"""What the bundled dictionaries learn from: the worlds as a model reads them, and what it makes itself.

Scenes and clips are of seeds that no model was trained on.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mmsteer.adapters import LanguageModelAdapter, MusicgenAdapter
from mmsteer.eval.audio import resample
from mmsteer.types import Positions, Sample, Sampling
from mmsteer.types.pitch import PITCH_CLASSES
from mmsteer.worlds.music.world import CLIP_SECONDS, SAMPLE_RATE, Clip, render_clip, sample_clip
from mmsteer.worlds.scenes import CAPTION_PROMPT, render_scene, split_scenes, write_conversation
from mmsteer.worlds.scenes.conversations import draw_annotator

OWN_SHARE = 0.1
"""Clips that the model plays itself, of those that are rendered: playing takes ten times as long as reading."""
GENERATED_AT_ONCE = 16
CAPTION_TOKENS = 64
CAPTION_WORDS = 12
"""Answers to questions are shorter, captions in detail longer; every word is a token or more."""


@dataclass(frozen=True)
class Group:
    """Samples that are read alike.

    Attributes:
        name: What they are.
        samples: The samples; all with a text, or none.
        positions: Which tokens are drawn from.
        tokens: How many are drawn of each sample.
        labels: For each sample's name what is true of it, such as `{"instrument": "organ"}`; none where it is unknown.
    """

    name: str
    samples: tuple[Sample, ...]
    positions: Positions
    tokens: int
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def halves(self) -> tuple["Group", "Group"]:
        """Nine tenths to learn from, and one to judge by."""
        cut = len(self.samples) - max(1, len(self.samples) // 10)
        return replace(self, samples=self.samples[:cut]), replace(self, samples=self.samples[cut:])


def music_groups(adapter: MusicgenAdapter, clips: int, seed: int) -> Iterator[Group]:
    """Rendered clips under their prompts and on the null branch of guidance, and clips that the model plays.

    Args:
        adapter: The model.
        clips: Rendered clips.
        seed: Seed of the clips; the model's own training took 0.
    """
    world = [sample_clip(np.random.default_rng([seed, index])) for index in range(clips)]
    heard = tuple(_rendered(adapter, clip, seed, index) for index, clip in enumerate(world))
    labels = {sample.id: _truth(clip) for sample, clip in zip(heard, world, strict=True)}
    yield Group("rendered clips under their prompts", heard, Positions("all"), 100, labels)
    yield Group(
        "the same on the null branch",
        tuple(replace(sample, prompt=None) for sample in heard[::2]),
        Positions("all"),
        50,
    )
    prompts = [clip.prompt for clip in world[: round(OWN_SHARE * clips)]]
    yield Group("clips the model plays", tuple(_played(adapter, prompts)), Positions("all"), 200)


def vision_groups(adapter: LanguageModelAdapter, scenes: int, seed: int) -> Iterator[Group]:
    """Scenes with conversations of both annotators, and with what the model says of them; words, not image tokens.

    Args:
        adapter: The model.
        scenes: How many.
        seed: Seed of the scenes; the model's own training took 0.
    """
    rng = np.random.default_rng([seed, scenes])
    written: list[Sample] = []
    kinds: dict[str, Mapping[str, str]] = {}
    for index, scene in enumerate(split_scenes("train", scenes, seed)):
        turns = write_conversation(rng, scene, draw_annotator(rng))
        image = render_scene(scene)
        found = [Sample(f"{index}-{at}", turn.prompt, (image,), turn.answer) for at, turn in enumerate(turns)]
        written += found
        kinds |= {sample.id: {"scene": scene.kind} for sample in found}
    captions = tuple(sample for sample in written if _words(sample) > CAPTION_WORDS)
    answers = tuple(sample for sample in written if _words(sample) <= CAPTION_WORDS)
    yield Group("captions of both annotators", captions, Positions("text"), 24, kinds)
    yield Group("answers of both annotators", answers, Positions("text"), 8)
    images = {sample.id.split("-")[0]: sample.images[0] for sample in written}
    said = tuple(sample for sample in _said(adapter, images) if _words(sample) > CAPTION_WORDS)
    yield Group("captions the model writes", said, Positions("last | generated"), CAPTION_WORDS)


def groups(adapter: MusicgenAdapter | LanguageModelAdapter, samples: int, seed: int) -> Iterator[Group]:
    """What a dictionary of a bundled model learns from.

    Args:
        adapter: The model.
        samples: Rendered clips or scenes.
        seed: Their seed.
    """
    if isinstance(adapter, MusicgenAdapter):
        return music_groups(adapter, samples, seed)
    return vision_groups(adapter, samples, seed)


def _rendered(adapter: MusicgenAdapter, clip: Clip, seed: int, index: int) -> Sample:
    wave = render_clip(clip, np.random.default_rng([seed, index]))
    heard = resample(wave, SAMPLE_RATE, adapter.sample_rate).astype(np.float32)
    return Sample(f"clip-{index}", clip.prompt, output=heard)


def _truth(clip: Clip) -> Mapping[str, str]:
    stated = {name: str(getattr(clip, name)) for name in ("instrument", "tempo", "register", "mode", "texture")}
    return stated | {"tonic": PITCH_CLASSES[clip.tonic]}


def _played(adapter: MusicgenAdapter, prompts: Sequence[str]) -> Iterator[Sample]:
    for start in range(0, len(prompts), GENERATED_AT_ONCE):
        some = prompts[start : start + GENERATED_AT_ONCE]
        asked = [Sample(f"played-{at}", prompt) for at, prompt in enumerate(some, start)]
        yield from adapter.generate(asked, Sampling(seconds=CLIP_SECONDS), range(start, start + len(some)))


def _said(adapter: LanguageModelAdapter, images: Mapping[str, Any]) -> Iterator[Sample]:
    shown = [Sample(f"said-{name}", CAPTION_PROMPT, (image,)) for name, image in images.items()]
    for start in range(0, len(shown), 2 * GENERATED_AT_ONCE):
        yield from adapter.generate(shown[start : start + 2 * GENERATED_AT_ONCE], Sampling(CAPTION_TOKENS))


def _words(sample: Sample) -> int:
    return len((sample.output or "").split())
