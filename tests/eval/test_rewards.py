"""Rewards of captions, answers and clips by name, against truth that is known by construction."""

import numpy as np
import pytest

from mmsteer.data.synthesis import TIMBRES, Note, render
from mmsteer.errors import EvalError
from mmsteer.eval.attributes import Clip, read_labels
from mmsteer.eval.rewards import parse_output_reward
from mmsteer.eval.text import Reference

RATE = 16000
ROOM = Reference("Describe.", objects=frozenset({"dog", "bed"}))


def of_text(name, answer, reference=ROOM):
    return parse_output_reward(name, "text")([answer], [reference])[0]


@pytest.fixture(scope="module")
def piano():
    """Middle C and the C above, half a second apart."""
    notes = [Note(at / 2, 0.45, 60 + 12 * (at % 2)) for at in range(8)]
    return Clip(render(notes, TIMBRES["piano"], 4.0, RATE).astype(np.float32), RATE)


def of_audio(name, clip, **attributes):
    return parse_output_reward(name, "audio")([clip], [Reference("", attributes=attributes)])[0]


@pytest.mark.parametrize(
    ("name", "answer", "value"),
    [
        ("grounded", "A puppy on a bed.", 1.0),
        ("grounded", "A dog and a cup.", 0.0),
        ("grounded", "A picture.", 0.0),
        ("grounded", " ", None),
        ("mentions:dog", "Two puppies.", 1.0),
        ("mentions:puppy", "A dog.", 1.0),
        ("mentions:dog|cat", "A cat.", 1.0),
        ("mentions:dog", "A hot dog.", 0.0),
        ("not mentions:dog", "A bed.", 1.0),
        ("brief:4", "A room with beds.", 1.0),
        ("brief:3", "A room with beds.", 0.0),
        ("brief:4", "A room.", 0.0),
    ],
)
def test_captions(name, answer, value):
    assert of_text(name, answer) == value


def test_a_caption_of_an_image_whose_objects_are_not_known_is_not_rated():
    assert of_text("grounded", "A dog.", Reference("Describe.")) is None
    assert parse_output_reward("grounded", "text").needs == "objects"


def test_a_decision_is_held_against_the_right_one():
    yes, no = Reference("Is it?", "yes"), Reference("Is it?", "No.")
    assert [of_text("yes_no", "Yes, it is.", one) for one in (yes, no)] == [1.0, 0.0]
    assert of_text("yes_no", "Perhaps.", yes) is None
    assert of_text("yes_no", "Yes.", Reference("Is it?")) is None


def test_clips(piano):
    assert of_audio("note:C", piano) == 1.0
    assert of_audio("note:D", piano) == 0.0
    assert of_audio("not note:D", piano) == 1.0
    assert of_audio("register:middle", piano) == 1.0
    assert of_audio("tempo:medium", piano) == 1.0  # an onset in half a second: 120 a minute
    assert of_audio("instrument:piano", piano) == 1.0
    assert of_audio("instrument", piano, instrument="piano") == 1.0
    assert of_audio("instrument", piano, instrument="organ") == 0.0
    assert of_audio("instrument", piano) is None
    assert read_labels(piano, ("note", "instrument")) == {"note": "C", "instrument": "piano"}


def test_silence_is_not_rated(piano):
    silent = Clip(np.zeros(RATE, np.float32), RATE)
    assert of_audio("note:C", silent) is None
    assert of_audio("not note:C", silent) is None
    assert of_audio("voiced", silent) == 0.0


def test_what_depends_on_the_row_needs_its_attributes():
    assert parse_output_reward("instrument", "audio").needs == "attributes"
    assert parse_output_reward("instrument:organ", "audio").needs is None
    metric = parse_output_reward("not register:low", "audio").metric
    assert (metric.name, metric.better) == ("not register:low", "lower")


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("mentions:unicorn", "text", "'unicorn' is no object"),
        ("mentions:dog and cat", "text", "no object"),
        ("mentions", "text", "give an argument"),
        ("brief:few", "text", "write such as brief:14"),
        ("grounded:yes", "text", "takes no argument"),
        ("note:C", "text", "reads audio, and this model makes text"),
        ("contains:Arr", "audio", "reads text, and this model makes audio"),
        ("not grounded", "audio", "reads text, and this model makes audio"),
        ("note:H", "audio", "no reward 'note:H' of audio; write such as note:C"),
        ("note:", "audio", "no reward 'note:' of audio"),
        ("mood", "audio", "no reward 'mood' of audio"),
        ("mood", "text", "no reward 'mood'"),
    ],
)
def test_what_is_no_parse_output_reward_such_outputs_is_refused(name, kind, message):
    with pytest.raises(EvalError, match=message):
        parse_output_reward(name, kind)


def test_a_reward_is_known_before_the_model_is():
    assert parse_output_reward("grounded").needs == "objects"
    assert parse_output_reward("not tempo:fast").evaluator == "tempo"
    with pytest.raises(EvalError, match="no reward 'mood'; write such as contains:Arr of text, or note:C of audio"):
        parse_output_reward("mood")
