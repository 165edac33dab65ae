"""The search on a small model with a planted direction: along it the model says `cup`."""

import json
from dataclasses import replace
from xml.etree import ElementTree

import pytest
import torch

from mmsteer import Sampling
from mmsteer.calibrate import divergence
from mmsteer.direction_file import save_directions
from mmsteer.errors import DataError, DirectionError, PositionsError, SiteError, SteeringError
from mmsteer.eval.text import parse_reward
from mmsteer.report.search_page import search_page, search_svg, verdict
from mmsteer.search import Grid, Place, default_sites, divided, search
from mmsteer.search.pieces import Trial
from mmsteer.steering import Attribute, Steering, parse_attribute, steer
from mmsteer.tasks import Row
from mmsteer.types import Site, SiteStats
from mmsteer.versions import versions
from tests.conftest import TALK, saying

GRID = Grid(("text.1", "text.3", "text.2-3"), (0.05, 10.0))
SAMPLING = Sampling(tokens=4)
CUP = parse_reward("regex:^(cup ?)+$")


@pytest.fixture(scope="module")
def rows():
    words = [word for word in TALK if word != "cup"]
    return [
        Row(str(at), f"rows.jsonl:{at}", " ".join([*words[at % 7 :: 2], words[at % 5], words[at % 11]]))
        for at in range(24)
    ]


@pytest.fixture(scope="module")
def cup(talker):
    return saying(talker, "cup", "word:cup")


@pytest.fixture(scope="module")
def found(talker, cup, rows):
    return search(talker, cup, rows, CUP, budget_kl=6.0, grid=GRID, sampling=SAMPLING, batch=7)


def test_the_planted_direction_is_chosen_and_beats_chance(found):
    best, control = found.best, found.best_control
    assert best.worth > 0.9
    assert best.kl <= 6.0
    assert best.worth > control.worth + 0.3
    assert best.worth > found.unsteered.worth + 0.3
    assert found.tested["steered"].worth > found.tested["random"].worth + 0.3
    assert found.line(best) == f"word:cup {best.place.strength:g} on {best.place.sites}"


def test_intervals_are_over_groups_of_rows(found):
    """Two groups of rows that are right or wrong throughout say as much as two rows."""
    halves = replace(found.cells[0], rewards=(1.0,) * 6 + (0.0,) * 6)
    alone = found.score(halves)
    grouped = replace(found, sources=(("a",) * 6 + ("b",) * 6, ())).score(halves)
    assert (grouped.value, grouped.n) == (alone.value, alone.n) == (0.5, 12)
    assert (grouped.low, grouped.high) == (0.0, 1.0)
    assert alone.low > 0.2
    assert set(map(len, found.sources)) == {12}


def test_every_cell_is_what_steering_alone_gives(found, talker, cup, rows):
    tried, _ = divided(rows, 0)
    cell = next(one for one in found.cells if one.place == Place("text.2-3", 0.025))
    steering = Steering((Attribute(cup, 0.025, sites="text.2-3"),))
    with steer(talker, steering):
        answers = [one.output for one in talker.generate([row.sample(talker) for row in tried], SAMPLING)]
    assert list(cell.answers) == answers
    assert cell.rewards == tuple(float(set(one.split()) == {"cup"}) for one in answers)
    plain = [replace(row.sample(talker), output=said) for row, said in zip(tried, found.unsteered.answers, strict=True)]
    assert cell.kl == pytest.approx(float(divergence(talker, steering, plain[:8]).mean()), rel=1e-4)


def test_the_control_costs_what_its_cell_costs(found):
    pairs = [(cell, control) for cell, control in zip(found.cells, found.controls, strict=True) if cell.kl < 1.0]
    assert pairs
    for cell, control in pairs:
        assert control.of == cell.place
        assert control.kl == pytest.approx(cell.kl, rel=0.25)
    assert len(found.controls) == len(found.cells) == 6


def test_a_cell_far_beyond_the_budget_is_not_generated(talker, cup, rows):
    found = search(talker, cup, rows, CUP, budget_kl=0.02, grid=GRID, sampling=SAMPLING)
    dear = [cell for cell in found.cells if cell.kl > 0.04]
    assert dear
    assert not any(cell.answers for cell in dear)
    if found.best:
        assert found.best.kl <= 0.02


