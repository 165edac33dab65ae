import json

import numpy as np
import pytest

from mmsteer.errors import EvalError
from mmsteer.eval.adherence import AdherenceJudge, Example, adherence, coded, under_noise
from tests.eval.tones import RATE, noise, tone

TIMBRES = {"dull": {"decay": 0.3}, "bright": {"decay": 0.9, "harmonics": 14}}
TEMPI = {"slow": 0.9, "fast": 0.35}
REGISTERS = {"low": 45, "high": 74}


def play(instrument, tempo, register, seed):
    """Struck notes of one timbre around a pitch."""
    rng = np.random.default_rng(seed)
    gap = round(TEMPI[tempo] * rng.uniform(0.9, 1.1) * RATE)
    clip = np.zeros(3 * RATE)
    for at in range(0, len(clip) - gap, gap):
        note = tone(REGISTERS[register] + int(rng.integers(5)), 0.25, **TIMBRES[instrument])
        clip[at : at + len(note)] += note
    return clip


def examples(seed, each=2):
    return [
        Example(play(i, t, r, seed + k), RATE, {"instrument": i, "tempo": t, "register": r})
        for i in TIMBRES
        for t in TEMPI
        for r in REGISTERS
        for k in range(each)
    ]


@pytest.fixture(scope="module")
def judge():
    given = examples(0)
    return AdherenceJudge.fit([*given, *under_noise(given)])


def test_instrument_tempo_and_register_are_heard(judge):
    for example in examples(100, each=1):
        assert judge.read(example.samples, RATE) == example.truth


def test_they_are_heard_through_a_codec(judge):
    rng = np.random.default_rng(0)
    for example in examples(200, each=1):
        assert judge.read(coded(example.samples, rng), RATE) == example.truth


def test_a_judge_that_was_kept_hears_the_same(judge):
    again = AdherenceJudge.from_json(json.loads(json.dumps(judge.to_json())))
    for example in examples(300, each=1):
        assert again.read(example.samples, RATE) == judge.read(example.samples, RATE)


def test_shuffled_instruments_teach_nothing():
    """Negative control."""
    given = examples(0)
    rng = np.random.default_rng(1)
    words = rng.permutation([example.truth["instrument"] for example in given])
    shuffled = [
        Example(e.samples, RATE, {**e.truth, "instrument": str(word)}) for e, word in zip(given, words, strict=True)
    ]
    judge = AdherenceJudge.fit(shuffled)
    right = [judge.read(e.samples, RATE)["instrument"] == e.truth["instrument"] for e in examples(100)]
    assert np.mean(right) < 0.9


@pytest.mark.parametrize("clip", [np.zeros(RATE), noise(2.0)], ids=["silence", "noise"])
def test_without_pitch_only_nothing_is_told(judge, clip):
    reading = judge.read(clip, RATE)
    assert (reading["instrument"], reading["register"]) == (None, None)


def test_the_noise_lies_13_to_20_db_below(judge):
    clip = play("dull", "fast", "high", 0)
    for seed in range(5):
        added = coded(clip, np.random.default_rng(seed)) - clip
        assert -20.01 <= 10 * np.log10((added**2).mean() / (clip**2).mean()) <= -12.99


@pytest.mark.parametrize(
    ("named", "heard", "share"),
    [
        ({"instrument": "piano", "tempo": "slow"}, {"instrument": "piano", "tempo": "slow"}, 1),
        ({"instrument": "piano", "tempo": "slow"}, {"instrument": "piano", "tempo": "fast"}, 0.5),
        ({"instrument": "piano", "tempo": "slow"}, {"instrument": None, "tempo": "fast"}, 0),
        ({"instrument": "piano", "mode": "minor"}, {"instrument": "piano"}, 1),
        ({"instrument": "piano"}, {"instrument": None}, None),
        ({}, {"instrument": "piano"}, None),
    ],
)
def test_adherence_is_the_share_of_named_attributes_that_are_heard(named, heard, share):
    assert adherence(named, heard) == share


def test_examples_without_truth_or_choice_are_refused():
    clip = play("dull", "slow", "low", 0)
    with pytest.raises(EvalError, match="example 0: the truth lacks register"):
        AdherenceJudge.fit([Example(clip, RATE, {"instrument": "dull", "tempo": "slow"})])
    only = {"instrument": "dull", "tempo": "slow", "register": "low"}
    with pytest.raises(EvalError, match="give at least two"):
        AdherenceJudge.fit([Example(clip, RATE, only)])
