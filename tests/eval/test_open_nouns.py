"""Nouns that COCO has no class for, judged where everything in the picture is known."""

import numpy as np
import pytest

from mmsteer.errors import EvalError
from mmsteer.eval.chair import Chair
from mmsteer.eval.chair_synonyms import coco_synonyms
from mmsteer.eval.open_nouns import open_nouns, open_synonyms
from mmsteer.worlds.scenes import SCENES, sample_scene, split_scenes
from mmsteer.worlds.scenes.descriptions import describe, enumerate_objects, summarise
from mmsteer.worlds.scenes.surroundings import surroundings

TRUTH = {"a": {"bed", "cup"}}
BACKDROP = {"a": {"wall", "floor", "pillow"}}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def chair():
    return Chair(TRUTH, "fixed", open_synonyms(), BACKDROP)


def test_a_lamp_that_is_not_there_is_a_hallucination(chair):
    caption = "A bed by the wall. There are two lamps and a fridge."
    assert [one.object for one in chair.row("a", caption).hallucinated] == ["lamp", "refrigerator"]
    assert [one.object for one in Chair(TRUTH).row("a", caption).hallucinated] == ["refrigerator"]


def test_the_backdrop_is_neither_right_nor_wrong(chair):
    score = chair.score({"a": "A pillow on a bed, walls, the floor."})
    assert (score.chair_s.value, score.chair_i.value, score.recall.value) == (0.0, 0.0, 0.5)
    row = chair.row("a", "The sky over a bed.")
    assert [one.object for one in row.hallucinated] == ["sky"]
    assert [one.object for one in row.mentions] == ["sky", "bed"]


def test_no_class_is_coco_s_and_no_word_names_two(chair):
    assert not open_nouns().keys() & coco_synonyms().keys()
    listed = {word: name for name, words in coco_synonyms().items() for word in (name, *words)}
    mine = [(word, name) for name, words in open_nouns().items() for word in {name, *words}]
    assert not {word for word, _ in mine} & listed.keys()
    assert len({word for word, _ in mine}) == len(mine)
    for word, name in mine:
        assert chair.objects(f"There is a {word}.") == (name,), word


def test_words_about_the_picture_itself_name_nothing(chair):
    assert chair.objects("This is a picture of a kitchen in the light of day, in the middle of the image.") == ()


def test_no_true_text_of_the_world_is_called_false():
    for index, scene in enumerate(split_scenes("train", 40, 6, cluttered=True)):
        chair = Chair({"x": scene.objects}, "fixed", open_synonyms(), {"x": surroundings(scene)})
        rng = np.random.default_rng(index)
        for turn in (describe(rng, scene), summarise(rng, scene), enumerate_objects(rng, scene)):
            assert not chair.row("x", turn.answer).hallucinated, turn.answer


def test_a_backdrop_of_unknown_classes_is_refused():
    with pytest.raises(EvalError, match="unicorn"):
        Chair(TRUTH, "fixed", open_synonyms(), {"a": {"unicorn"}})


def test_the_world_s_surroundings_are_classes_of_the_list(rng):
    for kind in SCENES:
        scene = sample_scene(rng, kind=kind, cluttered=True)
        assert surroundings(scene) <= open_nouns().keys()
    bedroom = sample_scene(rng, kind="bedroom", present=["bed"])
    assert {"wall", "pillow"} <= surroundings(bedroom)
    assert "sky" not in surroundings(bedroom)
    assert "sky" in surroundings(sample_scene(rng, kind="street"))
