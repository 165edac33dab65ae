"""`mmsteer probe` on rows of one's own."""

import json
import random

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from mmsteer.cli.probe_table import show
from mmsteer.direction_file import load_directions
from mmsteer.recipes.finding import Found
from tests.adapters.checkpoints import save
from tests.conftest import TALK


def _rows(path, prompts, answered=True, labels=("warm", "cold")):
    """Pairs: each prompt answered by a red and a blue thing."""
    words, lines = random.Random(0), []
    for _ in range(prompts):
        prompt = " ".join(words.choice(TALK) for _ in range(6))
        for label, colour in zip(labels, ("red", "blue"), strict=True):
            answer = {"answer": f"the {colour} {words.choice(TALK)}"} if answered else {}
            said = prompt if answered else f"{prompt} {colour}"
            lines.append(json.dumps({"prompt": said, "label": label, **answer}))
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def find(mmsteer, talker_folder, tmp_path):
    def run(*words, out="d.safetensors"):
        return mmsteer("probe", "--model", talker_folder, "--out", tmp_path / out, *words)

    return run


def test_directions_of_rows_are_named_by_file_and_label(find, tmp_path):
    code, out, _ = find("--data", _rows(tmp_path / "my tone.jsonl", 80))
    assert code == 0
    found = load_directions(tmp_path / "d.safetensors")
    assert set(found) == {"my-tone:warm", "my-tone:cold"}
    warm, cold = found["my-tone:warm"], found["my-tone:cold"]
    assert {str(site) for site in warm.sites} == {"text.0", "text.1", "text.2", "text.3"}
    assert all(torch.allclose(warm.vectors[site], -cold.vectors[site], atol=1e-5) for site in warm.sites)
    assert warm.provenance["positions"] == "generated"
    assert "held out: 24 rows (sources of each label: cold 12, warm 12)" in out
    assert "AUC 1.000 [1.000, 1.000]; p < 0.0005" in out


def test_heads_are_sites_like_any_other(find, tmp_path):
    code, out, _ = find("--data", _rows(tmp_path / "tone.jsonl", 20), "--sites", "text.1-2.head.*, text.3.mid")
    assert code == 0
    (warm, _) = load_directions(tmp_path / "d.safetensors").values()
    assert [str(site) for site in warm.sites] == [*(f"text.{a}.head.{b}" for a in (1, 2) for b in (0, 1)), "text.3.mid"]
    assert {warm.vectors[site].numel() for site in warm.sites if site.head is not None} == {16}
    assert "text.2.head.1" in out


def test_prompts_without_answers_are_read_at_their_last_token(find, tmp_path):
    assert find("--data", _rows(tmp_path / "tone.jsonl", 20, answered=False), "--family", "tint")[0] == 0
    found = load_directions(tmp_path / "d.safetensors")
    assert set(found) == {"tint:warm", "tint:cold"}
    assert found["tint:warm"].provenance["positions"] == "last"


def test_few_rows_are_too_few_to_tell(find, tmp_path):
    code, out, _ = find("--data", _rows(tmp_path / "tone.jsonl", 20))
    assert code == 0
    told = "too few to tell it from chance: cold has 3 held-out sources, and 10 are needed"
    assert told in out
    assert told in load_directions(tmp_path / "d.safetensors")["tone:warm"].provenance["held_out"]
    assert "p <" not in out


def test_labels_are_taken_as_people_write_them(find, tmp_path):
    assert find("--data", _rows(tmp_path / "tone.jsonl", 20, labels=("very warm", "cold; wet")))[0] == 0
    assert set(load_directions(tmp_path / "d.safetensors")) == {"tone:very-warm", "tone:cold-wet"}


