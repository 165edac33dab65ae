"""Words in the model's own captions: what is false is paired with the same word where it is true."""

import pytest

from mmsteer.errors import DataError
from mmsteer.recipes.vision.own_mentions import own_mentions
from mmsteer.recipes.vision.schema import OwnMentionPairs, SceneImages, Scenes
from mmsteer.types import Sample
from mmsteer.worlds.scenes import render_scene, split_scenes

SCENES = Scenes(n=8, split="validation", seed=3, cluttered=True, detailed=True)
PROMPT = "Please describe this image in detail."


class Speaker:
    """Says of every image the same of cups, after what is there."""

    sees, output_kind = True, "text"

    def __init__(self, end):
        self.end, self.asked = end, 0

    def generate(self, samples, sampling, seeds):
        self.asked += len(samples)
        return [Sample(one.id, one.prompt, one.images, output=f"We see a place. {self.end}") for one in samples]


def pairs(read):
    return OwnMentionPairs(
        contrast="own_mentions", images=SceneImages(scenes=SCENES), prompt=PROMPT, tokens=8, read=read
    )


@pytest.fixture(scope="module")
def drawn():
    return split_scenes("validation", 8, 3, cluttered=True, detailed=True)


@pytest.mark.parametrize(
    ("read", "text"),
    [
        ("sentence", "We see a place."),
        ("object", "We see a place. There is a red"),
        ("name", "We see a place. There is a red cup"),
    ],
)
def test_text_ends_where_it_is_to_be_read(read, text, drawn):
    found = own_mentions(Speaker("There is a red cup on the left."), pairs(read))
    assert {sample.output for sample in found.samples} == {text}
    assert {sample.prompt for sample in found.samples} == {PROMPT}
    there = ["cup" in scene.objects for scene in drawn]
    assert len(found.samples) == 2 * min(sum(there), len(there) - sum(there)) > 2
    images = [render_scene(scene) for scene in drawn]
    for sample, label in zip(found.samples, found.labels, strict=True):
        assert there[images.index(sample.images[0])] == bool(label)


def test_captions_are_made_once_for_all_places():
    speaker = Speaker("There is a cup.")
    own_mentions(speaker, pairs("sentence"))
    own_mentions(speaker, pairs("name"))
    assert speaker.asked == SCENES.n


def test_a_word_that_is_never_true_has_no_pair():
    with pytest.raises(DataError, match="8 images name nothing falsely that is named truly in others"):
        own_mentions(Speaker("There is an elephant."), pairs("object"))
