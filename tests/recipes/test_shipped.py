"""Every recipe that comes with mmsteer parses, validates and expands, and editors know the schema."""

import json
from pathlib import Path

import pytest

from mmsteer.library import library
from mmsteer.recipes.checks import check_recipe, read_probe
from mmsteer.recipes.keys import json_schema, key_tables
from mmsteer.recipes.loading import recipe_files

# Recipes on published data are checked beside small copies of it, in tests/recipes/vision/test_published.py.
# The benchmark of finders has a schema of its own, and is checked in tests/axbench.
APART = ("coco:", "llava-1.5", "kind: axbench")
RENDERED = [file for file in recipe_files() if not any(word in file.read_text() for word in APART)]


@pytest.mark.parametrize("file", RENDERED, ids=lambda file: file.stem)
def test_the_recipe_is_right(file):
    checked = check_recipe(file)
    assert checked.recipe.name == file.stem
    assert checked.conditions
    assert file.read_text().startswith("# yaml-language-server: $schema=schema.json\n")


def test_there_are_recipes_for_every_question():
    names = {file.stem for file in recipe_files()}
    assert names >= {
        "demo",
        "one-note",
        "twelve-notes",
        "schedules",
        "cross-fade",
        "note-and-register",
        "chord-quality",
    }
    assert names >= {"musicrfm-small", "musicrfm-medium", "musicrfm-large"}
    assert names >= {
        "hallucination",
        "hallucination-methods",
        "hallucination-sweep",
        "vti",
        "less-and-shorter",
        "hallucination-llava",
    }
    assert names >= {"llava-1.5-7b-hallucination", "qwen2.5-vl-7b-hallucination", "instructblip-hallucination"}


def test_the_paper_differs_between_sizes_in_the_model_alone():
    small, large = (check_recipe(f"musicrfm-{size}").recipe.model_dump() for size in ("small", "large"))
    assert {key for key in small if small[key] != large[key]} == {"name", "about", "model"}
    assert large["model"] == small["model"] | {"load": "facebook/musicgen-large"}


@pytest.mark.parametrize(
    "file", sorted(library("probes").glob("**/*.yaml")), ids=lambda file: f"{file.parent.stem}-{file.stem}"
)
def test_the_probe_settings_are_right(file):
    assert read_probe(file.parent.name, file.stem).name == file.stem.split("-")[0].replace("mean", "mean_difference")


@pytest.mark.parametrize("kind", ["music", "vision"])
def test_seven_finders_differ_in_the_finder_alone(kind):
    checked = check_recipe(f"seven-finders-{kind}")
    entries = [one.model_dump(exclude={"family", "probe"}) for one in checked.recipe.directions]
    assert all(one == entries[0] for one in entries)
    names = [one.probe.name for one in checked.recipe.directions]
    assert names[:6] == ["mean_difference", "pca", "lat", "logistic", "linear", "rfm"]
    assert names[6:] == ["sae", "sae", "random"]
    assert [one.probe.selector == "random" for one in checked.recipe.directions[6:8]] == [False, True]
    assert len({one.kl for one in checked.conditions}) == len(checked.recipe.conditions)
    assert {line.split(":", 1)[1].split(" ", 1)[1] for one in checked.conditions for line in one.lines} == {
        checked.conditions[0].lines[0].split(":", 1)[1].split(" ", 1)[1]
    }


def test_selectors_are_tried_on_other_material():
    test, tried = (check_recipe(f"seven-finders-music{end}").recipe for end in ("", "-selectors"))
    assert test.data.world.seed != tried.data.world.seed
    assert test.seed != tried.seed
    test, tried = (check_recipe(f"seven-finders-vision{end}").recipe for end in ("", "-selectors"))
    assert (test.data.scenes.split, tried.data.scenes.split) == ("test", "validation")


def test_the_schema_for_editors_is_true():
    assert json.loads((library("recipes") / "schema.json").read_text()) == json_schema()


def test_the_schema_states_each_probe_in_the_words_of_its_class():
    parts = json_schema()["$defs"]
    assert parts["Linear"]["required"] == ["name"]
    assert parts["Linear"]["properties"]["ridges"]["description"] == "Values of r to choose from."
    assert parts["LAT"]["description"].endswith("signed by the labels.")


def test_every_key_stands_in_the_docs():
    page = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text()
    assert page.endswith(key_tables() + "\n"), "write the output of `mmsteer recipes keys` behind '## Keys' again"
    assert "| `folder` | [Folder](#folder)" in page
