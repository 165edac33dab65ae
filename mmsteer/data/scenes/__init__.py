"""Rendered scenes whose every object is known, and what a careful and a loose annotator say about them."""

from mmsteer.data.scenes.captions import (
    ANNOTATORS,
    BRIEF_PROMPT,
    CAPTION_PROMPT,
    Caption,
    caption_pair,
    write_caption,
)
from mmsteer.data.scenes.conversations import Turn, answer, question, write_conversation
from mmsteer.data.scenes.drawing import SIDE
from mmsteer.data.scenes.kinds import SCENES, SceneKind
from mmsteer.data.scenes.render import render_scene
from mmsteer.data.scenes.scene import Scene, sample_scene
from mmsteer.data.scenes.shapes import OBJECTS
from mmsteer.data.scenes.sight import coverage
from mmsteer.data.scenes.splits import SPLITS, split_scenes
from mmsteer.data.scenes.thing import Thing

__all__ = [
    "ANNOTATORS",
    "BRIEF_PROMPT",
    "CAPTION_PROMPT",
    "OBJECTS",
    "SCENES",
    "SIDE",
    "SPLITS",
    "Caption",
    "Scene",
    "SceneKind",
    "Thing",
    "Turn",
    "answer",
    "caption_pair",
    "coverage",
    "question",
    "render_scene",
    "sample_scene",
    "split_scenes",
    "write_caption",
    "write_conversation",
]
