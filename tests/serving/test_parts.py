"""Parts of the server that need no model."""

import pytest

from mmsteer.serving.metrics import Counter, Histogram
from mmsteer.serving.rows import Words


def pieces(text, stops=()):
    words = Words(stops)
    sent = [words.more(text[:end].strip()) for end in range(1, len(text) + 1)]
    return [one for one in [*sent, words.rest(text.strip())] if one], words.ended


@pytest.mark.parametrize("text", ["a b  c ", "one\n\ntwo", "é\ufffd"])
def test_the_pieces_are_the_text(text):
    assert "".join(pieces(text)[0]) == text.strip()


def test_no_part_of_a_stop_text_is_sent():
    sent, ended = pieces("the end is near", ["end is n"])
    assert ("".join(sent), ended) == ("the ", True)
    sent, ended = pieces("the end it", ["end is"])
    assert ("".join(sent), ended) == ("the end it", False)
    assert "the e" not in sent


def test_a_broken_character_waits_for_its_bytes():
    words = Words(())
    assert words.more("caf\ufffd") == "caf"
    assert words.more("café") == "é"


def test_a_broken_character_is_no_end_of_a_stop_text_nor_a_stop_text():
    words = Words(["stoé"])
    assert words.more("sto\ufffd") == ""
    assert (words.more("stoé"), words.ended) == ("", True)
    words = Words(["\ufffd"])
    assert (words.more("caf\ufffd"), words.ended) == ("caf", False)
    assert (words.watch("caf\ufffd"), words.ended) == ("caf", False)
    assert (words.more("caf\ufffd!"), words.ended) == ("", True)


def test_a_histogram_counts_up_to_each_bound():
    seen = Histogram("a", "b", (1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 9.0):
        seen.observe(value)
    assert list(seen.lines())[2:] == [
        'a_bucket{le="1"} 2',
        'a_bucket{le="2"} 3',
        'a_bucket{le="+Inf"} 4',
        "a_sum 12",
        "a_count 4",
    ]
    assert seen.mean == 3.0


def test_a_counter_has_a_line_for_each_label():
    count = Counter("c", "d", ("x",))
    count.add(2, "p")
    count.add(1, "q")
    assert list(count.lines())[2:] == ['c{x="p"} 2', 'c{x="q"} 1']
