"""Random directions that are chosen as conditions are."""

import json

import pytest

from mmsteer.errors import RecipeError
from mmsteer.recipes.checks import check_recipe
from mmsteer.recipes.costs import costs
from mmsteer.recipes.experiment import prepare
from mmsteer.recipes.run import run
from mmsteer.report import write_report
from tests.adapters.checkpoints import save
from tests.recipes.rows.recipe import write_recipe, write_rows
from tests.report.html import Page

SEARCHED = {"random: 1, shuffled: true": "random: 1, searched: 2", "[1.0, 4.0]": "[1.0, 80.0]"}
WEAK = '  - {name: weak, steer: ["said:yes 0.5"]}\n'
EACH = {"conditions:\n": f"conditions:\n{WEAK}", "of: all": "of: each"}


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return save("llama", tmp_path_factory.mktemp("llama"))


def write_searched(folder, llama, **replaced):
    write_rows(folder)
    return write_recipe(folder, llama, goal="length", **SEARCHED | replaced)


def strengths(folder):
    """Of each control that was searched its one line of steering, and of each that might have been."""
    made = {one["name"]: one for one in folder.read("conditions.json")}
    tried = {one["name"]: one for one in json.loads((folder.path / "searched/conditions.json").read_text())}
    return made, tried


def best_of(folder, draw, names):
    rows = {row["condition"]: row for row in json.loads((folder.path / "searched/scores.json").read_text())["rows"]}
    return max((f"random {draw} as {name}" for name in names), key=lambda one: _length(rows[one]))


def _length(row):
    return row["metrics"]["length"]["steered"]["value"]


def test_each_draw_stands_beside_the_choice_with_what_was_best_of_it(tmp_path, llama):
    folder = run(prepare(write_searched(tmp_path, llama)), tmp_path / "run", progress=False)
    (row,) = folder.read("scores.json")["rows"]
    made, tried = strengths(folder)
    assert set(tried) == {"unsteered"} | {f"random {draw} as at {size}" for draw in (1, 2) for size in ("1.0", "80.0")}
    for draw in (1, 2):
        best = best_of(folder, draw, ("at 1.0", "at 80.0"))
        found = made[f"searched {draw} as {row['condition']}"]
        assert (found["kind"], found["steering"]) == ("searched", tried[best]["steering"])
    assert tried["random 1 as at 1.0"]["steering"] != tried["random 2 as at 1.0"]["steering"]
    assert row["metrics"]["length"]["searched"]["value"] is not None
    assert row["metrics"]["length"]["against_searched"]["n"] == 4
    assert "random direction, chosen alike" in Page(write_report(folder.path).read_text()).text


def test_of_each_entry_a_control_of_its_own(tmp_path, llama):
    folder = run(prepare(write_searched(tmp_path, llama, **EACH)), tmp_path / "run", progress=False)
    made, tried = strengths(folder)
    chosen = [one["condition"] for one in folder.read("choice.json")]
    assert chosen[0] == "weak"
    assert made["searched 1 as weak"]["steering"] == tried["random 1 as weak"]["steering"]
    best = best_of(folder, 1, ("at 1.0", "at 80.0"))
    assert made[f"searched 1 as {chosen[1]}"]["steering"] == tried[best]["steering"]


def test_a_calibrated_control_keeps_the_strength_that_was_found_for_it(tmp_path, llama):
    calibrated = {'steer: ["said:yes {strength}"]': 'steer: ["said:yes {strength}"]\n    calibrate: {kl: 0.001}'}
    folder = run(prepare(write_searched(tmp_path, llama, **calibrated)), tmp_path / "run", progress=False)
    made, tried = strengths(folder)
    doses = json.loads((folder.path / "searched/doses.json").read_text())
    (row,) = folder.read("scores.json")["rows"]
    best = best_of(folder, 1, ("at 1.0", "at 80.0"))
    (line,), (before,) = made[f"searched 1 as {row['condition']}"]["steering"], tried[best]["steering"]
    assert float(line.split()[1]) == pytest.approx(doses[best]["factor"] * float(before.split()[1]), rel=1e-4)


def test_what_was_stopped_goes_on_to_the_same_files(tmp_path, llama):
    recipe = write_searched(tmp_path, llama)
    folder = run(prepare(recipe), tmp_path / "run", progress=False)
    whole = {file: file.read_bytes() for file in folder.path.rglob("*.json*") if file.name != "times.json"}
    log = folder.path / "searched/samples.jsonl"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:3]))
    again = run(prepare(recipe), tmp_path / "run", progress=False)
    assert {file: file.read_bytes() for file in again.path.rglob("*.json*") if file.name != "times.json"} == whole


def test_a_plan_counts_what_is_searched(tmp_path, llama):
    write_rows(tmp_path)
    plain, more = (
        {
            part.what: part
            for part in costs(prepare(write_searched(tmp_path, llama, **{"searched: 2": change})), 0).parts
        }
        for change in ("searched: 0", "searched: 2")
    )
    # Two conditions and the unsteered run; then the same for each draw, with the unsteered run once.
    assert plain["generate and judge to choose"].samples == 3 * 2
    assert more["generate and judge to choose"].samples == 3 * 2 + 5 * 2


def test_nothing_is_searched_where_nothing_is_chosen(tmp_path, llama):
    recipe = write_searched(tmp_path, llama)
    recipe.write_text("\n".join(one for one in recipe.read_text().splitlines() if not one.startswith("choose")))
    with pytest.raises(RecipeError, match=r"controls\.searched: these are chosen as conditions are; say how by choose"):
        check_recipe(recipe)
