"""Descriptions that predict what a feature does."""

import pytest

from mmsteer.calibrate import divergence
from mmsteer.errors import DictionaryError
from mmsteer.latents.output_evaluation import (
    by_label,
    input_score,
    matched,
    output_evaluation,
    steered_outputs,
    word_overlap,
)
from mmsteer.latents.trials import sampled
from mmsteer.record import record
from mmsteer.sae import feature_direction, usage
from mmsteer.types import Sample, Sampling
from tests.conftest import planted
from tests.latents.dictionaries import clips, drawn, made, pictures
from tests.steering.seeing import llava

__all__ = ["llava"]


def said(*answers):
    return tuple(Sample(str(place), "we", output=answer) for place, answer in enumerate(answers))


def test_a_feature_is_brought_to_both_doses_with_both_signs(musicgen):
    contexts = clips(2)
    dictionary = drawn(musicgen, "decoder.2")
    states = record(musicgen, contexts, [dictionary.site], pool="tokens").values[dictionary.site]
    direction = feature_direction(dictionary, 1, usage(dictionary, [states.flatten(0, 1)]))
    [found] = matched(musicgen, [direction], contexts, (0.01, 0.02), operator="add")
    assert [(one.target, one.sign) for one in found] == [(0.01, 1), (0.01, -1), (0.02, 1), (0.02, -1)]
    for one in found:
        assert one.steering.attributes[0].strength * one.sign > 0
        reached = float(divergence(musicgen, one.steering, contexts).median())
        assert reached == pytest.approx(one.target, rel=0.06)


def test_a_dose_that_no_strength_gives_is_left_out(musicgen):
    [found] = matched(musicgen, [planted(musicgen, "c", [1])], clips(1), (1e4,), signs=(1,), operator="add")
    assert (found[0].dose, found[0].steering) == (None, None)
    assert steered_outputs(musicgen, found, clips(1), lambda prompts: prompts) == ()


def test_outputs_are_made_under_every_dose(llava):
    contexts = pictures(1)
    [found] = matched(llava, [planted(llava, "c", [1])], contexts, (0.01,), operator="add")
    made = steered_outputs(llava, found, pictures(2, answer=None), sampled(llava, Sampling(4)))
    assert len(made) == 4
    assert all(isinstance(one.output, str) for one in made)


def test_a_judge_who_knows_is_always_right_and_one_who_does_not_is_not():
    outputs = {name: said(*[f"a {name}"] * 3) for name in ("cup", "dog", "car", "bus", "tree")}
    right = output_evaluation(outputs, {name: [name] for name in outputs}, word_overlap)
    assert (right.score.value, right.score.n, right.chance) == (1.0, 5, pytest.approx(1 / 3))
    wrong = {name: [other] for name, other in zip(outputs, [*list(outputs)[1:], "cup"], strict=True)}
    lost = output_evaluation(outputs, wrong, word_overlap)
    assert lost.score.value in (0.0, None)
    first = output_evaluation(outputs, {name: [name] for name in outputs}, lambda description, sets: 0, seed=1)
    assert {trial.hit for trial in first.trials} == {0.0, 1.0}


def test_a_judge_who_cannot_tell_is_not_wrong():
    outputs = {name: said("a a a") for name in ("cup", "dog", "car")}
    found = output_evaluation(outputs, {"cup": ["cup"]}, word_overlap)
    assert (found.score.value, found.score.unscored) == (None, 1)
    assert found.trials[0].picked is None


def test_too_few_features_make_no_choice():
    outputs = {"cup": said("a"), "dog": said("b"), "car": ()}
    with pytest.raises(DictionaryError, match="2 features have outputs"):
        output_evaluation(outputs, {"cup": ["cup"]}, word_overlap)
    with pytest.raises(DictionaryError, match="car is described but has no outputs"):
        output_evaluation(outputs, {"car": ["car"]}, word_overlap, others=1)


def test_a_judge_by_labels():
    """The attribute is high in two of three clips of one set, in one of the other; None is not high."""
    readings = {"a": "high", "b": "low", "c": None}
    judge = by_label(lambda sample, attribute: {"register": readings[sample.output]}[attribute])
    assert judge(("register", "high"), [said("a", "b", "c"), said("a", "a", "c")]) == 1
    assert judge(("register", "high"), [said("a", "b"), said("c", "a")]) is None


def test_words_are_counted_whole_and_by_length():
    assert word_overlap(["Cup"], [said("a cup."), said("cup", "a cupboard is there")]) == 0


def test_a_feature_is_more_active_where_it_should_be(llava):
    """A feature that reads the word 'table' less the word 'cup' where the image is the same."""
    table, cup = pictures(1, "the table")[0], pictures(1, "the cup")[0]
    states = [record(llava, [one], [drawn(llava, "text.2").site], pool="tokens").values for one in (table, cup)]
    one, other = (next(iter(state.values()))[0, -1] for state in states)
    dictionary = made(llava, "text.2", (one - other)[None])
    found = input_score(llava, dictionary, 0, [table], [cup])
    assert found.success
    assert not input_score(llava, dictionary, 0, [cup], [table]).success
    with pytest.raises(DictionaryError, match="0 activating and 1 neutral"):
        input_score(llava, dictionary, 0, [], [cup])
