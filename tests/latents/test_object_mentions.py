"""Mentions of objects: the right tokens, the right truth, and a detector that knows more than the name."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import mmsteer
from mmsteer.errors import DataError, DictionaryError
from mmsteer.eval.chair import Chair
from mmsteer.latents.object_mentions import (
    Mentions,
    _changes,
    _spans,
    check_pictures,
    detect_hallucination,
    pictures,
    read_mentions,
)
from mmsteer.sae import Usage
from mmsteer.tasks import Row
from mmsteer.worlds.scenes import caption_pair, split_scenes
from tests.latents.dictionaries import drawn
from tests.latents.scenes import shown


@pytest.fixture(scope="module")
def seeing():
    return mmsteer.load("bundled:vision")


@pytest.fixture(scope="module")
def scenes():
    return split_scenes("demos", 4, 0)


def test_mentions_are_read_where_they_stand_and_judged_by_the_scene(seeing, scenes):
    site = next(site for site in seeing.sites if str(site) == "text.0")
    loose = [caption_pair(np.random.default_rng(index), scene)[1] for index, scene in enumerate(scenes)]
    dictionary = drawn(seeing, str(site), features=8)
    images = shown("demos", 4)
    found = read_mentions(seeing, dictionary, images, [one.text for one in loose])
    told = [(name, name in one.hallucinated) for one in loose for name in one.objects]
    # A place such as "next to the oven" is a mention as well, of what is there.
    assert [pair for pair in zip(found.objects, found.wrong.tolist(), strict=True) if pair[1]] == [
        pair for pair in told if pair[1]
    ]
    assert found.z.shape == (len(found.objects), 8)
    assert found.states.shape == (len(found.objects), seeing.widths[site])
    before = read_mentions(seeing, dictionary, images, [one.text for one in loose], moment="before")
    assert not torch.equal(before.states, found.states)
    summed = read_mentions(seeing, dictionary, images, [one.text for one in loose], pool="sum")
    assert bool((summed.z >= found.z - 1e-5).all())


def test_tokens_are_found_by_their_characters(seeing):
    text = "There is a potted plant next to the tv."
    ids = seeing.processor.tokenizer(text, add_special_tokens=False)["input_ids"]
    spans = _spans(seeing, ids, text)
    start, stop = text.index("potted"), text.index(" next")
    inside = [at for at, (first, last) in enumerate(spans) if first < stop and last > start]
    assert seeing.processor.tokenizer.decode([ids[at] for at in inside]).strip() == "potted plant"
    with pytest.raises(DictionaryError, match="their places in it are not known"):
        _spans(seeing, ids, "Another text.")


def test_captions_without_objects_are_refused(seeing):
    dictionary = drawn(seeing, "text.0")
    with pytest.raises(DictionaryError, match="4 captions name no object"):
        read_mentions(seeing, dictionary, shown("demos", 4), ["A room."] * 4)


def planted(n, seed):
    """Chairs are wrong more often than cups; feature 3 knows when, and coordinate 5 of the state half knows."""
    generator = torch.Generator().manual_seed(seed)
    chair = torch.rand(n, generator=generator) < 0.5
    wrong = torch.rand(n, generator=generator) < torch.where(chair, 0.6, 0.2)
    z, states = (torch.rand(n, width, generator=generator) for width in (12, 10))
    z[:, 3] += 2.0 * wrong
    states[:, 5] += 0.5 * wrong
    used = Usage(*[torch.ones(12)] * 4, 1.0, n)
    return Mentions(z, states, wrong, tuple("chair" if one else "cup" for one in chair), used)


def test_a_detector_stands_beside_what_the_name_alone_tells():
    rows = detect_hallucination(planted(300, 0), planted(200, 1))
    area = {(row.detector, row.inputs): row.auc for row in rows}
    assert area["single", "features"] > 0.98
    assert 0.75 < area["mean difference", "states"] < 0.98
    # By hand: one share of wrong mentions on either side, .75 of the wrong and .33 of the right ones are chairs.
    assert area["logistic probe", "name"] == pytest.approx(0.75 * 0.67 + 0.5 * (0.75 * 0.33 + 0.25 * 0.67), abs=0.08)
    assert {row.features[0] for row in rows if row.inputs == "features"} == {3}


def test_changes_are_shares_of_captions(seeing):
    chair = Chair(shown("demos", 4).truth)
    before = chair.score({"0": "A cup.", "1": "A cup and a cup.", "2": "A bed.", "3": "A bed."})
    after = chair.score({"0": "A cup.", "1": "A bed.", "2": "A bed and a dog.", "3": "A bed."})
    assert _changes(before, after) == {"cup": -0.25, "bed": 0.25, "dog": 0.25}


def test_a_picture_needs_an_image_and_its_objects(seeing):
    [sample] = shown("demos", 1).samples
    row = Row("one", "rows.jsonl:7", "Describe.", images=sample.images, objects=frozenset({"cup"}))
    assert pictures([row], seeing, None).truth == {"0": {"cup"}}
    with pytest.raises(DataError, match=r"rows\.jsonl:7: the row has no 'objects'"):
        check_pictures([row, replace(row, objects=None)])
    with pytest.raises(DataError, match=r"rows\.jsonl:7: the row has no 'image'"):
        check_pictures([replace(row, images=())])
