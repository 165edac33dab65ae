"""Rendered scenes whose every object is known, and what a careful and a loose annotator say about them."""

from mmsteer.worlds.scenes.captions import (
    ANNOTATORS,
    BRIEF_PROMPT,
    CAPTION_PROMPT,
    Caption,
    caption_pair,
    write_caption,
)
from mmsteer.worlds.scenes.conversations import Turn, answer, question, write_conversation
from mmsteer.worlds.scenes.drawing import SIDE
from mmsteer.worlds.scenes.kinds import SCENES, SceneKind
from mmsteer.worlds.scenes.render import render_scene
from mmsteer.worlds.scenes.scene import Scene, sample_scene
from mmsteer.worlds.scenes.shapes import OBJECTS
from mmsteer.worlds.scenes.sight import coverage
from mmsteer.worlds.scenes.splits import SPLITS, split_scenes
from mmsteer.worlds.scenes.thing import Thing

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
