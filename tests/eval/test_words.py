import pytest

from mmsteer.eval.words import count_words, repetition, word_scores


def test_repetition_by_hand():
    """Seven words, four runs: abab, baba, abab, baba; two of them are new."""
    assert repetition("a b a b a b a") == pytest.approx(0.5)
    assert repetition("A dog sits on a mat") == 0
    assert repetition("one two three") is None


def test_words_are_what_white_space_separates():
    assert count_words(" a  b\nc ") == 3
    assert count_words(" \n") == 0


def test_empty_texts_are_counted_and_short_ones_unscored():
    scores = word_scores(["", " \n", "a cat", "a cat on a mat"])
    assert scores.empty.value == 0.5
    assert scores.length.value == pytest.approx(7 / 4)
    assert (scores.repetition.n, scores.repetition.unscored) == (1, 3)
