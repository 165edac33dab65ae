"""Two quick golden commands in the ordinary run; `make oracles` checks all."""

import shlex

import pytest

from tests.oracles.commands import ORACLES
from tests.oracles.oracle import HERE, differences, kept, kept_numbers, printed_lines, surroundings


@pytest.mark.parametrize("name", ["run-less-and-shorter", "sae-corrsteer-vision"])
def test_numbers_are_those_kept(name, mmsteer, monkeypatch, tmp_path):
    if kept(name)["made_with"] != surroundings():
        pytest.skip(f"{name} was kept with other packages or on another processor, whose rounding can tip a token")

    def call(words):
        code, printed, err = mmsteer(*words)
        assert code == 0, f"mmsteer {shlex.join(words)}: {err}"
        return printed

    monkeypatch.chdir(tmp_path)
    assert not differences(kept_numbers(name), ORACLES[name].numbers(call))


def test_every_oracle_has_its_file():
    assert {path.stem for path in HERE.glob("*.json")} == set(ORACLES)


@pytest.mark.parametrize(
    ("kept", "now", "alike"),
    [
        (0.5, 0.50004, True),
        (0.5, 0.5001, False),
        (0.0, 5e-17, True),
        (3, 4, False),
        ([0.5, 0.1, 1.0, 8, 0], [0.5, 0.1, 1.0, 7, 1], False),
        (None, 0.0, False),
        ("text.2", "text.1", False),
    ],
)
def test_differences(kept, now, alike):
    assert (differences({"a": kept}, {"a": now}) == []) is alike


def test_gone_and_new_differ():
    assert differences({"a": 1}, {"b": 1}) == ["a: 1 is gone", "b: 1 is new"]


def test_printed_lines():
    printed = "│ loss recovered │ 91.5% (2.289 of 26.942 nats) │\n├──┤\nno features at text.2"
    expected = {"loss recovered #% (# of # nats)": [91.5, 2.289, 26.942], "no features at text.2": []}
    assert printed_lines(printed) == expected
