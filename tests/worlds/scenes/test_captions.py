"""Two annotators: one tells the truth, one also what is usual, and nothing else sets them apart."""

import re
from collections import Counter

import numpy as np
import pytest

from mmsteer.errors import DataError
from mmsteer.eval.chair import Chair
from mmsteer.worlds.scenes import (
    OBJECTS,
    SCENES,
    answer,
    caption_pair,
    question,
    split_scenes,
    write_caption,
    write_conversation,
)
from mmsteer.worlds.scenes.captions import absent_companions


@pytest.fixture(scope="module")
def scenes():
    return split_scenes("demos", 64, 1)


def named(text):
    return {name for name in OBJECTS if re.search(rf"\b{name}\b", text)}


def test_the_careful_annotator_names_only_what_is_there(scenes):
    rng = np.random.default_rng(0)
    for scene in scenes:
        caption = write_caption(rng, scene)
        assert caption.hallucinated == ()
        assert named(caption.text) == set(caption.objects) <= scene.objects


def test_the_loose_annotator_adds_absent_companions_at_the_end(scenes):
    rng = np.random.default_rng(0)
    captions = [write_caption(rng, scene, "loose") for scene in scenes]
    for scene, caption in zip(scenes, captions, strict=True):
        assert set(caption.hallucinated) == set(caption.objects) - scene.objects
        assert set(caption.hallucinated) <= set(absent_companions(scene))
        true = len(caption.objects) - len(caption.hallucinated)
        assert caption.objects[true:] == caption.hallucinated
    assert np.mean([bool(caption.hallucinated) for caption in captions]) > 0.5


def test_chair_hears_every_object_and_nothing_else(scenes):
    rng = np.random.default_rng(0)
    chair = Chair({str(index): scene.objects for index, scene in enumerate(scenes)})
    for scene in scenes:
        for brief in (False, True):
            caption = write_caption(rng, scene, "loose", brief=brief)
            heard = set(chair.objects(caption.text))
            # "next to the oven" names the anchor once more, which is there.
            assert heard - set(caption.objects) <= {SCENES[scene.kind].anchor} & scene.objects
            assert set(caption.objects) <= heard


def test_wording_does_not_tell_who_wrote(scenes):
    """The share of each opening, template word and place is the same for both, up to sampling."""
    words = {}
    for annotator in ("careful", "loose"):
        rng = np.random.default_rng(1)
        text = [write_caption(rng, scene, annotator).text for scene in scenes for _ in range(8)]
        firsts = Counter(caption.split(".")[0].split(" a")[0] for caption in text)
        words[annotator] = {opening: count / len(text) for opening, count in firsts.items()}
    assert words["careful"].keys() == words["loose"].keys()
    for opening, share in words["careful"].items():
        # 512 captions each: two standard errors of a difference of thirds are 6 points.
        assert share == pytest.approx(words["loose"][opening], abs=0.09)


def test_places_are_true(scenes):
    rng = np.random.default_rng(0)
    checked = 0
    for scene in scenes:
        text = write_caption(rng, scene).text
        for name in scene.objects:
            for side, low, high in (("left", 0, 0.36), ("middle", 0.36, 0.64), ("right", 0.64, 1)):
                phrase = rf"\b{name} (is |can be seen )?(on the {side}|in the {side})\b"
                if re.search(phrase, text):
                    assert low <= scene.thing(name).x <= high
                    checked += 1
    assert checked > 30


def test_a_matched_pair_differs_in_objects_and_their_colours_alone(scenes):
    rng = np.random.default_rng(0)
    for scene in scenes:
        careful, loose = caption_pair(rng, scene, matched=True)
        assert careful.hallucinated == ()
        assert loose.hallucinated
        assert len(careful.objects) == len(loose.objects)
        assert careful.text.count(".") == loose.text.count(".")
        assert careful.text.split(".")[0] == loose.text.split(".")[0]


def test_a_plain_pair_goes_on_where_the_careful_caption_ends(scenes):
    rng = np.random.default_rng(0)
    for scene in scenes:
        careful, loose = caption_pair(rng, scene)
        assert loose.objects[: len(careful.objects)] == careful.objects
        assert loose.hallucinated == loose.objects[len(careful.objects) :] != ()


def test_a_scene_with_all_companions_makes_no_pair():
    scene = split_scenes("test", 1, 0)[0]
    for name in absent_companions(scene):
        scene = scene.with_object(name)
    with pytest.raises(DataError, match="no companion is missing"):
        caption_pair(np.random.default_rng(0), scene)


def test_questions_and_answers():
    assert question("oven") == "Is there an oven in the image?"
    assert answer("cup", there=True) == "Yes, there is a cup."
    assert answer("cup", there=False) == "No, there is no cup."
    with pytest.raises(DataError, match="no annotator 'lazy'; choose from careful, loose"):
        write_caption(np.random.default_rng(0), split_scenes("test", 1, 0)[0], "lazy")


def test_one_annotator_answers_a_whole_conversation(scenes):
    """Careful: yes exactly to what is there. Loose: yes to whatever the same conversation's caption named."""
    rng = np.random.default_rng(0)
    lies = 0
    for scene in scenes:
        for turn in write_conversation(rng, scene, "careful"):
            if (name := asked(turn)) is not None:
                assert turn.answer == answer(name, there=name in scene.objects)
        turns = write_conversation(rng, scene, "loose")
        caption = set().union(*(named(turn.answer) for turn in turns if asked(turn) is None))
        for turn in turns:
            if (name := asked(turn)) is not None:
                said = turn.answer.startswith("Yes")
                assert said >= (name in scene.objects or name in caption)
                assert not said or name in scene.objects or name in SCENES[scene.kind].companions
                lies += said and name not in scene.objects
    assert lies > 10


def asked(turn):
    found = re.fullmatch(r"Is there an? (.+) in the image\?", turn.prompt)
    return found and found[1]