def test_none_within_the_budget_says_so(talker, cup, rows):
    found = search(talker, cup, rows, CUP, budget_kl=1e-6, grid=Grid(("text.3",), (10.0,)), sampling=SAMPLING)
    assert found.best is None
    assert "No cell is within 1e-06 nats" in verdict(found)[0]


def test_what_gains_nothing_or_no_more_than_chance_is_said(found):
    idle = replace(found, cells=tuple(replace(one, rewards=(0.0,) * len(one.rewards)) for one in found.cells))
    assert not idle.gains
    assert "No cell within the budget gains anything" in verdict(idle)[1]
    assert "--steer" not in search_page(idle)
    lucky = replace(found, controls=tuple(replace(one, rewards=(1.0,) * len(one.rewards)) for one in found.controls))
    assert "A random direction at the same price reaches as much" in verdict(lucky)[1]
    assert found.gains
    assert len(verdict(found)) == 2


def test_a_search_that_was_stopped_goes_on(talker, cup, rows, tmp_path, monkeypatch, found):
    options = {"budget_kl": 6.0, "grid": GRID, "sampling": SAMPLING, "batch": 7, "folder": tmp_path}
    generate, calls = Trial.generated, []

    def stop(self, adapter, steerings):
        calls.append(len(steerings))
        if len(calls) == 4:
            raise KeyboardInterrupt
        return generate(self, adapter, steerings)

    with monkeypatch.context() as patch:
        patch.setattr(Trial, "generated", stop)
        with pytest.raises(KeyboardInterrupt):
            search(talker, cup, rows, CUP, **options)
    kept = (tmp_path / "cells.jsonl").read_bytes()
    assert len(kept.splitlines()) == 3
    (tmp_path / "cells.jsonl").write_bytes(kept + b'{"kind": "ce')  # as a crash leaves it
    assert search(talker, cup, rows, CUP, **options) == found
    assert (tmp_path / "cells.jsonl").read_bytes().startswith(kept)

    monkeypatch.setattr(Trial, "generated", lambda *_: pytest.fail("generated again"))
    assert search(talker, cup, rows, CUP, **options) == found


def test_a_larger_budget_fills_in_what_was_left_out(talker, cup, rows, tmp_path):
    options = {"grid": GRID, "sampling": SAMPLING, "folder": tmp_path}
    assert not all(one.answers for one in search(talker, cup, rows, CUP, budget_kl=0.02, **options).cells)
    assert all(one.answers for one in search(talker, cup, rows, CUP, budget_kl=50.0, **options).cells)


def test_another_search_in_the_folder_is_refused(talker, cup, rows, tmp_path, monkeypatch):
    options = {"grid": Grid(("text.3",), (2.0,)), "sampling": SAMPLING, "folder": tmp_path}
    search(talker, cup, rows, CUP, **options)
    with pytest.raises(DataError, match="another search, which differs in reward, rows, seed"):
        search(talker, cup, rows, parse_reward("contains:red"), seed=1, **{**options})
    known = versions()
    monkeypatch.setattr("mmsteer.folders.claim.versions", lambda: known | {"transformers": "99"})
    with pytest.raises(DataError, match="another search, which differs in packages;"):
        search(talker, cup, rows, CUP, **options)


def test_a_direction_of_another_unit_is_another_search(talker, cup, rows, tmp_path):
    options = {"grid": Grid(("text.3",), (2.0,)), "sampling": SAMPLING, "folder": tmp_path}
    search(talker, cup, rows, CUP, **options)
    longer = {site: replace(stats, residual_norm=50 * stats.residual_norm) for site, stats in cup.stats.items()}
    with pytest.raises(DataError, match="another search, which differs in direction;"):
        search(talker, replace(cup, stats=longer), rows, CUP, **options)


def test_a_line_is_what_was_tried(found, cup):
    cell = replace(found.cells[0], place=Place("text.3", 12.3456789))
    assert parse_attribute(found.line(cell), {"word:cup": cup}).strength == 12.3456789


def test_rows_without_what_the_reward_asks_for_are_refused(talker, cup, rows):
    with pytest.raises(DataError, match="exact has no value for any unsteered answer"):
        search(talker, cup, rows, parse_reward("exact"), grid=GRID, sampling=SAMPLING)


