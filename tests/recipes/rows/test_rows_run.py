"""Recipes on rows of one's own, from the files to the page, on small random models of every kind."""

import json
import os
import signal
from functools import partial

import numpy as np
import pytest
import soundfile
from PIL import Image
from transformers import AutoTokenizer

from mmsteer.adapters import load
from mmsteer.direction_file import save_directions
from mmsteer.errors import RecipeError, WorkerError
from mmsteer.recipes.checks import check_recipe
from mmsteer.recipes.contrasts import samples_of
from mmsteer.recipes.costs import costs
from mmsteer.recipes.experiment import held_by_worker, prepare
from mmsteer.recipes.folder import CHUNKS
from mmsteer.recipes.run import run
from mmsteer.report import write_report
from mmsteer.report.run_data import read_run
from mmsteer.workers import opened
from tests.adapters.checkpoints import save
from tests.conftest import planted
from tests.recipes.rows.recipe import PROMPTS, write, write_recipe, write_rows
from tests.report.html import Page


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return save("llama", tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def chatting(tmp_path_factory):
    """The same model with a chat template."""
    folder = save("llama", tmp_path_factory.mktemp("chatting"))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = "{% for message in messages %}{{ message.content }} {% endfor %}"
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory, llama):
    place = tmp_path_factory.mktemp("rows")
    write_rows(place)
    return run(prepare(write_recipe(place, llama)), place / "run", progress=False)


def lines(folder):
    return [json.loads(line) for line in (folder.path / "samples.jsonl").read_text().splitlines()]


def test_the_words_of_the_first_answers_have_the_push_that_each_was_chosen_at(finished):
    traces, said = (
        finished.read("traces.json"),
        {(one["condition"], one["example"]): one["text"] for one in lines(finished)},
    )
    for name, found in traces.items():
        assert {int(at) for at in found["words"]} == {at for one, at in said if one == name and said[one, at]}
        for at, pushes in found["words"].items():
            assert len(pushes) == len(said[name, int(at)].split())
            assert all(push > 0 for push in pushes)


def test_every_output_is_kept_with_what_it_adds_to_each_metric(finished):
    found = lines(finished)
    assert {one["condition"] for one in found} >= {"unsteered"}
    assert len(found) == 4 * len(finished.read("conditions.json"))
    for one in found:
        scores = one["scores"]
        assert scores["cups"] == [float("cup" in one["text"].split()), 1.0] or not one["text"].strip()
        assert scores["length"] == [len(one["text"].split()), 1.0]
        assert scores["blank"] == [float(not one["text"].strip()), 1.0]
        assert scores["surprise"] == one["surprise"]
        assert scores["options"] == [float(one["right"]), 1.0]


def test_scores_are_sums_over_rows_beside_every_control(finished):
    (row,) = finished.read("scores.json")["rows"]
    mine = [one for one in lines(finished) if one["condition"] == row["condition"]]
    found = row["metrics"]
    assert found["length"]["steered"]["value"] == pytest.approx(np.mean([one["scores"]["length"][0] for one in mine]))
    above, below = np.sum([one["surprise"] for one in mine], axis=0)
    assert found["surprise"]["steered"]["value"] == pytest.approx(above / below)
    assert found["surprise"]["steered"]["n"] == sum(one["surprise"][1] > 0 for one in mine)
    for kind in ("unsteered", "random", "shuffled", "against_random", "against_shuffled"):
        assert found["length"][kind]["value"] is not None


def test_steering_changes_outputs_and_strength_zero_none(tmp_path, llama):
    write_rows(tmp_path)
    # An untrained model is nearly indifferent between words: noise would drown what steering changes.
    some = {"strength: [1.0, 4.0]": "strength: [0.0, 80.0]"}
    recipe = write_recipe(tmp_path, llama, generate="tokens: 4, temperature: 0.0", **some)
    recipe.write_text("\n".join(one for one in recipe.read_text().splitlines() if not one.startswith("choose")))
    folder = run(prepare(recipe), tmp_path / "run", progress=False)
    texts = {}
    for one in lines(folder):
        texts.setdefault(one["condition"], []).append(one["text"])
    assert texts["at 0.0"] == texts["unsteered"]
    assert texts["at 80.0"] != texts["unsteered"]