@pytest.mark.parametrize("probe", ["logistic", "pca", "linear", "lat", "random"])
def test_any_probe_will_do(find, tmp_path, probe):
    words = ["--probe", probe, "--sites", "text.1", "--seed", 3]
    code, _, err = find("--data", _rows(tmp_path / "tone.jsonl", 24), *words)
    assert (code, err) == (0, "")
    settings = json.loads(load_directions(tmp_path / "d.safetensors")["tone:warm"].provenance["settings"])
    assert settings["text.1"]["seed"] == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--concept", "note", "--demos", "own.jsonl"],
            "--demos belongs to --contrast, and does nothing for --concept",
        ),
        (["--contrast", "captions", "--clips", 3], "--clips belongs to --concept, and does nothing for --contrast"),
        (["--data", "own.jsonl", "--pairs", 3], "--pairs belongs to --contrast"),
        (["--concept", "note", "--split", "train"], "--split belongs to --data"),
        (["--data", "own.jsonl", "--concept", "note"], "give one of --data"),
        (["--data", "own.jsonl", "--family", "1 x"], "directions cannot be named '1 x'"),
        (["--data", "own.jsonl", "--probe", "nothing"], "no probe 'nothing'"),
        (["--data", "own.jsonl", "--pool", "tokens"], "pool is one of mean, last, max"),
    ],
)
def test_an_option_of_another_source_is_an_error(find, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    _rows(tmp_path / "own.jsonl", 20)
    code, _, err = find(*words)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1


def test_some_answers_are_not_enough(find, tmp_path):
    path = _rows(tmp_path / "tone.jsonl", 20)
    path.write_text(path.read_text() + '\n{"prompt": "say", "label": "warm"}')
    code, _, err = find("--data", path)
    assert code == 2
    assert "tone.jsonl:41: the row has no answer, and 40 rows have one" in err


def test_a_model_must_be_named(mmsteer, tmp_path):
    code, _, err = mmsteer("probe", "--data", tmp_path / "x.jsonl", "--out", tmp_path / "d.safetensors")
    assert (code, "give --model" in err) == (2, True)


def test_clips_are_brought_to_the_models_form(mmsteer, musicgen_folder, tmp_path):
    # The random codec gives all clips the same codes: what differs is the prompt beside each.
    wave = np.random.default_rng(0).standard_normal((2400, 2)).clip(-2, 2) / 4
    for label in ("slow", "fast"):
        (tmp_path / "pace" / label).mkdir(parents=True)
        for at in range(8):
            soundfile.write(tmp_path / "pace" / label / f"{at}.wav", wave, 8000)
            (tmp_path / "pace" / label / f"{at}.txt").write_text("a " * at + label)
    words = ["--model", musicgen_folder, "--data", tmp_path / "pace", "--out", tmp_path / "d.safetensors"]
    code, out, err = mmsteer("probe", *words)
    assert (code, err) == (0, "")
    assert "16 of 16 clips are brought to 16000 Hz, mono (16 of 8000 Hz, 2 ch)" in out
    assert set(load_directions(tmp_path / "d.safetensors")) == {"pace:slow", "pace:fast"}


def test_images_are_read_by_models_that_see(mmsteer, tmp_path):
    for label, grey in (("dark", 30), ("light", 220)):
        (tmp_path / "shade" / label).mkdir(parents=True)
        for at in range(8):
            Image.new("L", (16, 16), grey + at).save(tmp_path / "shade" / label / f"{at}.png")
    words = ["--model", save("llava", tmp_path / "llava"), "--data", tmp_path / "shade"]
    assert mmsteer("probe", *words, "--out", tmp_path / "d.safetensors")[0] == 0
    assert set(load_directions(tmp_path / "d.safetensors")) == {"shade:dark", "shade:light"}


@pytest.mark.parametrize("columns", [40, 80])
def test_twelve_labels_fit_into_any_terminal(monkeypatch, capsys, columns):
    labels = [f"label-number-{at:02}" for at in range(12)]
    rows = [
        {"site": f"text.{layer}", "score": 0.5, "labels": {name: 0.6 + at / 100 for at, name in enumerate(labels)}}
        for layer in range(3)
    ]
    monkeypatch.setenv("COLUMNS", str(columns))
    show(Found({}, {"metric": "accuracy", "labels": labels, "rows": rows}, 0.0))
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= columns
    assert "…" not in out
    assert all(out.count(f"{0.6 + at / 100:.3f}") == 3 for at in range(12))
