"""Evidence of a feature, put together."""

import pytest

from mmsteer.errors import DictionaryError
from mmsteer.latents.evidence import Evidence, excerpts, label_lift
from mmsteer.latents.maximal import Maximal, Moment, maximal_moments
from mmsteer.latents.token_change import TokenChange
from mmsteer.latents.token_states import token_states
from mmsteer.latents.vocabulary import Entry, Ranking, Vocabulary
from mmsteer.types import Raw, Sample
from tests.latents.dictionaries import drawn, pictures
from tests.steering.seeing import llava

__all__ = ["llava"]


def ranking(*names):
    entries = tuple(Entry(place, name, 1.0) for place, name in enumerate(names))
    return Ranking(entries, entries[:1])


def moment(sample, words="table"):
    return Moment(sample, 3, 1.0, (1,), words, 0, None, None)


def test_an_ensemble_speaks_of_the_tokens_of_all_its_evidence():
    lens = Evidence(3, vocabulary=Vocabulary(3, (ranking("cup", "mug"),)))
    change = Evidence(3, change=TokenChange("sae:3", 1.0, (ranking("cup", "glass"),), (ranking("no"),)))
    both = lens | change | Evidence(3, maximal=Maximal(3, (moment("a"), moment("b", ""))))
    assert lens.words() == ("cup", "mug")
    assert both.words() == ("cup", "mug", "glass", "table")
    assert both.words(1) == ("cup", "table")
    assert "promotes: cup, mug." in str(both)
    assert "raises: cup, glass." in str(both)


def test_evidence_of_two_features_does_not_mix():
    with pytest.raises(DictionaryError, match="feature 4 says nothing of feature 3"):
        Evidence(3) | Evidence(4)


def test_excerpts_show_ten_where_a_feature_is_most_active(llava):
    some = pictures()
    dictionary = drawn(llava, "text.1")
    found = maximal_moments(llava, dictionary, some, [2])[0]
    shown = excerpts(llava, dictionary, some, found, around=2)
    best = found.moments[0]
    [read] = token_states(llava, [one for one in some if one.id == best.sample], dictionary.site)
    z = dictionary.encode(read.states)[:, 2]
    around = range(max(0, best.place - 2), min(len(z), best.place + 3))
    assert shown[0].levels == tuple(min(10, round(float(10 * z[place] / best.activation))) for place in around)
    assert shown[0].words[list(around).index(best.place)] == best.words
    assert max(shown[0].levels) == 10
    assert f"{best.words} (10)" in str(shown[0])
    with pytest.raises(DictionaryError, match="is not among those"):
        excerpts(llava, dictionary, [], found)


def test_an_excerpt_is_around_its_moment_whatever_the_sample_was_batched_with(talker):
    texts = ["cup", "say red cup", "say blue table", "the cup is red", "say the table is blue is red"]
    some = [Sample(str(at), Raw(text)) for at, text in enumerate(texts)]
    dictionary = drawn(talker, "text.1")
    for found in maximal_moments(talker, dictionary, some, count=1):
        for one in found.moments:
            [shown] = excerpts(talker, dictionary, some, found, around=1)
            at = min(one.place, 1)
            assert (shown.words[at], shown.levels[at]) == (one.words, 10)
            [alone] = maximal_moments(talker, dictionary, [some[int(one.sample)]], [found.feature])
            assert alone.moments[0].place == one.place


def test_what_top_samples_have_in_common():
    """Three of four moments are high, half of all samples are; all moments are fast, as everything is."""
    labels = {
        name: {"register": high, "tempo": "fast"}
        for name, high in zip("abcdef", ["high"] * 3 + ["low"] * 3, strict=True)
    }
    found = Maximal(0, tuple(moment(name) for name in "abcd"))
    assert label_lift(found, labels) == [("register", "high", 0.25), ("tempo", "fast", 0.0), ("register", "low", -0.25)]
    assert label_lift(found, labels, count=3)[0] == ("register", "high", 0.5)
