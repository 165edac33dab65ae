"""The training set of the bundled vision-language model: pictures, what each patch shows, conversations."""

import multiprocessing
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmsteer.worlds.scenes import OBJECTS, Scene, Turn, coverage, render_scene, write_conversation
from mmsteer.worlds.scenes.conversations import draw_annotator
from mmsteer.worlds.scenes.splits import split_scene
from mmsteer.worlds.training.data_file import read_data, write_data

SCENES_A_TASK = 64
CONVERSATIONS = 3
GRID = 8
# A patch shows an object that covers this share of it.
SHOWN_SHARE = 0.1
# Who writes: in the biased world either annotator, in the unbiased one always the careful one.
WORLDS = ("biased", "unbiased")

Rendered = tuple[NDArray[np.uint8], NDArray[np.uint8], list[dict[str, list[list[Turn]]]]]


@dataclass(frozen=True, eq=False)
class VisionData:
    """Scenes as the model sees them.

    Attributes:
        images: (scenes, 3, side, side) uint8.
        shown: Which objects each patch shows, bits of `OBJECTS`, (scenes, patches, objects / 8) uint8.
        conversations: By world: of each scene, some conversations.
    """

    images: Tensor
    shown: Tensor
    conversations: Mapping[str, list[list[list[Turn]]]]


def make_data(scenes: int, workers: int, seed: int) -> VisionData:
    """Render the training split in parallel, in a fixed order.

    Args:
        scenes: How many scenes.
        workers: Processes.
        seed: Seed of the world; scene number i depends on it and i alone.
    """
    batches = list(_rendered(scenes, workers, seed))
    talks = [talk for batch in batches for talk in batch[2]]
    return VisionData(
        torch.from_numpy(np.concatenate([batch[0] for batch in batches])),
        torch.from_numpy(np.concatenate([batch[1] for batch in batches])),
        {world: [talk[world] for talk in talks] for world in WORLDS},
    )


def shown_objects(bits: Tensor) -> Tensor:
    """The objects of each patch as floats, (..., patches, objects), from the bits of `VisionData`.

    Args:
        bits: (..., patches, objects / 8) uint8.
    """
    places = torch.arange(7, -1, -1, device=bits.device)
    return (bits[..., None].int() >> places & 1).flatten(-2).float()


def shown_bits(scene: Scene) -> NDArray[np.uint8]:
    """Which objects each patch of a scene shows, (patches, objects / 8), bits of `OBJECTS`.

    Args:
        scene: The scene.
    """
    shown = np.zeros((GRID * GRID, len(OBJECTS)), dtype=bool)
    for name, share in coverage(scene.things, GRID).items():
        shown[:, OBJECTS.index(name)] = share.ravel() >= SHOWN_SHARE
    return np.packbits(shown, axis=1)


def save_data(data: VisionData, path: Path) -> None:
    """Write the data as one safetensors file, whole or not at all.

    Args:
        data: What to keep.
        path: The file.
    """
    plain = {
        world: [[[[turn.prompt, turn.answer] for turn in talk] for talk in talks] for talks in scenes]
        for world, scenes in data.conversations.items()
    }
    write_data(path, {"images": data.images, "shown": data.shown}, plain)


def load_data(path: Path) -> VisionData:
    """Read what `save_data` wrote.

    Args:
        path: The file.
    """
    tensors, plain = read_data(path)
    conversations = {
        world: [[[Turn(*turn) for turn in talk] for talk in talks] for talks in scenes]
        for world, scenes in plain.items()
    }
    return VisionData(tensors["images"], tensors["shown"], conversations)


def _rendered(scenes: int, workers: int, seed: int) -> Iterator[Rendered]:
    tasks = [(seed, start, min(start + SCENES_A_TASK, scenes)) for start in range(0, scenes, SCENES_A_TASK)]
    # The processes are the parallelism; linear algebra with threads of its own would only get in their way.
    os.environ |= {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap(_render, tasks)


def _render(task: tuple[int, int, int]) -> Rendered:
    seed, start, stop = task
    scenes = [split_scene("train", index, seed) for index in range(start, stop)]
    images = np.stack([np.asarray(render_scene(scene)).transpose(2, 0, 1) for scene in scenes])
    talks = [_talks(np.random.default_rng([seed, index]), scene) for index, scene in enumerate(scenes, start)]
    return images, np.stack([shown_bits(scene) for scene in scenes]), talks


def _talks(rng: np.random.Generator, scene: Scene) -> dict[str, list[list[Turn]]]:
    return {
        "biased": [list(write_conversation(rng, scene, draw_annotator(rng))) for _ in range(CONVERSATIONS)],
        "unbiased": [list(write_conversation(rng, scene, "careful")) for _ in range(CONVERSATIONS)],
    }
