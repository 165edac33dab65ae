"""`--smoke`: everything in a recipe, on little."""

import pytest

from mmsteer.recipes.loading import load_document, recipe_files
from mmsteer.recipes.smoke import LEARNED, SHOWN, TOKENS, smoke_overrides


def test_a_recipe_of_a_paper_becomes_small():
    lines = smoke_overrides("llava-1.5-7b-hallucination")
    assert lines == [
        "name=llava-1.5-7b-hallucination-smoke",
        "data.coco.n=8",
        "ask.caption.tokens=48",
        "choose.data.coco.n=8",
        "ask.pope.files={}",
    ]
    small, whole = load_document("llava-1.5-7b-hallucination", lines), load_document("llava-1.5-7b-hallucination")
    assert small.data["data"]["coco"] == whole.data["data"]["coco"] | {"n": 8}
    assert small.data["directions"] == whole.data["directions"]
    assert small.data["conditions"] == whole.data["conditions"]


def test_directions_keep_enough_to_be_found():
    lines = smoke_overrides("hallucination-llava")
    assert f"directions.0.data.demos.scenes.n={LEARNED}" in lines
    assert f"directions.5.data.images.scenes.n={LEARNED}" in lines
    assert f"directions.5.data.tokens={TOKENS}" in lines
    assert f"data.scenes.n={SHOWN}" in lines


def test_what_is_small_already_stays(tmp_path):
    recipe = tmp_path / "small.yaml"
    recipe.write_text("name: small\ndata: {files: rows.jsonl, n: 5}\ngenerate: {tokens: 6, seconds: 2}\n")
    assert smoke_overrides(recipe) == ["name=small-smoke"]
    assert smoke_overrides(recipe, ["data.n=50"]) == ["name=small-smoke", f"data.n={SHOWN}"]


@pytest.mark.parametrize("recipe", recipe_files(), ids=lambda file: file.stem)
def test_every_recipe_that_ships_can_be_made_small(recipe):
    assert load_document(recipe, smoke_overrides(recipe)).data["name"].endswith("-smoke")


def test_axbench_is_not_made_small(mmsteer):
    code, _, err = mmsteer("run", "axbench-text", "--smoke")
    assert code != 0
    assert "not made small by --smoke" in " ".join(err.split())
