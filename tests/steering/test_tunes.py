import pytest

import mmsteer
from mmsteer.api import parse_steering
from mmsteer.errors import MmsteerError
from mmsteer.steering.names import lines
from mmsteer.types import Sampling
from tests.conftest import planted

NOTES = ("C", "E", "A")


def known(adapter):
    return {f"note:{name}": planted(adapter, f"note:{name}", [1], seed=at) for at, name in enumerate(NOTES)}


def test_a_tune_is_one_line_for_each_pitch_class():
    assert lines("note:A 1; tune(C4 0.5s, rest 0.5s, C+E 1s, E 1s) 8% branch conditional at generated") == [
        "note:A 1",
        "note:C 8% window(0s..0.5s) + window(1s..2s) branch conditional at generated",
        "note:E 8% window(1s..3s) branch conditional at generated",
    ]


def test_a_tune_is_steered_as_its_lines_are(musicgen):
    directions, sampling = known(musicgen), Sampling(seconds=0.3)
    by_hand = "note:A 2 window(0s..0.1s) + window(0.2s..0.3s); note:C 2 window(0.1s..0.3s); note:E 2 window(0.2s..0.3s)"
    made = []
    for text in ("tune(A 0.1s, C 0.1s, A:min 0.1s) 2", by_hand, "tune(A 0.3s) 2"):
        with mmsteer.steer(musicgen, text, directions):
            made.append(musicgen.generate(["a tune"], sampling, [0])[0].output)
    assert (made[0] == made[1]).all()
    assert not (made[0] == made[2]).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tune(C 1s)", "write tune"),
        ("tune(C 1s 0.08", "write tune"),
        ("tune(C one) 0.08", "cannot read 'C one' in a tune"),
        ("tune(G 1s) 0.08", "no direction 'note:G'"),
        ("tune(C 1s) 0.08 fade-in 0..1s", "schedule"),
    ],
)
def test_tunes_that_cannot_be_steered(musicgen, text, message):
    with pytest.raises(MmsteerError, match=message):
        parse_steering(text, known(musicgen))
