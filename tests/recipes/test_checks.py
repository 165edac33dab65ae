import pytest
import torch

from mmsteer.errors import RecipeError
from mmsteer.recipes.checks import check_recipe
from mmsteer.recipes.expand import expand
from mmsteer.recipes.music import data as music_data
from mmsteer.recipes.schema import Conditions, SteerMapping
from mmsteer.steering.attribute import UNITS, parse_attribute
from mmsteer.types import Direction, SiteStats
from tests.recipes.recipe import write_recipe
from tests.recipes.stand_ins import SITE


def complaints(path, *overrides):
    with pytest.raises(RecipeError) as caught:
        check_recipe(path, overrides)
    return [line for line in str(caught.value).splitlines() if not line.startswith("    ")]


def test_a_sweep_is_every_combination(tmp_path):
    checked = check_recipe(write_recipe(tmp_path), ["conditions.0.sweep.strength=[0.5, 1]"])
    assert [one.name for one in checked.conditions] == ["C at 0.5", "C at 1", "F# at 0.5", "F# at 1"]
    last = checked.conditions[-1]
    assert last.lines == ("note:F# 1 fade-in 0..100%",)
    assert last.own == {"target": {"note": "F#"}, "decode": {}, "per_image": None}
    assert last.values == {"note": "F#", "strength": 1}


def test_several_lines_may_stand_in_one_text_as_on_the_command_line(tmp_path):
    together = check_recipe(write_recipe(tmp_path), ["conditions.0.steer=['note:C 0.5; note:{note} 0.1']"])
    assert together.conditions[1].lines == ("note:C 0.5", "note:F# 0.1")
    (line,) = complaints(write_recipe(tmp_path), "conditions.0.steer=['note:C 0.5; note:X 0.1']")
    assert "'note:X 0.1': no direction 'note:X'" in line
    assert "cannot read ' ; '" in complaints(write_recipe(tmp_path), "conditions.0.steer=[' ; ']")[0]


def test_the_mapping_form_is_the_line(tmp_path):
    mapping = "{direction: 'note:{note}', strength: '{strength}', schedule: 'fade-in 0..100%', unit: absolute}"
    line = check_recipe(write_recipe(tmp_path), ["conditions.0.steer=['note:{note} {strength}abs fade-in 0..100%']"])
    written = check_recipe(write_recipe(tmp_path), [f"conditions.0.steer=[{mapping}]"])
    from tests.recipes.stand_ins import notes

    assert [str(one.steering(notes)) for one in written.conditions] == [
        str(one.steering(notes)) for one in line.conditions
    ]


@pytest.mark.parametrize("unit", sorted({*UNITS.values()}))
def test_the_mapping_form_has_every_unit_of_a_line(unit):
    table = Conditions(name="C", steer=(SteerMapping(direction="note:C", strength=0.5, unit=unit),))
    ((condition,), problems) = expand([table])
    assert not problems
    trained = Direction("note:C", {SITE: torch.ones(1)}, {SITE: SiteStats(1.0, 0.0, 1.0, 1.0, length=1.0)}, "m")
    assert parse_attribute(condition.lines[0], {"note:C": trained}).unit == unit


def test_all_errors_come_at_once_with_their_lines(tmp_path):
    path = write_recipe(
        tmp_path,
        **{
            "device: cpu": "devise: cpu",
            "seconds: 0.3": "seconds: 0",
            "top_k: 0": "topk: 0",
            "text: prompt": "text: x",
        },
    )
    found = complaints(path)
    assert [line.split(": ")[0].removeprefix(str(path)) for line in found] == [":5", ":9", ":17", ":17"]
    assert "did you mean 'device'" in found[0]
    assert "generate.seconds" in found[2]
    assert "did you mean 'top_k'" in found[3]


def test_of_very_many_errors_a_hundred_are_named(tmp_path):
    found = complaints(write_recipe(tmp_path), f"conditions=[{', '.join(['1'] * 300)}]")
    assert len(found) == 101
    assert found[-1].endswith("and 200 more problems")


def test_a_model_lies_beside_the_recipe_as_all_files_do(tmp_path, monkeypatch):
    (tmp_path / "home" / "mine").mkdir(parents=True)
    path = write_recipe(tmp_path / "home", model="mine")
    monkeypatch.chdir(tmp_path)
    assert check_recipe(path).recipe.model.load == str(tmp_path / "home" / "mine")
    assert check_recipe(path, ["model.load=someone/model"]).recipe.model.load == "someone/model"
    (line,) = complaints(path, "model.load=./mime")
    assert (
        line == "command line, model.load=./mime: model.load: no folder './mime' beside the recipe or here; give "
        "one, a name on the Hugging Face hub or a bundled model"
    )


def test_a_missing_key_stops(tmp_path):
    (line,) = complaints(write_recipe(tmp_path, **{", batch: 2": ""}))
    assert "generate.batch: this key is missing" in line


