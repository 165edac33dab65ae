"""Rendered scenes as images whose objects are known."""

from mmsteer.latents.object_mentions import Pictures
from mmsteer.types import Sample, Sampling
from mmsteer.worlds.scenes import CAPTION_PROMPT, render_scene, split_scenes


def shown(split: str, count: int, seed: int = 0) -> Pictures:
    scenes = split_scenes(split, count, seed)
    samples = tuple(Sample(str(at), CAPTION_PROMPT, (render_scene(one),)) for at, one in enumerate(scenes))
    return Pictures(samples, tuple(one.objects for one in scenes), Sampling(64))
