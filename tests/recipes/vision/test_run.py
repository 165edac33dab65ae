"""Runs of a small vision recipe on the tiny random model: what is left on disk, and what a crash leaves."""

import json
import shutil
from types import SimpleNamespace

import pytest
from PIL import Image

from mmsteer.adapters import LanguageModelAdapter
from mmsteer.direction_file import load_directions, save_directions
from mmsteer.errors import RecipeError
from mmsteer.eval.chair import Chair
from mmsteer.eval.odds import LEAST_MASS
from mmsteer.recipes.experiment import prepare
from mmsteer.recipes.folder import CHUNKS, SAMPLES, RunFolder
from mmsteer.recipes.run import run
from mmsteer.recipes.vision.asking import outcomes
from mmsteer.types import Chat
from mmsteer.worlds.scenes import render_scene, split_scenes
from tests.conftest import planted
from tests.recipes.vision.recipe import write_recipe

FILES = ("receipts.json", "doses.json", "conditions.json", "examples.json", "probe.json")
RESULTS = ("samples.jsonl", "scores.json", *FILES)
NAMES = ["unsteered", "honest at 0.2", "honest at 2.0", "random 1 as honest at 0.2", "random 2 as honest at 0.2"]
NAMES += ["random 1 as honest at 2.0", "random 2 as honest at 2.0"]
NAMES += ["wrong image as honest at 0.2", "wrong image as honest at 2.0"]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory, llava_folder):
    return write_recipe(tmp_path_factory.mktemp("recipe"), llava_folder)


@pytest.fixture(scope="module")
def experiment(recipe):
    return prepare(recipe)


@pytest.fixture(scope="module")
def finished(experiment, tmp_path_factory):
    return run(experiment, tmp_path_factory.mktemp("runs") / "one", progress=False)


def contents(folder):
    return {name: (folder / name).read_bytes() for name in RESULTS}


def test_every_picture_has_a_line_under_every_condition(finished):
    lines = finished.lines(SAMPLES)
    assert [row["name"] for row in finished.read("conditions.json")] == NAMES
    assert [(line["condition"], line["example"]) for line in lines] == [(name, at) for name in NAMES for at in range(5)]
    assert all(line["answers"] is None or line["answers"][0]["logit"] is not None for line in lines)


def test_a_word_that_is_unlikely_to_come_is_no_answer(finished):
    answers = [one for line in finished.lines(SAMPLES) for one in line["answers"] or ()]
    assert answers
    assert all((one["outcome"] == "unparsed") == (one["mass"] < LEAST_MASS) for one in answers)


def test_odds_decide_where_one_of_the_words_comes():
    questions = [SimpleNamespace(text="?", label="yes", splits=("random",))] * 3
    output = {"answers": None, "logits": [(2.0, 0.9), (-2.0, 0.9), (2.0, 0.0006)]}
    assert [one["outcome"] for one in outcomes(questions, output, None)] == ["tp", "fn", "unparsed"]


def test_pictures_are_kept_as_they_were_shown(finished):
    rows = finished.read("examples.json")
    scenes = split_scenes("test", 5, 0)
    for row, scene in zip(rows, scenes, strict=True):
        assert set(row["objects"]) == scene.objects
        assert Image.open(finished.path / row["images"][0]).tobytes() == render_scene(scene).tobytes()


def test_captions_are_judged_against_what_is_there(finished):
    truth = {row["id"]: row["objects"] for row in finished.read("examples.json")}
    judge = Chair(truth)
    lines = [line for line in finished.lines(SAMPLES) if line["condition"] == "unsteered"]
    expected = judge.score({line["id"]: line["caption"] for line in lines})
    (row, _) = finished.read("scores.json")["rows"]
    for name in ("chair_s", "chair_i", "recall", "precision", "f1", "length", "distinct", "empty", "repetition"):
        assert row["metrics"][name]["unsteered"]["value"] == pytest.approx(expected.scores[name].value), name
    for line in lines:
        for mention in line["mentions"]:
            assert line["caption"][mention["start"] : mention["stop"]] == mention["words"]
            assert mention["hallucinated"] == (mention["object"] not in truth[line["id"]])


def test_controls_stand_beside_every_metric(finished):
    for row in finished.read("scores.json")["rows"]:
        for found in row["metrics"].values():
            assert {"steered", "unsteered", "difference", "random", "wrong_image", "against_random"} <= found.keys()
        flips = row["flips"]["adversarial"]
        asked = [one for line in finished.lines(SAMPLES)[:5] for one in line["answers"] or ()]
        assert sum(flips.values()) == sum("adversarial" in one["splits"] for one in asked)