def test_a_recipe_steers_the_heads_with_the_best_scores(tmp_path, llama):
    write_rows(tmp_path)
    line = {'{strength}"]': '{strength}std on text.0-2.head.* weights top(2)"]', "[1.0, 4.0]": "[2.0]"}
    recipe = write_recipe(tmp_path, llama, **{"text.1-2": "text.0-2.head.*"} | line)
    folder = run(prepare(recipe), tmp_path / "run", progress=False)
    scores = folder.read("probe.json")[0]["rows"]
    assert [one["site"] for one in scores] == [f"text.{layer}.head.{head}" for layer in range(3) for head in range(2)]
    (receipt,) = (one for name, one in folder.read("receipts.json").items() if name == "at 2.0")
    best = sorted(scores, key=lambda one: -one["labels"]["yes"])[:2]
    assert set(receipt["sites"]) == {one["site"] for one in best}
    (row,) = folder.read("scores.json")["rows"]
    assert row["metrics"]["length"]["against_random"]["value"] is not None


def test_a_run_goes_on_where_it_stood(tmp_path, llama, finished):
    write_rows(tmp_path)
    experiment = prepare(write_recipe(tmp_path, llama))
    folder = tmp_path / "run"
    run(experiment, folder, progress=False)
    first = {name: (folder / name).read_bytes() for name in ("samples.jsonl", "scores.json")}
    kept = (folder / "samples.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "samples.jsonl").write_bytes(b"".join(kept[:5]))
    state = json.loads((folder / "run.json").read_text()) | {"finished": False}
    (folder / "run.json").write_text(json.dumps(state))
    run(prepare(write_recipe(tmp_path, llama)), folder, progress=False)
    again = {name: (folder / name).read_bytes() for name in first}
    assert sorted(again["samples.jsonl"].splitlines()) == sorted(first["samples.jsonl"].splitlines())
    assert again["scores.json"] == first["scores.json"]


def test_the_run_depends_on_what_the_rows_say(tmp_path, llama):
    write_rows(tmp_path)
    recipe = write_recipe(tmp_path, llama)
    before = prepare(recipe).id
    assert prepare(recipe).id == before
    asked = {"prompt": "describe a cup", "answer": "yes", "options": ["yes", "no"]}
    write(tmp_path / "test.jsonl", [asked])
    assert prepare(recipe).id != before


def test_the_page_opens_with_outputs(finished):
    found = read_run(finished.path)
    assert found.kind == "rows"
    assert found.goal.name == "cups"
    assert len(found.outputs) == len(found.conditions) * 4
    html = write_report(finished.path).read_text()
    page = Page(html)
    assert html.index('id="answers"') < html.index('id="scores"')
    for text in (
        *PROMPTS[2:],
        "direction of shuffled labels",
        "cups",
        "Share of answers that contain one of the texts",
    ):
        assert text in page.words


def test_words_that_steering_brought_are_marked(tmp_path, finished):
    for_copy = tmp_path / "run"
    for_copy.mkdir()
    for file in finished.path.iterdir():
        if file.is_file():
            (for_copy / file.name).write_bytes(file.read_bytes())
    name = finished.read("scores.json")["rows"][0]["condition"]
    changed = []
    for one in lines(finished):
        text = {"unsteered": "a red cup", name: "a blue <b>cup</b>"}.get(one["condition"], one["text"])
        changed.append(json.dumps(one | {"text": text}))
    (for_copy / "samples.jsonl").write_text("\n".join(changed) + "\n")
    html = write_report(for_copy).read_text()
    assert '<mark class="changed">blue &lt;b&gt;cup&lt;/b&gt;</mark>' in html
    assert "<b>cup" not in html


def test_images_are_shown(tmp_path):
    llava = save("llava", tmp_path / "llava")
    for place in range(6):
        Image.new("RGB", (20, 30), (40 * place, 0, 0)).save(tmp_path / f"{place}.png")
    rows = [{"prompt": "describe the image", "image": f"{place}.png", "id": f"p{place}"} for place in range(6)]
    pairs = [row | {"id": f"{row['id']}{a}", "answer": f"a {a}", "label": a} for row in rows for a in ("yes", "no")]
    write(tmp_path / "train.jsonl", pairs)
    write(tmp_path / "test.jsonl", rows[:3])
    recipe = write_recipe(tmp_path, llava, kind="image", score="{cups: 'contains:cup', length: length}")
    recipe.write_text("\n".join(one for one in recipe.read_text().splitlines() if not one.startswith("choose")))
    folder = run(prepare(recipe), tmp_path / "run", progress=False)
    assert sorted(file.name for file in (folder.path / "images").iterdir()) == [f"0000{n}-0.png" for n in range(3)]
    page = Page(write_report(folder.path).read_text())
    assert {one["src"] for one in page.all("img")} == {f"images/0000{n}-0.png" for n in range(3)}


def test_audio_of_ones_own(tmp_path, musicgen_folder):
    random = np.random.default_rng(0)
    for label in ("no", "yes"):
        (tmp_path / "clips" / label).mkdir(parents=True)
        for place in range(6):
            clip = tmp_path / "clips" / label / f"{place}.wav"
            soundfile.write(clip, random.standard_normal(8000), 8000, "FLOAT")
            # An untrained codec hears no difference between clips; their prompts make one.
            clip.with_suffix(".txt").write_text({"no": "a slow piano", "yes": "a fast flute melody"}[label])
    write(tmp_path / "test.jsonl", [{"prompt": p} for p in ("a slow piano", "a fast flute")])
    recipe = write_recipe(
        tmp_path,
        musicgen_folder,
        kind="music",
        stack="decoder",
        score='{"C": "note:C", voiced: voiced}',
        generate="seconds: 0.3, temperature: 1.0",
        **{"train.jsonl": "clips"},
    )
    recipe.write_text("\n".join(one for one in recipe.read_text().splitlines() if not one.startswith("choose")))
    folder = run(prepare(recipe), tmp_path / "run", progress=False)
    made = [one for one in lines(folder) if one["condition"] == "at 1.0"]
    assert soundfile.info(folder.path / made[0]["audio"]).frames == 4800
    assert made[0]["scores"]["voiced"] == [made[0]["readings"]["notes"]["voiced"], 1.0]
    assert folder.read("scores.json")["rows"][0]["metrics"]["C"]["chance"] == pytest.approx(1 / 12)
    page = Page(write_report(folder.path).read_text())
    assert len(page.all("audio")) == 2 * 4 * 2


def test_rows_that_continue_clips_of_any_length(tmp_path, musicgen_folder, musicgen):
    save_directions(tmp_path / "said.safetensors", [planted(musicgen, "said:yes", [1])])
    random = np.random.default_rng(0)
    for place, frames in enumerate((3, 5, 5)):
        soundfile.write(tmp_path / f"{place}.wav", 0.1 * random.standard_normal(320 * frames), 16000, "FLOAT")
    write(tmp_path / "test.jsonl", [{"prompt": "a slow piano", "continue": f"{place}.wav"} for place in range(3)])
    recipe = write_recipe(
        tmp_path,
        musicgen_folder,
        kind="music",
        stack="decoder",
        score="{voiced: voiced}",
        generate="seconds: 0.3, temperature: 1.0",
    )
    text = recipe.read_text()
    found = text[text.index("  - family: said") : text.index("data: {files: test.jsonl}")]
    text = text.replace(found, "  - file: said.safetensors\n").replace("shuffled: true", "shuffled: false")
    recipe.write_text("\n".join(one for one in text.splitlines() if not one.startswith("choose")))
    experiment = prepare(recipe)
    folder = run(experiment, tmp_path / "run", progress=False)
    made = [one for one in lines(folder) if one["condition"] == "at 1.0"]
    assert [soundfile.info(folder.path / one["audio"]).frames for one in made] == [4800] * 3
    soundfile.write(tmp_path / "0.wav", np.zeros(960), 16000, "FLOAT")
    assert prepare(recipe).id != experiment.id  # another clip is another experiment


SYSTEMS = """    data:
      prompts: {files: val.jsonl}
      systems: {yes: is there, no: describe the}
      generate: {tokens: 3, temperature: 1.0, batch: 2}
      seed: 0
"""
REWARDED = """    data:
      prompts: {files: test.jsonl}
      reward: "not contains:e"
      samples: 6
      generate: {tokens: 3, temperature: 1.0, batch: 5}
      seed: 0
"""


def entry_of(tmp_path, llama, data):
    write_rows(tmp_path)
    recipe = write_recipe(tmp_path, llama, **{"    data: {files: train.jsonl}\n": data})
    return check_recipe(recipe).recipe.directions[0]


def test_answers_under_system_prompts_are_read_without_them(tmp_path, chatting):
    entry = entry_of(tmp_path, chatting, SYSTEMS)
    found = samples_of(entry.data, load(chatting))
    assert found.labels == ("yes", "yes", "no", "no")
    assert [one.prompt for one in found.samples] == PROMPTS[:2] * 2
    assert found.groups == ("1", "2", "1", "2")
    assert all(isinstance(one.output, str) for one in found.samples)
    again = samples_of(entry.data, load(chatting))
    assert [one.output for one in found.samples] == [one.output for one in again.samples]


def test_own_outputs_are_split_by_a_reward(tmp_path, llama):
    entry = entry_of(tmp_path, llama, REWARDED)
    found = samples_of(entry.data, load(llama))
    assert [label == "no" for label in found.labels] == ["e" in one.output for one in found.samples]
    assert len(set(found.groups)) == 4
    shuffled = samples_of(entry.data, load(llama), "shuffled", 3)
    assert sorted(shuffled.labels) == sorted(found.labels)
    assert shuffled.labels != found.labels


def test_a_reward_that_is_never_earned_is_an_error(tmp_path, llama):
    entry = entry_of(tmp_path, llama, REWARDED.replace("not contains:e", "contains:zebra"))
    with pytest.raises(Exception, match=r"contains:zebra: 0 of \d+ outputs earn the reward"):
        samples_of(entry.data, load(llama))


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        ({"test.jsonl": "gone.jsonl"}, r"data: .*gone\.jsonl"),
        ({"contains:cup": "containz:cup"}, "no reward 'containz:cup'"),
        ({"val.jsonl": "test.jsonl"}, "are among the test's rows too; the test may choose nothing"),
        ({"maximise: cups": "maximise: cup"}, "no metric 'cup', did you mean 'cups'"),
        ({"said:yes {strength}": "said:maybe {strength}"}, "no direction 'said:maybe'"),
        ({"temperature: 1.0": "temperature: -1"}, "greater than or equal to 0"),
        ({"tokens: 4, ": "tokens: 4, seconds: 2.0, "}, "one of the two"),
        (
            {"{files: train.jsonl}": "{concept: note, clips: 5, seed: 0, text: none}", "said:yes": "said:C"},
            "makes no music",
        ),
        (
            {"{files: train.jsonl}": "{contrast: mentions, seed: 0, scenes: {n: 4, split: demos, seed: 0}}"},
            "sees no images",
        ),
        ({"said:yes {strength}": "said:yes {strength} at image"}, "no token of the stack text is ever at 'image'"),
    ],
)
def test_what_is_wrong_is_said_before_any_compute(tmp_path, llama, replaced, message, monkeypatch):
    write_rows(tmp_path)
    monkeypatch.setattr("mmsteer.recipes.run.run", lambda *_: pytest.fail("it ran"))
    recipe = write_recipe(tmp_path, llama, **replaced)
    with pytest.raises(RecipeError, match=message):
        prepare(recipe)


