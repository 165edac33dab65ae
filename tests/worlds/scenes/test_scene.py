"""The world knows its truth: what is drawn is what is said to be there, and changes touch one object."""

from dataclasses import replace

import numpy as np
import pytest

from mmsteer.errors import DataError
from mmsteer.worlds.scenes import OBJECTS, SCENES, coverage, render_scene, sample_scene, split_scenes
from mmsteer.worlds.scenes.scene import COMPANION_SHARE
from mmsteer.worlds.scenes.sight import visible_things


def pixels(scene):
    return np.asarray(render_scene(scene)).astype(int)


@pytest.fixture(scope="module")
def scenes():
    return split_scenes("validation", 64, 0)


def test_every_name_is_an_object_of_the_world():
    for kind in SCENES.values():
        assert {kind.anchor, *kind.companions} <= set(OBJECTS)
        assert len(set(kind.companions)) == 4
        assert kind.anchor not in kind.companions


def test_everything_that_is_drawn_can_be_seen(scenes):
    for scene in scenes:
        assert scene.objects == {thing.name for thing in scene.things}


def test_the_truth_is_what_the_pixels_show(scenes):
    # Taking the front object away changes the picture where its coverage says it is, and nowhere else.
    for scene in scenes[:24]:
        name = max(scene.things, key=lambda thing: thing.depth).name
        changed = np.abs(pixels(scene) - pixels(scene.without(name))).sum(axis=2) > 0
        cells = changed.reshape(8, 12, 8, 12).mean(axis=(1, 3))
        share = coverage(scene.things, 8)[name]
        assert cells[share == 0].max() == 0
        assert (cells[share > 0.5] > 0.3).all()


def test_a_scene_without_and_with_an_object_keeps_all_else(scenes):
    scene = next(scene for scene in scenes if len(scene.things) == 3)
    name = scene.things[-1].name
    assert scene.without(name).things == scene.things[:-1]
    added = next(name for name in OBJECTS if name not in scene.objects)
    more = scene.with_object(added)
    assert more.things[:-1] == scene.things
    assert (more.seed, more.noise, more.light) == (scene.seed, scene.noise, scene.light)
    assert more == scene.with_object(added)
    assert np.array_equal(pixels(more.without(added)), pixels(scene))


def test_what_is_hidden_is_not_seen(scenes):
    scene = sample_scene(np.random.default_rng(0), kind="street", present=("bird",))
    thing = scene.thing("bird")
    curtain = replace(scene.thing("car"), x=thing.x, base=thing.base + 0.1, height=0.6, depth=9.0)
    hidden = replace(scene, things=(thing, curtain))
    assert [one.name for one in visible_things(hidden.things)] == ["car"]
    assert hidden.objects == {"car"}


def test_a_picture_is_the_same_each_time(scenes):
    image = render_scene(scenes[0])
    assert (image.size, image.mode) == ((96, 96), "RGB")
    assert np.array_equal(pixels(scenes[0]), pixels(scenes[0]))
    assert not np.array_equal(pixels(scenes[0]), pixels(scenes[8]))


def test_companions_are_there_as_often_as_stated(scenes):
    there = [name in scene.objects for scene in scenes for name in SCENES[scene.kind].companions]
    # 256 draws, of which crowded ones may be drawn again: standard error 3 points.
    assert np.mean(there) == pytest.approx(COMPANION_SHARE, abs=0.1)


def test_what_is_asked_for_is_there():
    rng = np.random.default_rng(0)
    for _ in range(10):
        scene = sample_scene(rng, kind="office", present=("cup", "bus"), absent=("laptop",))
        assert {"cup", "bus"} <= scene.objects
        assert "laptop" not in scene.objects
        assert scene.kind == "office"


def test_wrong_requests_are_refused(scenes):
    rng = np.random.default_rng(0)
    with pytest.raises(DataError, match="no kind of scene 'garage'; choose from kitchen"):
        sample_scene(rng, kind="garage")
    with pytest.raises(DataError, match="no object 'mug' in the world"):
        sample_scene(rng, present=("mug",))
    with pytest.raises(DataError, match="cup: both present and absent"):
        sample_scene(rng, present=("cup",), absent=("cup",))
    with pytest.raises(DataError, match="has no 'zebra'"):
        scenes[0].without("zebra")
    with pytest.raises(DataError, match="already has a"):
        scenes[0].with_object(scenes[0].things[0].name)
    with pytest.raises(DataError, match="no split 'dev'; choose from train, validation, test, demos"):
        split_scenes("dev", 1, 0)


def test_splits_share_no_scene_and_grow_at_their_end():
    drawn = [scene for split in ("train", "validation", "test", "demos") for scene in split_scenes(split, 8, 0)]
    assert len({scene.things for scene in drawn}) == 32
    assert split_scenes("test", 3, 1) == split_scenes("test", 5, 1)[:3]
    assert split_scenes("test", 3, 1) != split_scenes("test", 3, 2)