def test_meaning_is_checked_as_well_as_form(tmp_path):
    path = write_recipe(
        tmp_path,
        **{
            "probe: mean-difference": "probe: mean-diference",
            "evaluate: [notes]": "evaluate: [nots]",
            'target: {note: "{note}"}': "target: {note: H}",
            "fade-in 0..100%": "fade-on",
        },
    )
    found = complaints(path)
    assert len(found) == 4
    assert "did you mean 'mean-difference'" in found[0]
    assert any(":21: conditions[0].steer[0]" in line for line in found)
    assert any(":22: conditions[0].target.note: no note 'H'" in line for line in found)
    assert any("no evaluator 'nots', did you mean 'notes'" in line for line in found)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("kind=video", "'text', 'image' or 'music'"),
        ("conditions.0.steer=['note:H 1']", "no direction 'note:H'"),
        ("conditions.0.steer=['note:{nte} 1']", "no variable 'nte'"),
        ("conditions.0.steer=[]", "at least 1"),
        ("conditions.0.name=unsteered", "'unsteered' is the name of a control; take another"),
        ("conditions.0.name=x", "two conditions are called 'x'; put {note} into the name"),
        ("conditions.0.sweep.note=[]", "at least 1"),
        ("conditions.0.target={key: C}", "no attribute 'key'"),
        ("conditions.0.target={tempo: fast}", "add tempo to evaluate"),
        ("conditions.0.budget=-1", "greater than 0"),
        ("directions.0.data.concept=nte", "no concept 'nte'"),
        ("directions.0.data={syntheory: notes, label: root, clips: 9, seed: 0, text: prompt}", "no such key"),
        ("directions.0.data={syntheory: notes, label: rot, clips: 9, seed: 0}", "no label 'rot'"),
        ("directions.0.data.text=stated", "no prompt of the world states the note"),
        ("directions.0.pool=tokens", "pool is one of"),
        ("directions.0.positions=somewhere", "no term 'somewhere'"),
        ("directions.0={file: nothing.safetensors}", "no file 'nothing.safetensors'"),
        ("data=[]", "at least 1"),
        ("data=[' ']", "pattern"),
        ("data={world: {n: 2, seed: 0, state: [tempo], fix: {texture: drums}}}", "drums"),
        ("generate.seconds=.inf", "number"),
        ("generate.temperature=-1", "greater than or equal to 0"),
        ("generate.batch=1.5", "integer"),
        ("seed=-1", "greater than or equal to 0"),
        ("generate=~", "generate: this key is missing"),
        ("evaluate=[]", "score: this key is missing; it, or evaluate, says what is measured"),
        ("batch=2", "batch: no such key where rows or prompts go on"),
        ("ask={caption: ~}", "ask for a caption"),
        ("data={scenes: {n: 2, split: test, seed: 0}}", "generate: no such key where images"),
        ("data={scenes: {n: 2, split: test, seed: 0}}", "ask: this key is missing"),
        ("data={seed: 0}", "give one of files, world, scenes, coco, folder, amber"),
        ("directions.0.data={seed: 0}", "give one of contrast, concept, syntheory, systems, reward, files"),
        ("conditions=[{name: x, decode: {icd: {strength: 1.0, cutoff: 0.1}}}]", "decode: no such key where rows"),
        ("choose={of: all, maximise: voiced, data: {scenes: {n: 2, split: test, seed: 0}}}", "in different ways"),
        ("controls.wrong_image=true", "this exchanges images"),
        ("model.load=", "string"),
    ],
)
def test_each_wrong_value_has_its_message(tmp_path, override, words):
    assert words in "\n".join(complaints(write_recipe(tmp_path), override))


def test_a_gate_may_stand_beside_layers(tmp_path):
    """Where the directions will lie is known with the model alone, so the check does not ask for it."""
    line = "note:{note} 0.1 on decoder.3-5 when note:C < 2"
    checked = check_recipe(write_recipe(tmp_path), [f"conditions.0.steer=['{line}']"])
    assert checked.conditions[0].lines == ("note:C 0.1 on decoder.3-5 when note:C < 2",)
    (problem,) = complaints(write_recipe(tmp_path), "conditions.0.steer=['note:C 0.1 on decoder.3-5 when note:H < 2']")
    assert "the gate 'note:H < 2': no direction 'note:H'" in problem


def test_two_families_need_two_names(tmp_path):
    path = write_recipe(tmp_path)
    data = "data: {concept: note, clips: 5, seed: 0, text: none}"
    entry = f"{{family: note, probe: rfm, {data}, sites: decoder.1, positions: all, pool: mean}}"
    (line,) = complaints(path, f"directions=[{entry}, {entry}]")
    assert "give another family name" in line


@pytest.mark.parametrize("content", [b"", b"\x80\x04K\x01.", b"x" * 100])
def test_a_corrupt_direction_file_is_refused(tmp_path, content):
    (tmp_path / "bad.safetensors").write_bytes(content)
    (line,) = complaints(write_recipe(tmp_path), "directions=[{file: bad.safetensors}]")
    assert "bad.safetensors" in line


@pytest.mark.parametrize(
    ("override", "wrong"),
    [
        ("generate.guidance=1e300", "generate.guidance"),
        ("generate.temperature=1e300", "generate.temperature"),
        ("generate.seconds=1e9", "generate.seconds"),
        ("kind=[text]", "kind"),
    ],
)
def test_numbers_that_no_model_can_be_run_with_are_errors(tmp_path, override, wrong):
    (line,) = complaints(write_recipe(tmp_path), override)
    assert wrong in line


def test_a_check_draws_few_prompts_of_a_world(tmp_path, monkeypatch):
    drawn = []
    sample_clip = music_data.sample_clip
    monkeypatch.setattr(music_data, "sample_clip", lambda *a, **b: drawn.append(1) or sample_clip(*a, **b))
    check_recipe(write_recipe(tmp_path), ["data={world: {n: 900000, seed: 0, state: [tempo]}}"])
    assert 0 < len(drawn) <= 100
