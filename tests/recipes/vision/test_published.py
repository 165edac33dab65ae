"""The recipes for real checkpoints, end to end on small randomly initialised ones and data in the public layouts."""

import json

import pytest

from mmsteer.errors import RecipeError
from mmsteer.recipes.checks import check_recipe
from mmsteer.recipes.experiment import prepare
from mmsteer.recipes.folder import SAMPLES
from mmsteer.recipes.run import run
from tests.adapters.checkpoints import save

CHECKPOINTS = {"llava-1.5-7b": "llava", "qwen2.5-vl-7b": "qwen2_5_vl", "instructblip": "instructblip"}
FEWER = ["data.coco.n=2", "choose.data.coco.n=6", "ask.caption.tokens=6", "ask.pope.tokens=2", "batch=3"]
SHORT = [
    *FEWER,
    "directions.0.data.ending=written",
    "conditions.0.sweep.strength=[0.5]",
    "conditions.1.sweep.strength=[0.09]",
    "conditions.3.decode.verify.words=['yes', 'no']",
]


@pytest.fixture(autouse=True)
def _where_the_data_is(public, monkeypatch):
    monkeypatch.chdir(public)


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_the_recipe_states_the_published_protocol(name):
    recipe = check_recipe(f"{name}-hallucination", FEWER[:2]).recipe
    assert recipe.ask.caption.prompt == "Please describe this image in detail."
    assert (recipe.ask.caption.tokens, recipe.ask.caption.temperature, recipe.ask.caption.beams) == (512, 0.0, 1)
    assert recipe.ask.pope.splits == ("random", "popular", "adversarial")
    with pytest.raises(RecipeError, match="gives 16 images, 500 are asked for"):
        check_recipe(f"{name}-hallucination")


@pytest.mark.parametrize(("name", "family"), CHECKPOINTS.items())
def test_the_recipe_runs_from_end_to_end(name, family, tmp_path):
    model = save(family, tmp_path / "model")
    lines = [f"model={{load: {model}, device: cpu, dtype: float32}}", *SHORT]
    folder = run(prepare(f"{name}-hallucination", lines), tmp_path / "run", progress=False)
    kinds = [row["kind"] for row in folder.read("conditions.json")]
    assert kinds == ["unsteered", *["steered"] * 4, *["random"] * 2, *["wrong_image"] * 3]
    metrics = folder.read("scores.json")["rows"][0]["metrics"]
    assert metrics["chair_s"].keys() == metrics["pope.adversarial.f1"].keys()
    assert metrics["pope.popular.unparsed"]["unsteered"]["n"] == 3
    described = [line for line in folder.lines(SAMPLES) if line["caption"] is not None]
    assert len({line["id"] for line in described}) == 2
    asked = {line["id"] for line in folder.lines(SAMPLES) if line["answers"]}
    assert {name[-5] for name in asked} == {"0", "1", "2"}
    files = folder.read("environment.json")["files"]
    assert {path.rsplit("/", 1)[1] for path in files} >= {"coco_pope_random.json", "demos.jsonl"}


def test_what_is_missing_is_told_at_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError) as caught:
        check_recipe("llava-1.5-7b-hallucination")
    message = str(caught.value)
    assert "vti/demos.jsonl" in message
    assert "there is no folder" in message


def test_questions_of_another_benchmark_are_refused(public):
    (public / "amber.json").write_text(json.dumps([{"id": 1, "image": "AMBER_1.jpg", "query": "Is it sunny?"}]))
    with pytest.raises(RecipeError, match="of another benchmark"):
        check_recipe("llava-1.5-7b-hallucination", [*FEWER, "ask.pope.files.random=amber.json"])
