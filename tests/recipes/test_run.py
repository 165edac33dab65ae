"""Runs of a small recipe on the tiny random model: what is left on disk, and what a kill leaves."""

import json
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

from mmsteer.direction_file import load_directions, save_directions
from mmsteer.errors import RecipeError
from mmsteer.recipes.experiment import prepare
from mmsteer.recipes.folder import SAMPLES, RunFolder
from mmsteer.recipes.run import run
from mmsteer.types import Site
from tests.conftest import planted
from tests.recipes.recipe import write_recipe

FILES = ("recipe.yaml", "environment.json", "conditions.json", "examples.json", "probe.json", "doses.json")
RESULTS = ("samples.jsonl", "receipts.json", "scores.json", "traces.json", *FILES)
SCRIPT = """
import sys, torch
from pathlib import Path
torch.set_num_threads(1)
from mmsteer.recipes.experiment import prepare
from mmsteer.recipes.run import run
run(prepare(sys.argv[1]), Path(sys.argv[2]), progress=False)
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory, musicgen_folder):
    return write_recipe(tmp_path_factory.mktemp("recipe"), musicgen_folder)


@pytest.fixture(scope="module")
def experiment(recipe):
    return prepare(recipe)


@pytest.fixture(scope="module")
def finished(experiment, tmp_path_factory):
    return run(experiment, tmp_path_factory.mktemp("runs") / "one", progress=False)


def contents(folder):
    """Every file of results, byte for byte; of the directions the numbers, as safetensors shuffles its header."""
    directions = load_directions(folder / "directions.safetensors")
    numbers = {
        (name, site): vector.numpy().tobytes()
        for name, one in directions.items()
        for site, vector in one.vectors.items()
    }
    return {name: (folder / name).read_bytes() for name in RESULTS} | {"directions": numbers}


def test_everything_that_ran_is_stated(finished, recipe, experiment):
    assert len(contents(finished.path)["directions"]) == 12 * 2
    assert finished.read("run.json") == {"id": experiment.id, "name": "tiny", "finished": True}
    assert prepare(finished.path / "recipe.yaml").id == experiment.id
    stated = finished.read("environment.json")
    assert stated["model"]["fingerprint"] == experiment.adapter.fingerprint
    assert not (finished.path / "recordings").exists()


def test_every_clip_is_audio_and_has_a_line(finished):
    lines = finished.lines(SAMPLES)
    kinds = {row["name"]: row["kind"] for row in finished.read("conditions.json")}
    assert sorted(kinds.values()) == ["random", "steered", "steered", "unsteered"]
    assert {(line["condition"], line["example"]) for line in lines} == {(c, p) for c in kinds for p in range(3)}
    for line in lines:
        info = soundfile.info(finished.path / line["audio"])
        assert (info.format, info.subtype, info.frames) == ("FLAC", "PCM_16", 15 * 320)


def test_the_seed_of_a_prompt_is_the_same_everywhere(finished):
    seeds = {line["example"]: line["seed"] for line in finished.lines(SAMPLES)}
    assert len(set(seeds.values())) == 3
    assert all(seeds[line["example"]] == line["seed"] for line in finished.lines(SAMPLES))


def test_scores_stand_beside_their_controls(finished):
    scores = finished.read("scores.json")
    assert [row["condition"] for row in scores["rows"]] == ["C at 0.5", "F# at 0.5"]
    found = scores["rows"][0]["metrics"]["note.share"]
    assert found["chance"] == pytest.approx(1 / 12)
    for key, name in (("steered", "C at 0.5"), ("unsteered", "unsteered")):
        shares = [_share(line, "C") for line in finished.lines(SAMPLES) if line["condition"] == name]
        known = [value for value in shares if value is not None]
        assert found[key]["n"] == len(known)
        assert found[key]["value"] == (pytest.approx(np.mean(known)) if known else None)
    (summary,) = scores["summaries"]
    assert summary["conditions"] == ["C at 0.5", "F# at 0.5"]
    pooled = summary["metrics"]["note.hit"]["steered"]
    assert pooled["n"] + pooled["unscored"] == 6


def _share(line, note):
    share = line["readings"]["notes"]["share"]
    return share and share[note]


def test_receipts_count_what_was_applied(finished):
    receipts = finished.read("receipts.json")
    assert receipts["unsteered"]["tokens"] == 0
    steered = receipts["C at 0.5"]
    assert set(steered["sites"]) == {"decoder.1", "decoder.2"}
    assert steered["calls"] == 2
    assert steered["rows"] == 2 * 3
    assert 0 < steered["ratio"] < 0.5
    assert steered["kl"] > 0


def test_traces_hold_the_schedule(finished):
    (attribute,) = finished.read("traces.json")["C at 0.5"]["attributes"]
    assert attribute["label"] == "C"
    strength = attribute["schedule"]["strength"]
    assert len(strength) == 15
    assert strength[0] == 0
    assert strength[7] == pytest.approx(0.5 * 7 / 15, abs=1e-6)
    assert len(attribute["played"]["share"]) == len(attribute["played"]["times_s"])


def test_running_again_repeats_nothing(finished, experiment, monkeypatch):
    before = contents(finished.path)
    monkeypatch.setattr(experiment.adapter, "generate", None)
    run(experiment, finished.path, progress=False)
    assert contents(finished.path) == before


def test_a_torn_line_and_lost_scores_are_mended(finished, experiment, tmp_path):
    folder = tmp_path / "torn"
    shutil.copytree(finished.path, folder)
    lines = (folder / SAMPLES).read_bytes()
    (folder / SAMPLES).write_bytes(lines[: len(lines) // 2])
    state = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(state | {"finished": False}))
    (folder / "scores.json").unlink()
    run(experiment, folder, progress=False)
    assert contents(folder) == contents(finished.path)


def begun(finished, parent):
    """A run that has found its directions and nothing more."""
    folder = parent / "begun"
    folder.mkdir()
    for name in ("recipe.yaml", "environment.json", "examples.json", "probe.json", "directions.safetensors"):
        shutil.copy(finished.path / name, folder)
    (folder / "run.json").write_text(json.dumps(finished.read("run.json") | {"finished": False}))
    return folder


class _Crash(Exception):
    pass


@pytest.mark.parametrize("writes", [1, 4, 7])
def test_a_crash_at_a_write_changes_nothing(finished, experiment, tmp_path, monkeypatch, writes):
    """The n-th addition to a log fails: before the first clips, between audio and judgement, among the conditions."""
    append, left = RunFolder.append, [writes]

    def failing(self, log, lines):
        left[0] -= 1
        if not left[0]:
            raise _Crash
        append(self, log, lines)

    folder = begun(finished, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "append", failing)
        with pytest.raises(_Crash):
            run(experiment, folder, progress=False)
    run(experiment, folder, progress=False)
    assert contents(folder) == contents(finished.path)


def test_a_killed_run_finishes_with_the_same_results(finished, recipe, experiment, tmp_path):
    folder = tmp_path / "killed"
    child = subprocess.Popen([sys.executable, "-c", SCRIPT, str(recipe), str(folder)])
    deadline = time.monotonic() + 300
    while not (folder / SAMPLES).exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    child.wait()
    state = json.loads((folder / "run.json").read_text())
    assert not state["finished"]
    run(experiment, folder, progress=False)
    assert contents(folder) == contents(finished.path)
    audio = [path.relative_to(folder) for path in sorted(folder.rglob("*.flac"))]
    assert len(audio) == 12
    assert all((folder / path).read_bytes() == (finished.path / path).read_bytes() for path in audio)


def test_the_machine_that_a_run_goes_on_on_is_not_the_one_that_it_began_on(finished, experiment, tmp_path, monkeypatch):
    folder = shutil.copytree(finished.path, tmp_path / "run")
    (folder / "run.json").write_text(json.dumps(finished.read("run.json") | {"finished": False}))
    monkeypatch.setattr("mmsteer.recipes.environment.platform.system", lambda: "Another")
    run(experiment, folder, progress=False)
    assert contents(folder) == contents(finished.path)


@pytest.mark.parametrize("override", ["generate.guidance=2", "seed=1", "conditions.0.budget=0.2", "data.0=flute"])
def test_any_change_is_another_run(recipe, experiment, finished, override):
    other = prepare(recipe, [override])
    assert other.id != experiment.id
    with pytest.raises(RecipeError, match="another run"):
        run(other, finished.path, progress=False)


def test_a_folder_of_something_else_is_left_alone(experiment, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(RecipeError, match="not empty"):
        run(experiment, tmp_path, progress=False)
    with pytest.raises(RecipeError, match="is a file"):
        run(experiment, tmp_path / "thesis.txt", progress=False)


def test_two_processes_cannot_share_a_folder(experiment, tmp_path):
    folder = RunFolder.open(tmp_path / "x", experiment.id, "tiny")
    with folder.locked(), pytest.raises(RecipeError, match="another process"):
        run(experiment, tmp_path / "x", progress=False)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("generate.seconds=0.001", "cannot be generated"),
        ("generate.seconds=100", "cannot be generated"),
        ("directions.0.sites=decoder.9", "no such site"),
        ("conditions.0.steer=['note:C 1 on decoder.3']", "was not found there"),
        ("conditions.0.steer=['note:C 1 exponential(0s..1s, 1e300, 0.001s)']", "grows beyond"),
    ],
)
def test_what_does_not_fit_the_model_stops_before_any_compute(recipe, override, words):
    with pytest.raises(RecipeError, match=words):
        prepare(recipe, [override])


def test_directions_of_a_file_are_used_and_checked(recipe, experiment, tmp_path):
    mine = planted(experiment.adapter, "mine:up", [0, 3])
    save_directions(recipe.parent / "mine.safetensors", [mine])
    lines = [
        "directions=[{file: mine.safetensors}]",
        "conditions=[{name: up, steer: ['mine:up 0.1']}]",
        "data=[piano]",
    ]
    folder = run(prepare(recipe, lines), tmp_path / "mine", progress=False)
    assert load_directions(folder.path / "directions.safetensors").keys() == {"mine:up"}
    assert folder.read("probe.json") == []
    assert set(folder.read("receipts.json")["up"]["sites"]) == {"decoder.0", "decoder.3"}
    foreign = planted(experiment.adapter, "mine:up", [0])
    object.__setattr__(foreign, "model", "0" * 16)
    save_directions(recipe.parent / "foreign.safetensors", [foreign])
    with pytest.raises(RecipeError, match="was found in model"):
        prepare(recipe, ["directions=[{file: foreign.safetensors}]", *lines[1:]])
    accepted = ["directions=[{file: foreign.safetensors, compatibility: dimension}]", *lines[1:]]
    folder = run(prepare(recipe, accepted), tmp_path / "foreign", progress=False)
    receipts = folder.read("receipts.json")
    assert receipts["up"]["compatibility"] == receipts["random 1 as up"]["compatibility"] == "dimension"


def test_strengths_are_calibrated_to_a_divergence(recipe, tmp_path):
    lines = ["conditions=[{name: up, steer: ['note:C 0.1'], calibrate: {kl: 0.01}}]", "controls.random=1"]
    folder = run(prepare(recipe, lines), tmp_path / "dose", progress=False)
    factor = folder.read("doses.json")["up"]["factor"]
    receipts = folder.read("receipts.json")
    assert receipts["up"]["ratio"] == pytest.approx(0.1 * factor, rel=0.5)
    assert receipts["random 1 as up"]["ratio"] == pytest.approx(receipts["up"]["ratio"], rel=0.2)


def test_prompts_of_the_world_are_scored_by_name_and_for_targets_beside_shuffled_labels(recipe, tmp_path):
    lines = [
        "data={world: {n: 2, seed: 1, state: [tempo]}}",
        "score={told: tempo, voiced: voiced}",
        "evaluate=[notes, adherence]",
        "controls={unsteered: true, random: 0, shuffled: true}",
        "conditions.0.sweep.note=[C]",
    ]
    folder = run(prepare(recipe, lines), tmp_path / "both", progress=False)
    (row,) = folder.read("scores.json")["rows"]
    assert list(row["metrics"]) == ["told", "voiced", "note.hit", "note.share", "adherence"]
    # A metric by name reads the truth of the world's prompts, as adherence to the tempo alone does.
    assert row["metrics"]["told"]["steered"] == row["metrics"]["adherence"]["steered"]
    assert "against_shuffled" in row["metrics"]["note.hit"]
    found, control = (load_directions(folder.path / f"{name}.safetensors") for name in ("directions", "shuffled"))
    assert found.keys() == control.keys()
    assert float(found["note:C"].vectors[Site("decoder", 1)] @ control["note:C"].vectors[Site("decoder", 1)]) < 0.99
    assert [one["prompt"] != "" for one in folder.read("examples.json")] == [True, True]


def test_paper_settings_run_end_to_end(musicgen_folder, tmp_path):
    """RFM search, weighted layers, gates and absolute strength, with fewer clips, draws and seconds."""
    ranges = "{bandwidth: [1.0, 100.0], exponent: [0.7, 1.4], ridge: [1.0e-5, 10.0], centre: [false, true]}"
    probe = f"{{name: rfm, seed: 0, draws: 2, iterations: 2, ranges: {ranges}, settings: [], unit: median}}"
    lines = [
        f"model={{load: {musicgen_folder}, device: cpu, dtype: float32}}",
        f"directions.0.probe={probe}",
        "directions.0.data={concept: note, clips: 8, seed: 0, text: prompt}",
        "data=[piano]",
        "generate.seconds=0.3",
        "conditions.0.sweep.note=[C]",
        "conditions.0.sweep.eta=[0.6]",
    ]
    folder = run(prepare("musicrfm-large", lines), tmp_path / "paper", progress=False)
    (line,) = folder.read("receipts.json")["C at 0.6"]["attributes"]
    assert line == "note:C 0.6abs bernoulli(0.3, 0) weights power(0.95)"
    assert folder.read("probe.json")[0]["probe"] == "rfm"


def test_a_run_depends_on_the_judge_of_instruments(musicgen_folder, tmp_path, monkeypatch):
    recipe = write_recipe(tmp_path, musicgen_folder)
    before = prepare(recipe).id
    other = tmp_path / "judge.json"
    other.write_text("{}")
    monkeypatch.setattr("mmsteer.recipes.forms.JUDGE", other)
    assert prepare(recipe).id != before
