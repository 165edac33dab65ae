"""Objects are asked about on the bundled vision model, whose own odds a hand-made question reproduces."""

from dataclasses import replace

import pytest

import mmsteer
from mmsteer.eval.chair_parser import object_parser
from mmsteer.types import Sample, Sampling
from mmsteer.verified import OwnAnswer, describe_verified, verify
from mmsteer.worlds.scenes import CAPTION_PROMPT, render_scene, split_scenes

PARSE = object_parser()


@pytest.fixture(scope="module")
def adapter():
    return mmsteer.load("bundled:vision")


@pytest.fixture(scope="module")
def samples():
    scenes = split_scenes("test", 4, 0)
    return [Sample(f"scene {at}", CAPTION_PROMPT, (render_scene(scene),)) for at, scene in enumerate(scenes)]


@pytest.fixture(scope="module")
def found(adapter, samples):
    return describe_verified(adapter, samples, Sampling(64), OwnAnswer(adapter), PARSE, least=0.0)


def test_a_reading_is_the_models_odds_of_yes_to_the_question(adapter, samples, found):
    checked = [(sample, each) for sample, one in zip(samples, found, strict=True) for each in (*one.kept, *one.denied)]
    sample, each = checked[0]
    article = "an" if each.object[0] in "aeiou" else "a"
    asked = replace(sample, prompt=f"Is there {article} {each.object} in the image?")
    [[yes, no]] = adapter.next_word([asked], ("Yes", "No")).tolist()
    assert each.reading == pytest.approx(yes - no, abs=1e-4)


def test_what_is_left_names_what_was_confirmed_and_nothing_else(found):
    for one in found:
        named = {mention.object for mention in PARSE(str(one.sample.output))}
        assert named <= {each.object for each in one.kept}
        assert not named & {each.object for each in one.denied}


def test_the_least_reading_decides(found):
    said = [one.sample for one in found]
    readings = {each.object: each.reading for one in found for each in (*one.kept, *one.denied)}

    def known(samples, mentions):
        return [[readings[one.object] for one in some] for some in mentions]

    all_pass = verify(
        [replace(one, output=two.said) for one, two in zip(said, found, strict=True)], known, PARSE, least=-1e9
    )
    assert [one.sample.output for one in all_pass] == [one.said for one in found]
    none_pass = verify(
        [replace(one, output=two.said) for one, two in zip(said, found, strict=True)], known, PARSE, least=1e9
    )
    assert not any(PARSE(str(one.sample.output)) for one in none_pass)


def test_the_image_is_what_is_asked_about(adapter, samples, found):
    said = [replace(one.sample, output=one.said) for one in found]
    others = [replace(one, images=samples[at - 1].images) for at, one in enumerate(said)]
    mentions = [PARSE(str(one.output)) for one in said]
    own, other = (OwnAnswer(adapter)(some, mentions) for some in (said, others))
    assert sum(map(sum, own)) > sum(map(sum, other))
