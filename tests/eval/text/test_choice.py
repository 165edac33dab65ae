"""Multiple choice: written answers, and accuracy and calibration from log-probabilities."""

import math

import numpy as np
import pytest

from mmsteer.errors import EvalError
from mmsteer.eval.text import choice_scores, parse_choice

CITIES = ("London", "Paris", "Paris, Texas", "Rome")


@pytest.mark.parametrize(
    ("answer", "place"),
    [
        ("B", 1),
        ("b", 1),
        ("(B)", 1),
        ("(b).", 1),
        ("**B**", 1),
        ("B) Paris", 1),
        ("B. Paris is the capital, not A.", 1),
        ("(D): Rome", 3),
        ("Option D", 3),
        ("The answer is B", 1),
        ("The answer is (B).", 1),
        ("Answer: D", 3),
        ("ANSWER: **D**", 3),
        ("The correct answer is option D because of the Senate.", 3),
        ("The answer is A.", 0),
        ("The answer is A because it is on the Thames.", 0),
        ("Let us think. A is wrong, so the answer is D.", 3),
        ("Option B is wrong. The answer is D.", 3),
        ("I would choose D", 3),
        (r"So it is $\boxed{D}$", 3),
        ("D is the right one", 3),
        ("D is right", 3),
        ("The capital is Paris.", 1),
        ("It is paris, texas!", 2),
        ("It is not London but Rome.", 3),
        ("It isn't London. Rome!", 3),
        ("London", 0),
        ("London or Rome", None),
        ("The answer is B. No, the answer is D.", None),
        ("E", None),
        ("A nice city", None),
        ("I am not sure.", None),
        ("Romeo", None),
        ("", None),
        ("The answer is A nice one", None),
    ],
)
def test_written_answers_are_read_or_left(answer, place):
    assert parse_choice(answer, CITIES) == place


def test_letters_are_found_wherever_they_are_in_the_alphabet():
    options = [f"thing {n:02d}" for n in range(26)]
    for place in range(26):
        letter = chr(65 + place)
        for text in (letter, f"({letter})", f"{letter}) x", f"The answer is {letter}.", f"Answer: ({letter.lower()})"):
            assert parse_choice(text, options) == place, text
        assert parse_choice(f"It is thing {place:02d}.", options) == place


@pytest.mark.parametrize("options", [(), ("a",), ("a", "a"), tuple(str(n) for n in range(27))])
def test_options_that_no_answer_fits_are_refused(options):
    with pytest.raises(EvalError, match="give 2 to 26 different ones"):
        parse_choice("A", options)


def test_accuracy_and_calibration_by_hand():
    # Confidences 0.8, 0.8, 0.6, 0.6; right 1, 0, 1, 1. Bins of 1/15: 0.8 lies in (11/15, 12/15], 0.6 in (8/15, 9/15].
    # |1 - 1.6| + |2 - 1.2| over 4 = 0.35.
    table = np.log([[0.8, 0.2], [0.8, 0.2], [0.4, 0.6], [0.6, 0.4]])
    scores = choice_scores(table, [0, 1, 1, 0])
    assert scores.hits == (1, 0, 1, 1)
    assert scores.confidence == pytest.approx((0.8, 0.8, 0.6, 0.6))
    assert scores.accuracy.value == 0.75
    assert scores.calibration_error.value == pytest.approx(0.35)
    assert scores.chance == 0.5


def test_probabilities_are_normalised_over_the_options():
    table = np.log([[0.8, 0.2], [0.4, 0.6]])
    assert choice_scores(table - 7.0, [0, 1]).confidence == pytest.approx(choice_scores(table, [0, 1]).confidence)


def test_ties_earn_their_share():
    scores = choice_scores([[0.0, 0.0, -1.0], [0.0, 0.0, -1.0]], [0, 2])
    assert scores.hits == (0.5, 0.0)
    assert choice_scores([[-1.0] * 4] * 8, [n % 4 for n in range(8)]).accuracy.value == scores.hits[0] / 2


def test_questions_may_have_fewer_options():
    scores = choice_scores([[0.0, -1.0, -math.inf], [0.0, -1.0, -1.0]], [1, 0])
    assert scores.hits == (0, 1)
    assert scores.chance == pytest.approx((1 / 2 + 1 / 3) / 2)


def test_a_calibrated_model_has_a_small_error_and_an_overconfident_one_has_not():
    rng = np.random.default_rng(0)
    first = rng.uniform(0.5, 1.0, 4_000)
    right = (rng.random(4_000) > first).astype(int)
    table = np.log(np.stack([first, 1 - first], axis=1))
    assert choice_scores(table, right).calibration_error.value < 0.03
    assert choice_scores(table * 5, right).calibration_error.value > 0.1


@pytest.mark.parametrize(
    ("table", "right", "message"),
    [
        ([0.0, 1.0], [0], r"give \(n, options\)"),
        ([[0.0, -1.0]], [0, 1], r"give \(n, options\)"),
        ([[0.0, math.nan]], [0], "NaN"),
        ([[-math.inf, -math.inf]], [0], "a question has none"),
        ([[0.0, -1.0]], [2], "a right option is none of its question's"),
        ([[0.0, -1.0]], [-1], "a right option is none of its question's"),
        ([[0.0, -math.inf]], [1], "a right option is none of its question's"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(table, right, message):
    with pytest.raises(EvalError, match=message):
        choice_scores(table, right)
