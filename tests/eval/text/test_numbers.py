"""Repetition, perplexity, harmonic mean, changes and metrics: golden numbers by hand."""

import itertools
import math
import random
from statistics import harmonic_mean as of_python

import pytest

from mmsteer.errors import EvalError
from mmsteer.eval.text import (
    Likelihood,
    Loop,
    distinct,
    find_loop,
    harmonic_mean,
    likelihood,
    longest_repeat,
    perplexity,
    word_changes,
)
from mmsteer.types import Metric


def test_distinct_counts_different_runs():
    assert distinct("The the cat", 1) == 2 / 3
    assert distinct("a b a b a", 2) == 0.5
    assert distinct("a b c", 3) == 1.0
    assert distinct("a b", 3) is None
    with pytest.raises(EvalError, match="n-grams of 0 words"):
        distinct("a", 0)


def test_the_longest_repeat_by_hand():
    assert longest_repeat("one two three one two four") == 2 / 6
    assert longest_repeat("a a a a") == 3 / 4
    assert longest_repeat("a b c") == 0
    assert (longest_repeat("a"), longest_repeat(" ")) == (0, None)


def test_the_longest_repeat_is_that_of_trying_every_length():
    rng = random.Random(0)
    for _ in range(200):
        words = rng.choices("abc", k=rng.randint(1, 14))
        runs = {n: [tuple(words[at : at + n]) for at in range(len(words) - n + 1)] for n in range(1, len(words))}
        longest = max([n for n, grams in runs.items() if len(set(grams)) < len(grams)], default=0)
        assert longest_repeat(" ".join(words)) == longest / len(words)


@pytest.mark.parametrize(
    ("text", "loop"),
    [
        ("I think so. I think so. I think so. I think so.", Loop("i think so.", 4)),
        ("Well: I think so. I think so. I think so. I", Loop("i think so.", 3)),
        ("no " * 8, Loop("no", 8)),
        ("no " * 7, None),
        ("ha ha ha", None),
        ("one two three four one two three four", None),
        ("a b c a b c a b c but then it went on", None),
        ("", None),
    ],
)
def test_a_loop_lasts_to_the_end(text, loop):
    assert find_loop(text) == loop


def test_planted_loops_are_found_and_shuffled_ones_are_not():
    rng = random.Random(0)
    for period, times in itertools.product(range(1, 6), range(8, 11)):
        phrase = [f"w{n}" for n in range(period)]
        planted = [f"x{n}" for n in range(20)] + phrase * times
        assert find_loop(" ".join(planted)) == Loop(" ".join(phrase), times)
        rng.shuffle(planted)
        assert period < 3 or find_loop(" ".join(planted)) is None


def test_perplexity_by_hand():
    one, two = likelihood([math.log(0.5)] * 3), likelihood([math.log(0.25)])
    assert (one.tokens, two.tokens) == (3, 1)
    assert one.perplexity == pytest.approx(2.0)
    assert perplexity([one, two]).value == pytest.approx(2 ** (5 / 4))  # (3 + 2) bits over 4 tokens
    assert likelihood([]).perplexity is None


def test_perplexity_counts_what_it_leaves_out_and_has_an_interval():
    texts = [Likelihood(float(n), 2) for n in range(1, 6)]
    score = perplexity([*texts, None, Likelihood(0.0, 0)])
    assert (score.n, score.unscored) == (5, 2)
    assert score.value == pytest.approx(math.exp(1.5))
    assert score.low < score.value < score.high
    assert perplexity([None]).value is None
    assert perplexity([None]).unscored == 1


@pytest.mark.parametrize("values", [[0.1], [math.nan], [-math.inf]])
def test_what_is_no_log_probability_is_refused(values):
    with pytest.raises(EvalError, match="give natural logarithms"):
        likelihood(values)


def test_perplexity_beyond_numbers_is_refused():
    with pytest.raises(EvalError, match="a mean of 2000 nats"):
        perplexity([Likelihood(2000.0, 1)])


def test_the_harmonic_mean_is_that_of_python_and_zero_with_a_zero():
    for scores in itertools.product((0.5, 1, 2), repeat=3):
        assert harmonic_mean(scores) == pytest.approx(of_python(scores))
    assert harmonic_mean([0, 2, 2]) == 0
    assert harmonic_mean([2, None, 0]) is None
    for wrong in ([], [-1, 2], [math.nan]):
        with pytest.raises(EvalError, match=r"no scores|numbers from 0"):
            harmonic_mean(wrong)


def test_changes_are_marked():
    found = [(one.change, one.text) for one in word_changes("A red cup here.", "A blue cup,  here.")]
    assert found == [("same", "A"), ("removed", "red cup"), ("added", "blue cup,"), ("same", "here.")]
    assert word_changes("", "") == ()
    assert [one.change for one in word_changes("a b", "a\nb")] == ["same"]


def test_changes_rebuild_both_texts():
    rng = random.Random(0)
    for _ in range(200):
        before, after = (rng.choices("abcd", k=rng.randint(0, 12)) for _ in range(2))
        segments = word_changes(" ".join(before), " ".join(after))
        for left_out, words in (("added", before), ("removed", after)):
            assert " ".join(one.text for one in segments if one.change != left_out).split() == words


def test_a_metric_is_plain_data():
    assert Metric("a", "A thing.") == Metric("a", "A thing.", None, "", None, 3)
