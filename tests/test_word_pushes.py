"""How far each word was pushed, against a hook that steers by hand while the words are made."""

import pytest
import torch

from mmsteer.adapters.prompts import _word_at
from mmsteer.api import parse_steering
from mmsteer.steering import steer
from mmsteer.types import Sample, Sampling, Site
from mmsteer.word_pushes import word_pushes
from tests.conftest import planted

LAYER, STRENGTH, WORDS = 1, 2.0, 9
SAMPLES = [Sample("0", "is there a cup"), Sample("1", "a cup")]


def by_hand(adapter, direction, prompt):
    """A word at a time, steered where the state reads below zero: the words, and the ratio that each was chosen at."""
    vector, ratios = direction.vectors[Site("text", LAYER)], []

    def push(module, given, state):
        state = state[0] if isinstance(state, tuple) else state
        change = STRENGTH * vector * (state @ vector < 0)[..., None]
        ratios.append(float(change[0, -1].norm() / state[0, -1].norm()))
        return state + change

    ids = adapter.reading([Sample("0", prompt)]).arguments["input_ids"]
    handle = adapter.model.model.layers[LAYER].register_forward_hook(push)
    with torch.no_grad():
        for _ in range(WORDS):
            best = adapter.model(input_ids=ids).logits[0, -1].argmax()
            ids = torch.cat([ids, best.reshape(1, 1)], dim=1)
    handle.remove()
    return ids[0, -WORDS:].tolist(), ratios


def test_words_are_pushed_as_they_were_when_they_were_made(talker):
    direction = planted(talker, "d", [LAYER])
    steering = parse_steering(f"d {STRENGTH} when d < 0", {"d": direction})
    with steer(talker, steering):
        made = talker.generate(SAMPLES, Sampling(WORDS, temperature=0.0))
    found = word_pushes(talker, steering, made)
    for sample, one, pushes in zip(SAMPLES, made, found, strict=True):
        ids, ratios = by_hand(talker, direction, sample.prompt)
        assert talker.processor(one.output, add_special_tokens=False)["input_ids"] == ids
        assert pushes == pytest.approx(ratios, abs=1e-4)
        assert len(one.output.split()) == len(pushes)
    pushes = [push for one in found for push in one]
    assert min(pushes) == 0
    assert max(pushes) > 0.1


def test_a_schedule_is_as_long_as_the_output_could_be(talker):
    """In percent as in steps, of an output that ended before the half of what was allowed."""
    direction, said = planted(talker, "d", [LAYER]), [Sample("0", "a cup", output="is there a")]
    percent, steps = (
        word_pushes(talker, parse_steering(f"d 2 window({window})", {"d": direction}), said, steps=8)
        for window in ("25%..100%", "2steps..8steps")
    )
    assert percent == steps
    assert [push > 0 for push in percent[0]] == [False, False, True]
    late = parse_steering("d 2 window(5steps..8steps)", {"d": direction})
    assert word_pushes(talker, late, said, steps=8) == [[0, 0, 0]]


def test_only_the_language_model_has_words(talker):
    assert word_pushes(talker, parse_steering("", {}), [Sample("0", "a cup", output="is there")]) == [[]]


@pytest.mark.parametrize(
    ("span", "word"),
    [
        ((0, 2), 0),
        ((2, 5), 1),
        ((2, 3), 1),
        ((3, 5), 1),
        ((5, 6), 1),
        ((6, 9), 2),
        ((9, 11), 2),
        ((6, 8), 2),
        ((11, 13), 2),
    ],
)
def test_white_space_is_of_the_word_that_follows(span, word):
    assert _word_at([0, 3, 8], "is the  end  ", *span) == word