def test_the_wrong_image_is_another_direction_with_the_same_name(finished):
    right = load_directions(finished.path / "directions.safetensors")["honest:yes"]
    wrong = load_directions(finished.path / "wrong_image.safetensors")["honest:yes"]
    assert right.sites == wrong.sites
    cosines = [float(right.vectors[site] @ wrong.vectors[site]) for site in right.sites]
    assert all(cosine < 0.9999 for cosine in cosines)


def test_steering_reaches_captions_and_answers(finished):
    lines = {(line["condition"], line["example"]): line for line in finished.lines(SAMPLES)}
    assert any(lines["honest at 2.0", at]["caption"] != lines["unsteered", at]["caption"] for at in range(5))
    asked = next(at for at in range(5) if lines["unsteered", at]["answers"])
    logits = [[one["logit"] for one in lines[name, asked]["answers"]] for name in ("honest at 2.0", "unsteered")]
    assert logits[0] != logits[1]
    receipts = finished.read("receipts.json")
    assert receipts["unsteered"]["tokens"] == 0
    assert receipts["honest at 2.0"]["ratio"] > 5 * receipts["honest at 0.2"]["ratio"] > 0
    assert receipts["honest at 0.2"]["kl"] > 0


def test_running_again_repeats_nothing(finished, experiment, monkeypatch):
    before = contents(finished.path)
    monkeypatch.setattr(experiment.adapter, "generate", None)
    run(experiment, finished.path, progress=False)
    assert contents(finished.path) == before


def test_the_folder_describes_itself(finished, experiment):
    assert prepare(finished.path / "recipe.yaml").id == experiment.id


class _Crash(Exception):
    pass


@pytest.mark.parametrize("writes", [1, 5])
def test_a_crash_at_a_write_changes_nothing(finished, experiment, tmp_path, monkeypatch, writes):
    append, left = RunFolder.append, [writes]

    def failing(self, log, lines):
        left[0] -= 1
        if not left[0]:
            raise _Crash
        append(self, log, lines)

    folder = tmp_path / "begun"
    folder.mkdir()
    for name in ("recipe.yaml", "environment.json", "probe.json", "directions.safetensors", "wrong_image.safetensors"):
        shutil.copy(finished.path / name, folder)
    (folder / "run.json").write_text(json.dumps(finished.read("run.json") | {"finished": False}))
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "append", failing)
        with pytest.raises(_Crash):
            run(experiment, folder, progress=False)
    run(experiment, folder, progress=False)
    assert contents(folder) == contents(finished.path)


SMALL = ["controls.random=0", "controls.wrong_image=false"]
CHOOSE = "choose={of: all, maximise: length, bounds: BOUNDS, data: {scenes: {n: 3, split: validation, seed: 0}}}"


def test_the_best_on_validation_alone_goes_on(recipe, tmp_path):
    bounds = "{empty: {at_most: 0.0}}"
    lines = [CHOOSE.replace("BOUNDS", bounds), "controls.random=1", "controls.wrong_image=true"]
    folder = run(prepare(recipe, lines), tmp_path / "chosen", progress=False)
    tried = folder.part("validation").read("scores.json")["rows"]
    assert [row["condition"] for row in tried] == ["honest at 0.2", "honest at 2.0"]
    assert {line["id"].split("-")[0] for line in folder.part("validation").lines(SAMPLES)} == {"validation"}
    (choice,) = folder.read("choice.json")
    lengths = {row["condition"]: row["metrics"]["length"]["steered"]["value"] for row in tried}
    empty = {row["condition"]: row["metrics"]["empty"]["difference"]["value"] for row in tried}
    allowed = [name for name in lengths if empty[name] <= 0] or list(lengths)
    assert choice["condition"] == max(allowed, key=lengths.get)
    assert choice["tried"] == 2
    assert [row["condition"] for row in folder.read("scores.json")["rows"]] == [choice["condition"]]
    assert {line["id"].split("-")[0] for line in folder.lines(SAMPLES)} == {"test"}


def test_bounds_that_nothing_meets_are_told(recipe, tmp_path):
    lines = [*SMALL, CHOOSE.replace("BOUNDS", "{length: {at_least: 100.0}}")]
    folder = run(prepare(recipe, lines), tmp_path / "chosen", progress=False)
    (choice,) = folder.read("choice.json")
    assert (choice["within_bounds"], choice["allowed"]) == (False, 0)
    assert "at least +100 is asked" in choice["broken"][0]


