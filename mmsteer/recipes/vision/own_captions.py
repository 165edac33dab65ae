"""The model's own greedy captions, which contrasts are found in."""

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from mmsteer.recipes.vision.pictures import pictures_in
from mmsteer.recipes.vision.schema import CocoImages, FolderImages, SceneImages
from mmsteer.types import Sample, Sampling

if TYPE_CHECKING:
    from mmsteer.adapters import LanguageModelAdapter

BATCH = 32


@lru_cache(maxsize=1)
def described(
    adapter: "LanguageModelAdapter", images: SceneImages | CocoImages | FolderImages, prompt: str, tokens: int
) -> tuple[Sample, ...]:
    """Images with their greedy captions; families that read the same captions share them.

    Args:
        adapter: Who describes.
        images: What is described.
        prompt: What is asked.
        tokens: At most this many tokens a caption.
    """
    samples = [replace(one, prompt=prompt).sample(adapter) for one in pictures_in(images, ())]
    parts = [samples[start : start + BATCH] for start in range(0, len(samples), BATCH)]
    said = [one for part in parts for one in adapter.generate(part, Sampling(tokens), [0] * len(part))]
    return tuple(replace(one, output=str(one.output).strip()) for one in said)