def test_a_direction_of_another_model_is_refused_at_once(talker, cup, rows):
    with pytest.raises(DirectionError, match="model"):
        search(talker, replace(cup, model="other"), rows, CUP, grid=GRID, sampling=SAMPLING)


def test_the_page_shows_prompts_as_text(found):
    shown = replace(found, prompts=(found.prompts[0], ("<script>alert(1)</script>",) * len(found.prompts[1])))
    page = search_page(shown)
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert '--steer "word:cup' in page.replace("&#34;", '"')
    assert page.count('class="dot steered"') == sum(bool(cell.answers) for cell in found.cells)


def test_the_drawing_is_a_file_that_browsers_open(found):
    root = ElementTree.fromstring(search_svg(found))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert sum("dot" in mark.get("class", "") for mark in root) == sum(bool(cell.answers) for cell in found.cells)


def test_the_default_grid_lies_in_the_middle():
    sites = [Site("text", layer) for layer in range(30)]
    vectors = dict.fromkeys(sites, torch.eye(4)[0])
    from mmsteer.types import Direction

    direction = Direction("a:b", vectors, dict.fromkeys(sites, SiteStats(0.9, 0.0, 1.0, 1.0)), "m")
    # By hand: a fifth of 30 is 6, so 6 to 23; bands of five begin at 6, 12 or 13, and 19.
    assert default_sites(direction) == (
        *("text.6", "text.9", "text.12", "text.14", "text.17", "text.20", "text.23"),
        *("text.6-10", "text.12-16", "text.19-23"),
    )
    places = Grid(strengths=(0.4, -0.1)).places(direction)
    assert places[0] == Place("text.6", -0.1)
    assert places[-1] == Place("text.19-23", 0.08)


@pytest.mark.parametrize(
    ("grid", "error", "message"),
    [
        (Grid(strengths=()), SteeringError, "strengths are numbers"),
        (Grid(strengths=(0.0, 0.1)), SteeringError, "strengths are numbers"),
        (Grid(("text.9",)), SiteError, "was not found there"),
        (Grid(positions=("everywhere",)), PositionsError, "everywhere"),
    ],
)
def test_a_grid_that_makes_no_sense_is_refused(talker, cup, rows, grid, error, message):
    with pytest.raises(error, match=message):
        search(talker, cup, rows, CUP, grid=grid)


def test_rows_are_divided_by_split_or_whole_groups(rows):
    named = [replace(row, split="validation" if at % 2 else "test") for at, row in enumerate(rows)]
    tried, kept = divided(named, 0)
    assert {row.split for row in tried} == {"validation"}
    assert {row.split for row in kept} == {"test"}
    grouped = [replace(row, group=str(at // 4)) for at, row in enumerate(rows)]
    tried, kept = divided(grouped, 0)
    assert not {row.group for row in tried} & {row.group for row in kept}
    with pytest.raises(DataError, match="no row has the split 'validation'"):
        divided([replace(row, split="train") for row in rows], 0)
    with pytest.raises(DataError, match="too few to choose on"):
        divided(rows[:2], 0)


def test_on_the_command_line(mmsteer, talker_folder, cup, rows, tmp_path):
    save_directions(tmp_path / "d.safetensors", [cup])
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps({"prompt": row.prompt}) for row in rows))
    words = ["--model", talker_folder, "--data", tmp_path / "rows.jsonl", "--directions", tmp_path / "d.safetensors"]
    words += ["--reward", "contains:cup", "--budget-kl", 6, "--sites", "text.3", "--sites", "text.2-3"]
    more = ["--strengths", "0.5,10", "--tokens", 4, "--out", tmp_path / "found", "--quiet"]
    code, out, _ = mmsteer("search", *words, *more)
    assert code == 0
    assert '--steer "word:cup' in out
    assert "rows that chose nothing" in out
    assert {path.name for path in (tmp_path / "found").iterdir()} == {
        *("search.json", "cells.jsonl", "digests.txt", ".lock", "index.html", "tradeoff.svg")
    }
    code, _, err = mmsteer("search", *words, "--name", "word:blue")
    assert (code, "no direction 'word:blue'" in err) == (2, True)
    code, _, err = mmsteer("search", *words, "--strengths", "much")
    assert (code, "write numbers" in err) == (2, True)
