"""What the bundled dictionaries learn from: the worlds as a model reads them, and what it makes itself.

Scenes and clips are of seeds that no model was trained on.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mmsteer.adapters import MusicgenAdapter, VisionLanguageAdapter
from mmsteer.data.scenes import CAPTION_PROMPT, render_scene, split_scenes, write_conversation
from mmsteer.data.scenes.conversations import draw_annotator
from mmsteer.data.world import CLIP_SECONDS, Clip, render_clip, sample_clip
from mmsteer.types import Positions, Sample

OWN_SHARE = 0.1
"""Clips that the model plays itself, of those that are rendered: playing takes ten times as long as reading."""
GENERATED_AT_ONCE = 16
CAPTION_TOKENS = 64


@dataclass(frozen=True)
class Group:
    """Samples that are read alike.

    Attributes:
        name: What they are.
        samples: The samples; all with a text, or none.
        positions: Which tokens are drawn from.
        tokens: How many are drawn of each sample.
    """

    name: str
    samples: tuple[Sample, ...]
    positions: Positions
    tokens: int

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
    heard = tuple(_rendered(clip, f"clip-{index}", seed, index) for index, clip in enumerate(world))
    yield Group("rendered clips under their prompts", heard, Positions("all"), 100)
    yield Group(
        "the same on the null branch", tuple(replace(sample, text=None) for sample in heard[::2]), Positions("all"), 50
    )
    prompts = [clip.prompt for clip in world[: round(OWN_SHARE * clips)]]
    yield Group("clips the model plays", tuple(_played(adapter, prompts)), Positions("all"), 200)


def vision_groups(adapter: VisionLanguageAdapter, scenes: int, seed: int) -> Iterator[Group]:
    """Scenes with conversations of both annotators, and with what the model says of them; words, not image tokens.

    Args:
        adapter: The model.
        scenes: How many.
        seed: Seed of the scenes; the model's own training took 0.
    """
    rng = np.random.default_rng([seed, scenes])
    written: list[Sample] = []
    for index, scene in enumerate(split_scenes("train", scenes, seed)):
        turns = write_conversation(rng, scene, draw_annotator(rng))
        image = render_scene(scene)
        written += [Sample(f"{index}-{at}", image, turn.prompt, turn.answer) for at, turn in enumerate(turns)]
    captions = tuple(sample for sample in written if _words(sample) > CAPTION_WORDS)
    answers = tuple(sample for sample in written if _words(sample) <= CAPTION_WORDS)
    yield Group("captions of both annotators", captions, Positions("text"), 24)
    yield Group("answers of both annotators", answers, Positions("text"), 8)
    images = {sample.id.split("-")[0]: sample.content for sample in written}
    yield Group("captions the model writes", tuple(_said(adapter, images)), Positions("last | generated"), 16)


CAPTION_WORDS = 12
"""Answers to questions are shorter, captions in detail longer."""


def groups(adapter: MusicgenAdapter | VisionLanguageAdapter, samples: int, seed: int) -> Iterator[Group]:
    """What a dictionary of a bundled model learns from.

    Args:
        adapter: The model.
        samples: Rendered clips or scenes.
        seed: Their seed.
    """
    if isinstance(adapter, MusicgenAdapter):
        return music_groups(adapter, samples, seed)
    return vision_groups(adapter, samples, seed)


def _rendered(clip: Clip, name: str, seed: int, index: int) -> Sample:
    return Sample(name, render_clip(clip, np.random.default_rng([seed, index])), clip.prompt)


def _played(adapter: MusicgenAdapter, prompts: Sequence[str]) -> Iterator[Sample]:
    for start in range(0, len(prompts), GENERATED_AT_ONCE):
        some = prompts[start : start + GENERATED_AT_ONCE]
        waves = adapter.generate(some, CLIP_SECONDS, range(start, start + len(some)))
        for at, (wave, prompt) in enumerate(zip(waves, some, strict=True), start):
            yield Sample(f"played-{at}", wave, prompt)


def _said(adapter: VisionLanguageAdapter, images: Mapping[str, Any]) -> Iterator[Sample]:
    shown = [Sample(f"said-{name}", image, CAPTION_PROMPT) for name, image in images.items()]
    for start in range(0, len(shown), 2 * GENERATED_AT_ONCE):
        some = shown[start : start + 2 * GENERATED_AT_ONCE]
        for sample, text in zip(some, adapter.generate(some, CAPTION_TOKENS), strict=True):
            yield replace(sample, answer=text)


def _words(sample: Sample) -> int:
    return len((sample.answer or "").split())
