"""The command line, as a stranger types it."""

import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from mmsteer.direction_file import save_directions
from tests.conftest import planted
from tests.recipes.recipe import write_recipe

STEERED = ["generate", "--prompt", "x", "--out", "x.wav", "--steer", "note:C 1"]


@pytest.fixture
def tone(tmp_path):
    """A second of A, 440 Hz, with harmonics."""
    time_s = np.arange(16000 * 2) / 16000
    wave = sum(0.3 / k * np.sin(2 * np.pi * 440 * k * time_s) for k in (1, 2, 3))
    soundfile.write(tmp_path / "a.wav", wave, 16000)
    return tmp_path / "a.wav"


def test_help_needs_no_torch():
    script = "import sys; from mmsteer.cli import app\ntry: app(['--help'])\nexcept SystemExit: pass\n"
    script += "print([m for m in ('torch', 'transformers', 'numpy', 'pydantic') if m in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert all(word in done.stdout for word in ("run", "recipes", "generate", "probe", "search", "eval", "report"))


def test_a_recipe_is_checked_without_what_runs_models():
    slow = ("sklearn", "scipy.stats", "scipy.signal", "torch._dynamo", "transformers", "huggingface_hub", "librosa")
    script = "import sys; from mmsteer.cli import app\n"
    script += "for name in ('one-note', 'hallucination'):\n"
    script += "    try: app(['recipes', 'check', name])\n    except SystemExit: pass\n"
    script += f"print([m for m in {slow} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert [line[:3] for line in done.stdout.splitlines()] == ["ok:", "ok:", "[]"]


@pytest.mark.parametrize(
    "command", [["run"], ["recipes"], ["recipes", "copy"], ["generate"], ["probe"], ["search"], ["eval", "notes"]]
)
def test_help_teaches_by_example(mmsteer, command):
    code, out, _ = mmsteer(*command, "--help")
    assert code == 0
    assert command == ["recipes"] or "mmsteer" in out.split("Usage", 1)[1].split("\n", 1)[1]


def test_misspelt_workers_are_refused_before_anything_is_loaded(mmsteer, monkeypatch):
    monkeypatch.setattr("mmsteer.recipes.experiment.load_named", lambda *_, **__: pytest.fail("it was loaded"))
    code, _, err = mmsteer("run", "one-note", "--workers", "four")
    assert code == 2
    assert "cannot read the workers 'four'; write a number of processes" in err


def test_recipes_are_listed(mmsteer):
    code, out, _ = mmsteer("recipes", "list")
    assert code == 0
    assert "one-note" in out
    assert "musicrfm-large" in out


def test_a_copy_never_overwrites(mmsteer, tmp_path):
    target = tmp_path / "mine.yaml"
    assert mmsteer("recipes", "copy", "one-note", target)[0] == 0
    target.write_text("changed")
    code, _, err = mmsteer("recipes", "copy", "one-note", target)
    assert code == 2
    assert "not overwritten" in err
    assert target.read_text() == "changed"


def test_check_says_ok_or_everything(mmsteer, tmp_path):
    path = write_recipe(tmp_path)
    assert mmsteer("recipes", "check", path)[1] == "ok: tiny, 2 conditions\n"
    code, _, err = mmsteer("recipes", "check", path, "generate.secnds=1", "seed=x")
    assert code == 2
    assert "did you mean 'seconds'" in err
    assert "command line, seed=x: seed" in err
    assert "Traceback" not in err


def test_the_schema_is_json(mmsteer):
    assert json.loads(mmsteer("recipes", "schema")[1])["title"] == "mmsteer recipe"


def test_notes_as_json(mmsteer, tone):
    code, out, _ = mmsteer("eval", "notes", tone, "--json")
    assert code == 0
    (row,) = json.loads(out)["files"]
    assert set(row) == {"file", "share", "main_note", "voiced", "mix"}
    assert row["main_note"] == "A"
    assert sum(row["share"].values()) == pytest.approx(1)
    assert len(row["share"]) == 12