def test_problems_of_rows_have_their_lines_in_the_recipes_error(tmp_path, llama):
    write_rows(tmp_path)
    write(tmp_path / "train.jsonl", [{"prompt": "a", "label": "x"}, {"answer": "y", "label": "x"}])
    with pytest.raises(RecipeError, match=r"train\.jsonl:2: the row has no text"):
        check_recipe(write_recipe(tmp_path, llama))


@pytest.mark.parametrize(
    ("measure", "keys", "given"),
    [
        ("exact", "`answer`", {"answer": "yes"}),
        ("not choice", "`answer` and `options`", {"answer": "yes", "options": ["yes", "no"]}),
        ("right_choice", "`answer` and `options`", {"answer": "yes", "options": ["yes", "no"]}),
        ("options", "`answer` and `options`", {"answer": "yes", "options": ["yes", "no"]}),
        ("grounded", "`objects`", {"objects": []}),
    ],
)
def test_a_metric_that_no_row_can_be_scored_by_is_refused(tmp_path, llama, measure, keys, given):
    write_rows(tmp_path)
    recipe = write_recipe(tmp_path, llama, score=f"{{cups: 'contains:cup', one: {measure}}}")
    plain = [{"prompt": "the table"}, {"prompt": "the cup"}]
    write(tmp_path / "test.jsonl", plain)
    with pytest.raises(RecipeError, match=f"score.one: no row has {keys}, which '{measure}' compares with"):
        check_recipe(recipe)
    write(tmp_path / "test.jsonl", [plain[0], plain[1] | given])
    check_recipe(recipe)


