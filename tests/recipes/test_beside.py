"""Scores beside their controls: what is counted, what is paired, and what intervals are over."""

import pytest

from mmsteer.recipes.beside import beside_controls, share
from mmsteer.recipes.scoring import Scored

RIGHT_BEFORE = [1.0] * 5 + [0.0] * 5
SILENT_WHERE_HARD = [1.0] * 5 + [None] * 5


def lines(values):
    return [{"example": at, "value": value} for at, value in enumerate(values)]


def hits(steered, unsteered, *random, **more):
    shown = Scored(
        "x", {}, {}, None, lines(steered), lines(unsteered), {"random": list(map(lines, random))}, None, None
    )
    return beside_controls([shown], {"hit": lambda line: share(line["value"])}, **more)["hit"]


def numbers(score):
    return [score[name] for name in ("value", "low", "high", "n", "unscored")]


def test_silence_on_what_was_wrong_is_no_gain():
    found = hits(SILENT_WHERE_HARD, RIGHT_BEFORE, SILENT_WHERE_HARD, RIGHT_BEFORE)
    assert (found["steered"]["value"], found["unsteered"]["value"]) == (1.0, 0.5)
    assert numbers(found["difference"]) == [0.0, 0.0, 0.0, 5, 5]
    assert numbers(found["random_difference"]) == [0.0, 0.0, 0.0, 5, 5]
    assert numbers(found["against_random"]) == [0.0, 0.0, 0.0, 5, 5]


def test_a_score_without_weight_is_not_missing():
    """A model that begins to say yes, wrongly, on half of the pictures loses precision, which it did not have there."""
    before = [{"example": at, "sums": (1, 1) if at < 5 else (0, 0)} for at in range(10)]
    after = [{"example": at, "sums": (1, 1) if at < 5 else (0, 1)} for at in range(10)]
    shown = Scored("x", {}, {}, None, after, before, {}, None, None)
    found = beside_controls([shown], {"precision": lambda line: line["sums"]})["precision"]
    assert (found["difference"]["value"], found["difference"]["n"]) == (-0.5, 10)
    assert (found["unsteered"]["n"], found["unsteered"]["unscored"]) == (5, 5)


def test_missing_answers_of_several_draws_are_counted():
    found = hits(RIGHT_BEFORE, RIGHT_BEFORE, SILENT_WHERE_HARD, SILENT_WHERE_HARD)["random"]
    alone = hits(RIGHT_BEFORE, RIGHT_BEFORE, SILENT_WHERE_HARD)["random"]
    assert found == alone
    assert numbers(found)[3:] == [5, 5]
    assert found["low"] == pytest.approx(5 / (5 + 1.959964**2))  # Wilson's lower end at 5 of 5


def test_draws_that_miss_different_answers_have_the_count_of_the_worst():
    found = hits(RIGHT_BEFORE, RIGHT_BEFORE, SILENT_WHERE_HARD, [None] * 2 + [1.0] * 8)
    assert numbers(found["random"])[3:] == [5, 5]
    assert numbers(found["random_difference"])[3:] == [5, 5]
    assert found["random_difference"]["value"] == pytest.approx((0 + 5 / 8) / 2)  # each draw on what it answered


def test_intervals_are_over_units():
    """Ten rows in five groups that agree say as much as five rows; rows of one group alone have no interval."""
    steered = [0.1, 0.1, 0.4, 0.4, 0.2, 0.2, 0.9, 0.9, 0.7, 0.7]
    pooled = hits(steered, [0.0] * 10, unit=lambda line: line["example"] // 2)
    few = hits(steered[::2], [0.0] * 5)
    for part in ("steered", "difference"):
        assert numbers(pooled[part])[:3] == pytest.approx(numbers(few[part])[:3])
        assert pooled[part]["n"] == 10
    one = hits(steered, [0.0] * 10, unit=lambda line: "all")["difference"]
    assert (one["value"], one["low"], one["high"]) == (pytest.approx(0.46), None, None)
