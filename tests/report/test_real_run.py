"""A folder that a run really wrote, on the tiny random model: the two halves speak of the same files."""

import pytest

from mmsteer.recipes.experiment import prepare
from mmsteer.recipes.run import run
from mmsteer.report import write_report
from mmsteer.report.run_data import read_run
from tests.adapters.checkpoints import save
from tests.recipes.recipe import write_recipe
from tests.recipes.vision.recipe import write_recipe as write_vision_recipe


@pytest.fixture(scope="module")
def folder(tmp_path_factory, musicgen_folder):
    place = tmp_path_factory.mktemp("real")
    two = {"strength: [0.5]": "strength: [0.1, 0.5]", "clips: 8": "clips: 6"}
    recipe = write_recipe(place, musicgen_folder, **two)
    return run(prepare(recipe), place / "run", progress=False).path


def test_every_file_is_read(folder):
    found = read_run(folder)
    assert found.state.finished
    assert found.about == "two notes, to test by"
    assert found.environment.mmsteer
    assert len(found.outputs) == len(found.conditions) * len(found.examples) == 7 * 3
    assert found.scores.rows
    assert found.scores.summaries
    assert set(found.traces) == {one.name for one in found.steered}
    assert set(found.receipts) == {one.name for one in found.conditions}
    assert found.probes
    assert found.doses
    assert len(found.directions) == 12


def test_the_page_opens_with_what_ran_and_not_with_the_words_of_a_recipe(folder):
    opening, rest = write_report(folder).read_text().split("</header>")
    assert "4 steered conditions on 3 prompts of the recipe" in opening
    assert "two notes, to test by" not in opening
    assert "The recipe says of itself: two notes, to test by" in rest


def test_the_page_shows_it(folder):
    html = write_report(folder).read_text()
    for text in (
        "C at 0.5",
        "note.hit",
        "decoder.1 to decoder.2",
        "note:C 0.5",
        "a slow piano melody",
        'id="trade-off"',
    ):
        assert text in html
    assert "not finished" not in html


def test_a_run_with_images(tmp_path):
    choose = "choose: {of: all, minimise: chair_s, data: {scenes: {n: 6, split: validation, seed: 0}}}\ncontrols:"
    recipe = write_vision_recipe(tmp_path, save("llava", tmp_path / "llava"), **{"controls:": choose})
    folder = run(prepare(recipe), tmp_path / "run", progress=False).path
    found = read_run(folder)
    assert len(found.outputs) == len(found.conditions) * len(found.examples) == 5 * 5
    assert [one.tried for one in found.choices] == [2]
    assert found.validation.done == found.validation.planned == 3 * 6
    html = write_report(folder).read_text()
    for text in ("wrong images", "honest at 0.2", "(chosen)", "images/00002-0.png", "pope.adversarial.f1"):
        assert text in html
    assert "not finished" not in html