def test_notes_beside_a_target(mmsteer, tone):
    (row,) = json.loads(mmsteer("eval", "notes", tone, "--target", "A", "--json")[1])["files"]
    assert row["hit"] is True
    assert "A 100%" in mmsteer("eval", "notes", tone)[1]


@pytest.mark.parametrize("evaluator", ["chords", "register", "tempo", "key"])
def test_other_evaluators(mmsteer, tone, evaluator):
    code, out, _ = mmsteer("eval", evaluator, tone, "--json")
    assert code == 0
    (row,) = json.loads(out)["files"]
    assert row["file"] == str(tone)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "nothing"], "no recipe 'nothing'"),
        (["eval", "notes", "nothing.wav"], "no such audio file"),
        (["eval", "notes", "nothing.wav", "--target", "H"], "no pitch class 'H'"),
        (["generate", "--prompt", "piano", "--out", "x.txt"], "choose .wav or .flac"),
        (["generate", "--prompt", "piano", "--out", "/nowhere/x.wav"], "no folder"),
        (
            ["generate", "--prompt", "x", "--steer", "a 1", "--directions", "no.safetensors", "--out", "x.wav"],
            "no.safe",
        ),
        (
            ["generate", "--prompt", "x", "--steer", "note:C 1", "--model", "some/model", "--out", "x.wav"],
            "mmsteer probe",
        ),
    ],
)
def test_errors_are_one_line_and_exit_code_2(mmsteer, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    code, _, err = mmsteer(*words)
    assert code == 2
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1


def test_probe_then_generate(mmsteer, musicgen_folder, tmp_path):
    file, wave = tmp_path / "note.safetensors", tmp_path / "c.wav"
    words = ["--concept", "note", "--model", musicgen_folder, "--clips", 8, "--sites", "decoder.1-2", "--out", file]
    code, out, _ = mmsteer("probe", *words)
    assert code == 0
    assert "decoder.1" in out
    words = ["--prompt", "piano", "--steer", "note:C 0.5", "--directions", file, "--model", musicgen_folder]
    code, out, _ = mmsteer("generate", *words, "--seconds", 0.3, "--out", wave)
    assert code == 0
    assert "applied: note:C 0.5 constant(1): 1 calls, 2 sites" in out
    assert soundfile.info(wave).duration == pytest.approx(0.3)
    before = wave.read_bytes()
    code, _, err = mmsteer("generate", *words, "--seconds", 0.3, "--out", wave)
    assert code == 2
    assert "--force" in err
    assert mmsteer("generate", *words, "--seconds", 0.3, "--out", wave, "--force")[0] == 0
    assert wave.read_bytes() == before


def test_an_empty_prompt_is_refused(mmsteer, musicgen_folder, tmp_path):
    code, _, err = mmsteer("generate", "--prompt", " ", "--model", musicgen_folder, "--out", tmp_path / "x.wav")
    assert code == 2
    assert "empty" in err


def test_run_prints_scores_and_a_broken_run_is_kept(mmsteer, musicgen, musicgen_folder, tmp_path, monkeypatch):
    save_directions(tmp_path / "mine.safetensors", [planted(musicgen, "note:C", [1])])
    recipe = write_recipe(tmp_path, musicgen_folder)
    words = [
        "directions=[{file: mine.safetensors}]",
        "conditions.0.sweep.note=[C]",
        "--out",
        tmp_path / "run",
        "--quiet",
    ]
    with monkeypatch.context() as patch:
        patch.setattr("mmsteer.recipes.loop.Sampler.run", _interrupted)
        code, _, err = mmsteer("run", recipe, *words)
    assert code == 130
    assert "give the same command again" in err
    code, out, _ = mmsteer("run", recipe, *words)
    assert code == 0
    assert "note.share" in out
    assert str(tmp_path / "run") in out


def _interrupted(*_, **__):
    raise KeyboardInterrupt
