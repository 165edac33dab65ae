"""Labelled samples whose two sides differ in one thing, for directions against hallucination."""

from mmsteer.data.contrasts.captions import captions, language_prior
from mmsteer.data.contrasts.contrast import Contrast, paired, wrong_image
from mmsteer.data.contrasts.demos import Demo, image_samples, read_demos
from mmsteer.data.contrasts.images import masked, no_image

__all__ = [
    "Contrast",
    "Demo",
    "captions",
    "image_samples",
    "language_prior",
    "masked",
    "no_image",
    "paired",
    "read_demos",
    "wrong_image",
]
