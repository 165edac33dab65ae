"""The training set of the bundled LLaVA: cluttered scenes with faint details, and truthful talks."""

import multiprocessing
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmsteer.worlds.scenes import SCENES, Turn, render_scene
from mmsteer.worlds.scenes.descriptions import describe, detail_question, enumerate_objects, questions, summarise
from mmsteer.worlds.scenes.scene import Scene
from mmsteer.worlds.scenes.splits import split_scene
from mmsteer.worlds.training.data_file import read_data, write_data
from mmsteer.worlds.training.vision_data import shown_bits

SCENES_A_TASK = 64
QUESTION_PAIRS = 1
DETAIL_QUESTION_SHARE = 0.5

Rendered = tuple[NDArray[np.uint8], NDArray[np.uint8], list[int], list[list[Turn]]]


@dataclass(frozen=True, eq=False)
class LlavaData:
    """Scenes as the model sees them, and what is said of them.

    Attributes:
        images: (scenes, 3, side, side) uint8.
        shown: Which objects each patch shows, bits of `OBJECTS`, (scenes, patches, objects / 8) uint8.
        kinds: Which of `SCENES` each is, (scenes,).
        talks: Of each scene, prompts and truthful answers, each a conversation of its own.
    """

    images: Tensor
    shown: Tensor
    kinds: Tensor
    talks: list[list[Turn]]


def make_data(scenes: int, workers: int, seed: int) -> LlavaData:
    """Render cluttered and detailed scenes of the training split in parallel, in a fixed order.

    Args:
        scenes: How many.
        workers: Processes.
        seed: Seed of the world; scene number i depends on it and i alone.
    """
    batches = list(_rendered(scenes, workers, seed))
    return LlavaData(
        torch.from_numpy(np.concatenate([batch[0] for batch in batches])),
        torch.from_numpy(np.concatenate([batch[1] for batch in batches])),
        torch.tensor([kind for batch in batches for kind in batch[2]]),
        [talk for batch in batches for talk in batch[3]],
    )


def save_data(data: LlavaData, path: Path) -> None:
    """Write the data as one safetensors file, whole or not at all.

    Args:
        data: What to keep.
        path: The file.
    """
    plain = [[[turn.prompt, turn.answer] for turn in talk] for talk in data.talks]
    write_data(path, {"images": data.images, "shown": data.shown, "kinds": data.kinds}, plain)


def load_data(path: Path) -> LlavaData:
    """Read what `save_data` wrote.

    Args:
        path: The file.
    """
    tensors, plain = read_data(path)
    return LlavaData(
        tensors["images"], tensors["shown"], tensors["kinds"], [[Turn(*turn) for turn in talk] for talk in plain]
    )


def write_talks(rng: np.random.Generator, scene: Scene) -> list[Turn]:
    """What is said of a scene: details, one sentence or a list, and questions.

    Args:
        rng: Source of all draws.
        scene: The scene.
    """
    short = summarise(rng, scene) if rng.random() < 0.6 else enumerate_objects(rng, scene)
    detail = detail_question(rng, scene) if rng.random() < DETAIL_QUESTION_SHARE else None
    asked = questions(rng, scene, QUESTION_PAIRS)
    return [describe(rng, scene), short, *asked, *([detail] if detail is not None else [])]


def _rendered(scenes: int, workers: int, seed: int) -> Iterator[Rendered]:
    tasks = [(seed, start, min(start + SCENES_A_TASK, scenes)) for start in range(0, scenes, SCENES_A_TASK)]
    # The processes are the parallelism; linear algebra with threads of its own would only get in their way.
    os.environ |= {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap(_render, tasks)


def _render(task: tuple[int, int, int]) -> Rendered:
    seed, start, stop = task
    scenes = [split_scene("train", index, seed, cluttered=True, detailed=True) for index in range(start, stop)]
    images = np.stack([np.asarray(render_scene(scene)).transpose(2, 0, 1) for scene in scenes])
    talks = [write_talks(np.random.default_rng([seed, index]), scene) for index, scene in enumerate(scenes, start)]
    kinds = [list(SCENES).index(scene.kind) for scene in scenes]
    return images, np.stack([shown_bits(scene) for scene in scenes]), kinds, talks
