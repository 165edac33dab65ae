import pytest

from mmsteer.report.parts import Interval
from mmsteer.report.tables import Cell, cell
from mmsteer.report.wording import MINUS, bracket, meaning, number, percent, plural, signed, small


def test_numbers():
    assert number(0.5) == "0.50"
    assert number(None) == "–"
    assert number(-0.128) == f"{MINUS}0.13"
    assert number(-0.0004) == "0.00"


def test_changes():
    assert signed(0.5) == "+0.50"
    assert signed(0.001) == "0.00"
    assert signed(-0.5) == f"{MINUS}0.50"
    assert signed(None) == "–"


def test_units():
    assert percent(0.0512) == "5.12 %"
    assert small(0.000123456) == "0.000123"
    assert plural(1, "clip") == "1 clip"
    assert plural(1200, "clip") == "1,200 clips"


def test_intervals():
    assert bracket(Interval(value=0.5, low=0.25, high=0.75, n=4, unscored=0)) == "[0.25, 0.75]"
    assert bracket(Interval(value=None, low=None, high=None, n=0, unscored=4)) == ""
    assert bracket(Interval(value=0.5, low=None, high=None, n=1, unscored=0)) == "(no interval)"


def test_a_change_has_its_own_n_where_something_was_not_scored_in_both_runs():
    some = Interval(value=0.5, low=0.25, high=0.75, n=4, unscored=6)
    assert cell("note.hit", some, change=True) == Cell("+0.50", "[0.25, 0.75] n = 4")
    assert cell("note.hit", some.model_copy(update={"unscored": 0}), change=True).interval == "[0.25, 0.75]"
    assert cell("note.hit", some) == Cell("0.50", "[0.25, 0.75]")


@pytest.mark.parametrize("metric", ["note.hit", "register.hit", "chord.share", "adherence", "voiced"])
def test_every_metric_is_explained(metric):
    assert "share of" in meaning(metric)
