"""The world of scenes as rows: pictures with a prompt, what they show, questions about them, and captions."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from mmsteer.errors import DataError
from mmsteer.eval.pope import build_questions
from mmsteer.tasks import Row, RowSet
from mmsteer.types import Sampling
from mmsteer.worlds.scenes.captions import BRIEF_PROMPT, CAPTION_PROMPT, write_caption
from mmsteer.worlds.scenes.conversations import write_conversation
from mmsteer.worlds.scenes.render import render_scene
from mmsteer.worlds.scenes.scene import Scene
from mmsteer.worlds.scenes.splits import split_scene, split_scenes

ANSWER, CAPTION = Sampling(12), Sampling(64)
LABELLED, MEASURED, SHOWN, PICTURED = 98, 78, 2_000_003, 1000
"""Seeds, or what is added to them: the models were trained on the worlds of small ones."""
TESTED = 1000
"""Number of the first scene that measured effects are tested on."""
QUESTIONED = 40
"""Fewest scenes that are asked about: questions are about objects that occur in others."""
PICTURES: Mapping[str, str] = {"train": "demos", "validation": "validation", "test": "test"}
"""The scenes of each split of rows; those of `demos` invite wrong captions."""


class SceneWorld:
    """Rows of rendered scenes."""

    def rewarded(self, reward: str, n: int, seed: int) -> RowSet:
        """Pictures to describe, or questions about them; the first half to learn from, the rest to test on.

        Args:
            reward: `yes_no` for questions; any other for captions.
            n: How many.
            seed: Of the scenes.
        """
        if reward.removeprefix("not ") == "yes_no":
            return RowSet(_halved(_questions(max(QUESTIONED, n // 2), seed)[:n]), ANSWER)
        return RowSet(_halved(_described("test", n, seed)), CAPTION)

    def archetype(self, reward: str, seed: int) -> Row | None:
        """A picture with a caption that earns a reward; None where none is known.

        Args:
            reward: `grounded` or `brief:14`.
            seed: Of the scene.
        """
        name = reward.partition(":")[0]
        if name not in ("grounded", "brief"):
            return None
        scene = split_scene("train", 0, SHOWN + seed)
        caption = write_caption(np.random.default_rng(SHOWN + seed), scene, "careful", brief=name == "brief")
        return replace(_row(f"archetype {reward}", scene), answer=caption.text)

    def instructed(self, reward: str, n: int, seed: int) -> RowSet:
        """Pictures that are asked about briefly, the same in detail, and others to test on.

        Args:
            reward: `brief:14` or another number of words.
            n: Rows, of which half are read in pairs.
            seed: Of the rows.

        Raises:
            DataError: The reward is not one that a prompt asks for.
        """
        if not reward.startswith("brief:"):
            raise DataError(f"no prompt of the rendered world asks for {reward!r}; choose brief:14")
        plain = [
            replace(_row(f"plain-{at}", scene), label="plain", group=str(at), split="train")
            for at, scene in enumerate(split_scenes("train", n // 2, SHOWN + seed))
        ]
        brief = [
            replace(one, id=f"brief-{at}", prompt=BRIEF_PROMPT, label="instructed") for at, one in enumerate(plain)
        ]
        asked = (replace(one, label="plain", split="test") for one in _described("test", n - n // 2, seed))
        return RowSet((*brief, *plain, *asked), CAPTION)

    def described(self) -> RowSet:
        """Pictures with captions to look features up in, and others to describe."""
        rng = np.random.default_rng(LABELLED)
        shown = [
            replace(_row(f"scene-{at}", scene), answer=write_conversation(rng, scene, "careful")[0].answer)
            for at, scene in enumerate(split_scenes("train", 120, LABELLED))
        ]
        asked = [
            replace(_row(str(at), scene), split="test")
            for at, scene in enumerate(split_scenes("train", 12, LABELLED - 1))
        ]
        return RowSet((*shown, *asked), Sampling(48))

    def captioned(self, n: int, seed: int) -> tuple[Row, ...]:
        """Pictures with true descriptions of them.

        Args:
            n: How many.
            seed: Of the scenes and their descriptions.
        """
        return tuple(
            replace(_row(f"captioned-{at}", scene), answer=write_caption(rng, scene, "careful").text)
            for at, scene in enumerate(split_scenes("train", n, SHOWN + seed))
            for rng in [np.random.default_rng([SHOWN + seed, at])]
        )

    def measured(self, learned: int, tested: int) -> RowSet:
        """Pictures that effects are measured on, and others to test on.

        Args:
            learned: How many of the first.
            tested: How many of the second.
        """
        numbers = [*range(learned), *range(TESTED, TESTED + tested)]
        rows = [
            replace(_row(str(at), split_scene("train", at, MEASURED)), split="test" if at >= TESTED else "train")
            for at in numbers
        ]
        return RowSet(tuple(rows), Sampling(48))

    def detected(self, concept: str, clips: int, scenes: int, seed: int) -> RowSet:
        """Pictures whose objects are known, to learn from and to judge by.

        Args:
            concept: Of the other world.
            clips: The same.
            scenes: How many of each.
            seed: Of the scenes.
        """
        return self.pictured({"validation": scenes, "test": scenes}, seed)

    def labelled(self, concept: str, per_label: int, prompts: int, seed: int) -> RowSet:
        """Nothing: this world has no clips.

        Args:
            concept: Of the other world.
            per_label: The same.
            prompts: The same.
            seed: The same.

        Raises:
            DataError: Always.
        """
        raise DataError("this model makes no audio; for captions: mmsteer sae hallucination")

    def pictured(self, sizes: Mapping[str, int], seed: int) -> RowSet:
        """Pictures whose objects are known, by split.

        Args:
            sizes: How many of each of the splits `train`, `validation` and `test`.
            seed: Of the scenes.
        """
        rows = [
            replace(row, id=f"{split}-{row.id}", split=split)
            for split, n in sizes.items()
            for row in _described(PICTURES[split], n, PICTURED + seed)
        ]
        return RowSet(tuple(rows), CAPTION)


def _described(split: str, n: int, seed: int) -> list[Row]:
    return [_row(f"{split}-{seed}-{at:05d}", scene) for at, scene in enumerate(split_scenes(split, n, seed))]


def _questions(scenes: int, seed: int) -> list[Row]:
    """POPE's six questions about each scene."""
    shown = {row.id: row for row in _described("test", scenes, seed)}
    asked = build_questions({name: row.objects or frozenset() for name, row in shown.items()}, "adversarial", seed)
    return [
        replace(shown[one.image], id=f"{one.image}-{one.id}", prompt=one.text, answer=one.label, group=one.image)
        for one in asked
    ]


def _halved(rows: Sequence[Row]) -> tuple[Row, ...]:
    half: Iterable[str] = ("train" if at < len(rows) // 2 else "test" for at in range(len(rows)))
    return tuple(replace(row, split=split) for row, split in zip(rows, half, strict=True))


def _row(name: str, scene: Scene) -> Row:
    return Row(
        name, "the rendered world", CAPTION_PROMPT, images=(render_scene(scene),), objects=scene.objects, group=name
    )
