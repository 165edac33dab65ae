"""Places in a model's own captions, by how much the image changes the next word."""

from dataclasses import replace

import pytest
import torch

import mmsteer
from mmsteer.errors import DataError
from mmsteer.recipes.vision.schema import SceneImages, Scenes, SensitivityPairs
from mmsteer.recipes.vision.sensitivity import beginnings, image_nats, sensitivity
from mmsteer.types import Sample
from mmsteer.worlds.scenes import render_scene, split_scenes

SCENES = Scenes(n=3, split="validation", seed=3)
DATA = SensitivityPairs(
    contrast="sensitivity", images=SceneImages(scenes=SCENES), prompt="describe the image", tokens=8
)
SAID = "the image shows a dog and a chair"


@pytest.fixture(scope="module")
def adapter(llava_folder):
    return mmsteer.load(str(llava_folder))


@pytest.fixture(scope="module")
def captioned():
    (scene,) = split_scenes("validation", 1, 3)
    return Sample("scene", "describe the image", (render_scene(scene),), output=SAID)


def next_word(adapter, sample):
    return adapter.read(adapter.reading([sample]))[0, -1, 0].float().log_softmax(-1)


def test_divergence_is_that_of_two_forwards_of_each_beginning(adapter, captioned):
    begun = beginnings(captioned)
    assert [one.output for one in begun] == [SAID[: len(one.output)] for one in begun]
    assert [one.output.count(" ") for one in begun] == list(range(SAID.count(" ")))
    nats = image_nats(adapter, captioned, begun)
    for one, found in zip(begun, nats, strict=True):
        seen, blind = next_word(adapter, one), next_word(adapter, replace(one, images=()))
        torch.testing.assert_close(found, (seen.exp() * (seen - blind)).sum(), atol=1e-5, rtol=1e-3)
    assert nats.max() > nats.min() >= 0


def test_each_caption_gives_its_most_and_its_least_sensitive_place(adapter, monkeypatch):
    monkeypatch.setattr(
        adapter, "generate", lambda samples, *_: [replace(one, output=f"{SAID} ") for one in samples], raising=False
    )
    found = sensitivity(adapter, DATA)
    assert len(found.samples) == 2 * SCENES.n
    for most, least in zip(found.samples[::2], found.samples[1::2], strict=True):
        nats = image_nats(adapter, replace(most, output=SAID), beginnings(replace(most, output=SAID)))
        both = image_nats(adapter, replace(most, output=SAID), [most, least])
        torch.testing.assert_close(both, torch.stack([nats.max(), nats.min()]))
    assert found.labels == (1, 0) * SCENES.n


def test_captions_of_a_word_or_two_are_refused(adapter, monkeypatch):
    monkeypatch.setattr(
        adapter, "generate", lambda samples, *_: [replace(one, output="a dog") for one in samples], raising=False
    )
    with pytest.raises(DataError, match="no caption has three words"):
        sensitivity(adapter, DATA.model_copy(update={"tokens": 9}))
