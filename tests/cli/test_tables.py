"""What commands print is whole at 80 columns, and nobody's text is taken for markup."""

import re

import pytest
import typer
from rich.console import Console
from rich.text import Text

from mmsteer.cli import app
from mmsteer.cli.run import _table
from mmsteer.cli.sae_tables import _text
from mmsteer.cli.tables import table

TAGS = re.compile(r"\[/?(bold)?\]")


def _commands(command, name="mmsteer"):
    yield name, command
    for word, inner in getattr(command, "commands", {}).items():
        yield from _commands(inner, f"{name} {word}")


COMMANDS = dict(_commands(typer.main.get_command(app)))


@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_in_brackets_is_lost_from_help(name):
    helps = [COMMANDS[name].help or "", *(getattr(one, "help", None) or "" for one in COMMANDS[name].params)]
    for text in helps:
        shown = TAGS.sub("", text).replace("\\[", "[")
        assert Text.from_markup(text).plain == shown


def _printed(what):
    console = Console(width=80)
    with console.capture() as capture:
        console.print(what)
    return capture.get()


def test_long_words_are_folded_and_brackets_kept():
    rows = [("instrument:clarinet-of-a-long-name", "[red]0.5[/red]", *["0.123 [0.100, 0.200]"] * 4)]
    out = _printed(table(("condition", "side_effect_ratio", "a", "b", "c", "d"), rows, "of [objects]"))
    assert "of [objects]" in out
    assert "…" not in out
    cells = [line.split("│") for line in out.splitlines() if "│" in line]
    assert "".join(cell[1].strip() for cell in cells) == "instrument:clarinet-of-a-long-name"
    assert "".join(cell[2].strip() for cell in cells) == "[red]0.5[/red]"


def test_scores_of_long_metrics_are_whole():
    score = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 3}
    found = {"steered": score, "unsteered": score, "random": score, "wrong_image": score, "chance": 0.1}
    out = _printed(_table("[a] at 1", {"contains:Ahoy|matey|treasure|captain|[pirate]": found}))
    assert "[a] at 1 (n = 3)" in out
    assert "…" not in out
    assert "0.400 0.600" in out


def test_a_score_of_one_prompt_is_printed_without_an_interval():
    score = {"value": 0.37, "low": None, "high": None, "n": 1}
    out = _printed(_table("a", {"share": {"steered": score, "unsteered": None, "chance": None}}))
    assert "0.370  no interval" in out


def test_a_reward_says_how_many_answers_it_leaves_out():
    reward = {"value": 0.5, "low": 0.25, "high": 0.75, "n": 12, "unscored": 8}
    assert _text(reward) == "0.500 [0.250, 0.750] (8 unscored)"
    assert _text(reward | {"unscored": 0}) == "0.500 [0.250, 0.750]"
    assert _text({"value": None, "low": None, "high": None, "n": 0, "unscored": 8}) == "unscored (8)"
