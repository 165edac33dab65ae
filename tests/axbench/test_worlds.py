"""Concepts of the rendered worlds: what has them, who is asked, and what a rater reads in captions and clips."""

import numpy as np
import pytest

from mmsteer.axbench.answers import prompted
from mmsteer.axbench.concepts import Concept
from mmsteer.axbench.truth_rater import TruthRater
from mmsteer.errors import RecipeError
from mmsteer.eval.chair_parser import mentioned, object_parser
from mmsteer.eval.text import Reference
from mmsteer.recipes.axbench import check_axbench
from mmsteer.recipes.axbench_worlds import ASKED, world_set
from mmsteer.types import Sample
from tests.steering.seeing import llava, picture  # noqa: F401  a fixture

DOG = Concept(0, "dog", (), (), " Mention the dog.")
SHOWN = {"a": Reference("What?", objects=frozenset({"cup", "chair"}))}


def caption(text):
    return Sample("a", "What is this?", (picture(),), text)


@pytest.fixture(scope="module")
def scenes(llava):  # noqa: F811
    return world_set("objects", llava)


def test_objects_are_in_captions_that_name_them(scenes):
    assert len(scenes.concepts) >= 8
    for one in scenes.concepts:
        for example in (*one.train, *one.test):
            assert example.given is not None
            assert len(example.given.images) == 1
            assert (one.text in mentioned(object_parser(), [example.output])) == example.positive
        assert (
            {example.positive for example in one.train} == {example.positive for example in one.test} == {True, False}
        )
    assert scenes.concepts[0].order == f" Mention the {scenes.concepts[0].text}."


def test_only_images_without_the_object_are_asked_about(scenes):
    concept = scenes.concepts[0]
    fitting = [one for one in scenes.instructions if scenes.fits(concept, one)]
    assert 0 < len(fitting) < len(scenes.instructions) == ASKED
    assert all(concept.text not in scenes.references[one.id].objects for one in fitting)


def test_captions_are_rated_by_what_is_there(llava):  # noqa: F811
    rater = TruthRater(llava, [caption("red"), caption("a red")], SHOWN)
    texts = ("a dog and a cup", "a cup and a chair", "a dog", "a dog, a cup and a car", "")
    found = rater.rate(DOG, [caption(text) for text in texts])
    assert [(one.concept, one.instruction) for one in found] == [(2, 2), (0, 2), (2, 0), (2, 1), (0, 0)]
    assert rater.rate(DOG, [caption("cup " * 40)])[0].fluency == 0.0


def test_clips_are_rated_by_evaluators(musicgen):
    """A tone of A; the tempo that its prompt names cannot be read from it."""
    time = np.arange(musicgen.sample_rate) / musicgen.sample_rate
    tone = np.sin(2 * np.pi * 440 * time).astype(np.float32)
    clip = Sample("b", "a tone", output=tone)
    references = {"b": Reference("a tone", attributes={"register": "high"})}
    rater = TruthRater(musicgen, [clip, clip], references)
    a, c = (rater.rate(Concept(0, f"note:{name}", (), ()), [clip])[0] for name in ("A", "C"))
    assert (a.concept, c.concept) == (2.0, 0.0)
    assert a.fluency == 2.0


def test_a_prompt_is_lengthened_where_a_model_takes_no_orders():
    assert prompted(DOG).asked(caption("x")).text == "What is this? Mention the dog."
    assert prompted(Concept(0, "dog", (), ())).order is not None


def test_a_model_that_makes_nothing_of_the_kind_is_refused(talker):
    with pytest.raises(RecipeError, match="asks for a model that makes audio"):
        world_set("notes", talker)


@pytest.mark.parametrize("name", ["axbench-vision", "axbench-music"])
def test_shipped_recipes_are_read(name):
    recipe, concepts, instructions = check_axbench(name)
    assert recipe.world is not None
    assert (concepts, instructions) == ((), [])
    with pytest.raises(RecipeError, match="data and instructions, or world alone"):
        check_axbench(name, ["data=axbench"])
    with pytest.raises(RecipeError, match="judged by its truth"):
        check_axbench(name, ["judge=endpoint"])
