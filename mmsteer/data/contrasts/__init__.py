"""Labelled samples whose two sides differ in one thing, for directions against hallucination."""

from mmsteer.data.contrasts.captions import captions, language_prior
from mmsteer.data.contrasts.contrast import Contrast, wrong_image
from mmsteer.data.contrasts.demos import Demo, image_samples, read_demos, scene_demos
from mmsteer.data.contrasts.images import masked, no_image
from mmsteer.data.contrasts.objects import DECISIONS, answers, counterfactual, mentions

__all__ = [
    "DECISIONS",
    "Contrast",
    "Demo",
    "answers",
    "captions",
    "counterfactual",
    "image_samples",
    "language_prior",
    "masked",
    "mentions",
    "no_image",
    "read_demos",
    "scene_demos",
    "wrong_image",
]
