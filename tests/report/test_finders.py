"""The table of finders: who is in it, and that its numbers are the run's."""

import pytest

from mmsteer.report import write_report
from mmsteer.report.finders import finders
from mmsteer.report.run_data import read_run
from tests.report.example import edit, make_run, write


@pytest.fixture
def folder(tmp_path):
    return make_run(tmp_path / "run", audio=False)


def renamed(folder, *families):
    """Every strength of the example becomes a family of its own."""
    names = dict(zip(("0.05", "0.1", "0.15"), families, strict=True))

    def conditions(listed):
        for one in listed:
            words = one["steering"][0].split() if one["steering"] else []
            if one["kind"] == "steered" and len(words) == 2 and words[0].startswith("note:"):
                one["steering"] = [f"{names[words[1]]}:{words[0].partition(':')[2]} {words[1]}"]

    def tables(listed):
        found = next(one for one in listed if one["family"] == "note")
        scores = [{"C": 0.9, "E": 0.5, "A": None}, {"C": 0.7, "E": 0.9, "A": None}]
        rows = [row | {"labels": labels} for row, labels in zip(found["rows"], scores, strict=False)]
        listed[:] = [found | {"family": family, "rows": rows} for family in families]

    edit(folder, "conditions.json", conditions)
    edit(folder, "probe.json", tables)


def test_two_families_are_no_comparison(folder):
    assert finders(read_run(folder)) is None
    assert "Finders side by side" not in write_report(folder).read_text()


def test_each_family_has_a_line_with_its_own_numbers(folder):
    renamed(folder, "mean", "pca", "sae")
    write(folder, "times.json", {"seconds_to_fit": {"mean": 0.25, "sae": 12.0}})
    run = read_run(folder)
    found = finders(run)
    assert found.metrics[:2] == ("note.hit", "note.share")
    assert [line.name.partition(",")[0] for line in found.lines] == ["mean", "pca", "sae"]
    assert [line.seconds for line in found.lines] == ["0.25", "–", "12"]
    (row,) = [
        row for row in run.scores.main if row.values.get("strength") == 0.15 and "note-rfm" not in str(row.values)
    ]
    steered, change = found.lines[2].cells[0]
    assert steered.value == f"{row.metrics['note.hit'].steered.value:.2f}"
    assert change.value.lstrip("+") == f"{row.metrics['note.hit'].difference.value:.2f}"
    assert found.lines[0].detection == "0.800"
    page = write_report(folder).read_text()
    assert page.count("Finders side by side") == 1
    assert 'href="#finders"' in page


def test_a_row_that_steers_along_two_families_is_left_out(folder):
    renamed(folder, "mean", "pca", "sae")
    edit(
        folder,
        "conditions.json",
        lambda listed: [one["steering"].append("pca:C 1") for one in listed if one["steering"]] and None,
    )
    assert finders(read_run(folder)) is None
