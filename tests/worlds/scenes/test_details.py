"""Scenes with faint details: likely where they are at home, hard to see, named last, and never where they are not."""

import numpy as np
import pytest

from mmsteer.eval.chair import Chair
from mmsteer.worlds.scenes import SCENES, render_scene, sample_scene
from mmsteer.worlds.scenes.contrasts import counterfactual
from mmsteer.worlds.scenes.descriptions import describe, enumerate_objects, summarise
from mmsteer.worlds.scenes.scene import DETAIL_SHARE, FAINT_OPACITY
from mmsteer.worlds.scenes.splits import split_scenes


@pytest.fixture(scope="module")
def scenes():
    return split_scenes("train", 160, 5, cluttered=True, detailed=True)


def test_details_are_companions():
    for kind in SCENES.values():
        assert set(kind.details) < set(kind.companions)


def test_details_are_likely_and_faint_and_all_else_is_clear(scenes):
    there = [name in scene.objects for scene in scenes for name in scene.details]
    assert np.mean(there) == pytest.approx(DETAIL_SHARE, abs=0.08)
    for scene in scenes:
        for thing in scene.things:
            faint = FAINT_OPACITY[0] <= thing.opacity <= FAINT_OPACITY[1]
            assert faint == (thing.name in scene.details)


def test_scenes_without_details_are_as_before():
    plain = sample_scene(np.random.default_rng(4), kind="kitchen", cluttered=True)
    assert plain.details == ()
    assert not plain.detailed
    assert min(thing.opacity for thing in plain.things) > FAINT_OPACITY[1]


def test_detailed_captions_end_with_details_and_short_ones_lack_them(scenes):
    chair = Chair({})
    for index, scene in enumerate(scenes[:40]):
        rng = np.random.default_rng(index)
        told = list(dict.fromkeys(chair.objects(describe(rng, scene).answer)))
        assert set(told) == scene.objects
        faint = [name in scene.details for name in told]
        # A place next to the anchor may name it again, never for the first time.
        assert faint == sorted(faint)
        assert set(chair.objects(enumerate_objects(rng, scene).answer)) == scene.objects
        assert set(chair.objects(summarise(rng, scene).answer)) == scene.objects - set(scene.details)


def test_an_added_detail_is_faint_and_a_counterfactual_is_about_one(scenes):
    bare = sample_scene(np.random.default_rng(1), kind="kitchen", absent=["cup"], detailed=True)
    assert bare.with_object("cup").thing("cup").opacity <= FAINT_OPACITY[1]
    clear = sample_scene(np.random.default_rng(1), kind="kitchen", absent=["cup"])
    assert clear.with_object("cup").thing("cup").opacity > FAINT_OPACITY[1]
    shown = split_scenes("demos", 64, 0, cluttered=True, detailed=True)
    pairs = counterfactual(shown, 0, decision="answer")
    for scene, sample in zip(shown, pairs.samples[::2], strict=True):
        missing = [name for name in scene.details if name not in scene.objects]
        assert any(f"a {name} in" in sample.prompt for name in missing), (scene, sample.prompt)
        assert np.array_equal(np.asarray(sample.images[0]), np.asarray(render_scene(scene)))