def test_a_missing_file_is_named_in_both_places_where_it_was_looked_for(tmp_path, llama, monkeypatch):
    home = tmp_path / "of the recipe"
    home.mkdir()
    write_rows(home)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError) as raised:
        check_recipe(write_recipe(home, llama, **{"test.jsonl": "gone.jsonl"}))
    here, beside = tmp_path / "gone.jsonl", home / "gone.jsonl"
    assert f"{here}: cannot be read" in str(raised.value)
    assert f"beside the recipe there is no {beside} either" in str(raised.value)
    assert "train.jsonl" not in str(raised.value)


def test_a_scorer_of_another_kind_of_output_is_refused(tmp_path, llama, musicgen_folder):
    write_rows(tmp_path)
    with pytest.raises(RecipeError, match="no reward 'contains:cup' of audio"):
        prepare(write_recipe(tmp_path, musicgen_folder, stack="decoder", generate="seconds: 0.3, temperature: 1.0"))


def dying(marker, start):
    """What a worker has; the first one dies before it has it."""
    try:
        marker.touch(exist_ok=False)
    except FileExistsError:
        return start()
    os.kill(os.getpid(), signal.SIGKILL)
    return None


def content(folder):
    """Every file, byte for byte, but for the seconds that fitting took."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in (".lock", "report.html")]
    found = {str(path.relative_to(folder)): path.read_bytes() for path in files}
    del found["times.json"]
    digests = found["digests.txt"].splitlines()
    return found | {"digests.txt": [line for line in digests if not line.endswith((b"  times.json", b"  *"))]}


def test_workers_make_the_very_folder_though_one_dies(finished, tmp_path):
    recipe = str(finished.path.parent / "tiny.yaml")
    experiment = prepare(recipe, (), "cpu")
    start = partial(dying, tmp_path / "died", partial(held_by_worker, recipe, (), os.getcwd(), experiment.id))
    with opened("2", start) as workers:
        made = run(experiment, tmp_path / "run", workers=workers, progress=False)
    assert (tmp_path / "died").exists()
    assert content(made.path) == content(finished.path)


def test_a_worker_of_another_run_is_refused(finished):
    recipe = str(finished.path.parent / "tiny.yaml")
    with pytest.raises(WorkerError, match=f"is the run {finished.id}, not 0123456789: mmsteer, its libraries"):
        held_by_worker(recipe, (), os.getcwd(), "0123456789")
    with pytest.raises(WorkerError, match="has no folder /nowhere/at/all"):
        held_by_worker(recipe, (), "/nowhere/at/all", finished.id)


def test_a_plan_counts_what_a_run_makes(finished, mmsteer):
    recipe = finished.path.parent / "tiny.yaml"
    found = costs(prepare(recipe), 36.0)
    parts = {one.what: one for one in found.parts}
    chosen = (finished.path / "validation" / CHUNKS).read_text().splitlines()
    assert parts["generate and judge"].pieces == len(finished.lines(CHUNKS))
    assert parts["generate and judge"].samples == len(lines(finished))
    assert parts["generate and judge"].tokens == 4 * len(lines(finished))
    assert parts["generate and judge to choose"].pieces == len(chosen)
    # Twelve answers and the same with shuffled labels, at two blocks of width 32 in float32.
    assert (parts["read for said"].samples, parts["read for said"].pieces) == (24, 2)
    assert parts["read for said"].bytes == 24 * 2 * 32 * 4
    assert found.hours(1) == pytest.approx(0.01 + sum(one.pieces * one.seconds / 3600 for one in found.parts))
    # Three batches are two for the busier of two workers.
    assert parts["generate and judge"].hours(2) < 0.8 * parts["generate and judge"].hours(1)
    code, out, _ = mmsteer("plan", recipe, "--workers", 2)
    assert code == 0
    assert "generate and judge" in out
    assert "hours with 2 workers" in out
