"""What trained vectors do to the output."""

import pytest

from mmsteer.latents.vector_readings import read_vectors
from mmsteer.steering import Attribute
from mmsteer.types import Positions, Sample
from tests.conftest import TALK, planted, saying
from tests.latents.dictionaries import clips

PROMPTS = [Sample(str(at), " ".join(TALK[at : at + 3]), output="red") for at in range(3)]


def names(heads):
    return [entry.name for entry in heads[0].top]


def test_a_vector_that_says_a_word_promotes_it(talker):
    trained = Attribute(saying(talker, "cup", "word:cup"), 20.0, unit="absolute")
    found = read_vectors(talker, trained, PROMPTS, count=3)
    last = found.vectors[-1]
    assert (str(last.site), names(last.lens)[0], names(last.raised)[0]) == ("text.3", "cup", "cup")


def test_one_vector_is_additive_and_several_are_compared_with_their_sum(talker):
    direction = planted(talker, "a", [2])
    alone = read_vectors(talker, Attribute(direction, 1.0, unit="absolute"), PROMPTS)
    assert (alone.cosine, alone.ratio) == (pytest.approx(1.0, abs=1e-6), 1.0)
    several = planted(talker, "b", [0, 1, 2])
    weak, strong = (read_vectors(talker, Attribute(several, size, unit="absolute"), PROMPTS) for size in (0.001, 50.0))
    assert len(weak.vectors) == 3
    # Small changes add up; large ones meet the norms behind them.
    assert weak.cosine > 0.999
    assert weak.ratio == pytest.approx(1.0, abs=0.02)
    assert strong.ratio < 0.9


def test_vectors_of_generated_tokens_are_read_where_they_act(talker):
    at = Attribute(planted(talker, "b", [1, 2]), 5.0, unit="absolute", positions=Positions("generated"))
    found = read_vectors(talker, at, PROMPTS)
    assert all(one.raised[0].top[0].value > 0 for one in found.vectors)


def test_music_has_a_reading_for_each_codebook(musicgen):
    at = Attribute(planted(musicgen, "c", [0, 1]), 5.0, unit="absolute")
    found = read_vectors(musicgen, at, clips(2), count=2)
    assert [len(one.raised) for one in found.vectors] == [4, 4]
    assert found.vectors[0].raised[0].top[0].value > 0