def test_a_strength_is_calibrated_on_validation_and_kept(recipe, tmp_path):
    lines = [*SMALL, "conditions=[{name: up, steer: ['honest:yes 0.1'], calibrate: {kl: 0.001}}]"]
    lines.append(CHOOSE.replace("BOUNDS", "{}"))
    folder = run(prepare(recipe, lines), tmp_path / "dose", progress=False)
    factor = folder.part("validation").read("doses.json")["up"]["factor"]
    assert folder.read("doses.json")["up"]["factor"] == factor
    assert factor not in (None, 1.0)


def test_baselines_stand_in_the_same_table(recipe, tmp_path):
    vcd = "{name: 'vcd {a}', sweep: {a: [0.5, 1.0]}, decode: {vcd: {strength: '{a}', cutoff: 0.1, step: 900}}}"
    icd = "{name: icd, decode: {icd: {strength: 1.0, cutoff: 0.1}}}"
    blind = "{name: text only, decode: {text_only: {strength: 1.0, cutoff: 0.0}}}"
    lines = [
        "directions=[]",
        f"conditions=[{vcd}, {icd}, {blind}]",
        "ask.pope.answer=text",
        "controls.random=1",
        "data.scenes.n=5",
    ]
    folder = run(prepare(recipe, lines), tmp_path / "baselines", progress=False)
    rows = folder.read("scores.json")["rows"]
    assert [row["condition"] for row in rows] == ["vcd 0.5", "vcd 1.0", "icd", "text only"]
    assert rows[0]["decode"] == {"vcd": {"strength": 0.5, "cutoff": 0.1, "step": 900}}
    texts = {}
    for line in folder.lines(SAMPLES):
        texts.setdefault(line["condition"], []).append(line["caption"])
    assert any(texts[name] != texts["unsteered"] for name in ("vcd 1.0", "icd", "text only"))
    assert all(one["answer"] is not None for line in folder.lines(SAMPLES) for one in line["answers"] or ())


def test_sampling_draws_the_same_for_a_picture_in_any_batch(recipe, tmp_path):
    lines = [*SMALL, "ask.caption.temperature=1.0", "ask.pope=~", "conditions.0.sweep.strength=[0.2]"]
    captions = []
    for batch in (1, 5):
        folder = run(prepare(recipe, [*lines, f"batch={batch}"]), tmp_path / str(batch), progress=False)
        captions.append([(line["condition"], line["example"], line["caption"]) for line in folder.lines(SAMPLES)])
    assert captions[0] == captions[1]


def test_directions_of_another_model_are_refused(recipe, experiment):
    foreign = planted(experiment.adapter, "mine:up", [0])
    object.__setattr__(foreign, "model", "0" * 16)
    save_directions(recipe.parent / "foreign.safetensors", [foreign])
    lines = ["directions=[{file: foreign.safetensors}]", "conditions=[{name: up, steer: ['mine:up 1']}]", *SMALL]
    with pytest.raises(RecipeError, match="was found in model"):
        prepare(recipe, lines)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("directions.0.sites=text.9", "no such site"),
        ("conditions.0.steer=['honest:yes 1 at 0..2s']", "no duration"),
        ("conditions.0.steer=['honest:yes 1 at image & generated']", "ever at 'image & generated'"),
        ("ask.caption.tokens=9999", "9999 tokens"),
        ("ask.pope.words=['yes', 'yes']", "same token"),
    ],
)
def test_what_does_not_fit_the_model_stops_before_any_compute(recipe, override, words):
    with pytest.raises(RecipeError, match=words):
        prepare(recipe, [override])


def test_a_model_that_sees_nothing_is_refused(recipe, musicgen_folder):
    with pytest.raises(RecipeError, match="sees no images"):
        prepare(recipe, [f"model.load={musicgen_folder}"])


def test_chunks_keep_what_the_model_said(finished):
    said = [output["caption"] for line in finished.lines(CHUNKS) for output in line["outputs"]]
    assert said == [line["caption"] for line in finished.lines(SAMPLES)]


def test_questions_go_on_from_what_the_answer_begins_with(tmp_path, llava_folder, monkeypatch):
    asked = []
    next_word = LanguageModelAdapter.next_word

    def noted(self, samples, words):
        asked.extend(sample.prompt for sample in samples)
        return next_word(self, samples, words)

    monkeypatch.setattr(LanguageModelAdapter, "next_word", noted)
    begun = {"parser: strict": "parser: strict, prefill: 'a cup :', template: {enable_thinking: false}"}
    run(prepare(write_recipe(tmp_path, llava_folder, **begun)), tmp_path / "one", progress=False)
    chats = [prompt for prompt in asked if isinstance(prompt, Chat)]
    assert chats
    assert all(chat.messages[-1] == {"role": "assistant", "content": "a cup :"} for chat in chats)
    assert all(chat.options == {"enable_thinking": False} for chat in chats)
