"""`mmsteer eval tempo|instrument|...` on files and folders of any origin."""

import csv
import json
import sys

import numpy as np
import pytest
import soundfile

from mmsteer.cli import main
from tests.eval.tones import noise, tone


@pytest.fixture
def evaluate(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["mmsteer", "eval", *words])
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        return code, *capsys.readouterr()

    return run


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "DOUBLE"])
@pytest.mark.parametrize("judge", ["notes", "key", "chords", "register", "tempo", "instrument"])
def test_every_judge_says_that_it_read_the_side_of_channels_that_cancel_out(evaluate, tmp_path, judge, subtype):
    clip = np.tile(np.concatenate([tone(69, 0.3), np.zeros(3200)]), 8)
    soundfile.write(tmp_path / "a.wav", np.stack([clip, -clip], 1), 16000, subtype=subtype)
    (row,) = json.loads(evaluate(judge, "a.wav", "--json")[1])["files"]
    assert row["mix"] == "side"
    assert row.get("main_note", "A") == "A"
    assert row.get("bpm", 120) == pytest.approx(120, rel=0.02)
    table = evaluate(judge, "a.wav")[1]
    assert "side" in table


def test_a_folder_is_its_audio_files_in_order(evaluate, tmp_path):
    (tmp_path / "clips").mkdir()
    clip = tone(69, 1.0)
    soundfile.write(tmp_path / "clips" / "b.wav", np.stack([clip, -clip], 1), 16000)
    soundfile.write(tmp_path / "clips" / "a.flac", clip, 16000)
    (tmp_path / "clips" / "notes.txt").write_text("no audio")
    files = json.loads(evaluate("register", "clips", "--json")[1])["files"]
    assert [(row["file"], row["mix"]) for row in files] == [("clips/a.flac", "mono"), ("clips/b.wav", "side")]
    assert {round(row["midi"]) for row in files} == {69}


def test_a_folder_without_audio_is_refused(evaluate, tmp_path):
    (tmp_path / "empty").mkdir()
    code, _, err = evaluate("tempo", "empty")
    assert (code, "empty: no audio file in this folder" in err) == (2, True)


@pytest.mark.parametrize("seed", range(4))
def test_noise_has_no_tempo(evaluate, tmp_path, seed):
    soundfile.write(tmp_path / "a.wav", noise(12.0, seed=seed), 16000)
    (row,) = json.loads(evaluate("tempo", "a.wav", "--json")[1])["files"]
    assert (row["bpm"], row["tempo"]) == (None, None)


def test_an_instrument_that_is_not_surely_known_is_unknown_and_the_known_ones_are_named(evaluate, tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(4.0, seed=0), 16000)
    assert json.loads(evaluate("instrument", "a.wav", "--json")[1])["files"][0]["instrument"] is None
    out = evaluate("instrument", "a.wav")[1]
    assert "│ unknown " in out
    assert "none of bell, clarinet, flute, guitar, marimba, organ, piano, strings" in out


def test_words_for_registers_are_those_of_the_judge_that_ships(evaluate, tmp_path):
    from mmsteer.eval.adherence import load_judge

    low, _ = load_judge().registers.bounds
    soundfile.write(tmp_path / "a.wav", tone(59.2, 2.0), 16000)
    (row,) = json.loads(evaluate("register", "a.wav", "--json")[1])["files"]
    assert 59.0 < row["midi"] < low
    assert row["register"] == "low"


def test_a_key_is_scored_against_the_one_that_was_asked_for(evaluate, tmp_path):
    """The relative minor of a scale on C: 0.3, as MIREX has it."""
    scale = np.concatenate([tone(midi, 0.5) for midi in (60, 62, 64, 65, 67, 69, 71, 72, 67, 64, 60)])
    soundfile.write(tmp_path / "a.wav", scale, 16000)
    for target, score in (("C", 1.0), ("a:min", 0.3), ("F# major", 0.0)):
        (row,) = json.loads(evaluate("key", "a.wav", "--target", target, "--json")[1])["files"]
        assert (row["key"], row["score"]) == ("C major", score)
    assert "no key" in evaluate("key", "missing.wav", "--target", "H sharp")[2]


def test_a_set_of_clips_lies_nearer_to_itself_than_to_noise(evaluate, tmp_path):
    for name, clips in {
        "tones": [tone(60 + at, 1.0) for at in range(3)],
        "noise": [noise(1.0, seed=at) for at in range(3)],
    }.items():
        (tmp_path / name).mkdir()
        for at, clip in enumerate(clips):
            soundfile.write(tmp_path / name / f"{at}.wav", clip, 16000)
    same, other = (
        json.loads(evaluate("distance", name, "--reference", "tones", "--json")[1])["distances"]
        for name in ("tones", "noise")
    )
    assert [one["metric"] for one in same] == ["fad", "kad"]
    assert same[0]["value"] == pytest.approx(0, abs=1e-6)
    assert all(near["value"] < far["value"] for near, far in zip(same, other, strict=True))
    assert "fad" in evaluate("distance", "noise", "--reference", "tones")[1]


def test_what_was_found_is_also_written(evaluate, tmp_path):
    (tmp_path / "my clips").mkdir()
    for name, midi in (("<a>.wav", 69), ("b.wav", 72)):
        soundfile.write(tmp_path / "my clips" / name, tone(midi, 1.0), 16000)
    found = {
        form: evaluate("register", "my clips", "--json", "--out", f"found.{form}") for form in ("json", "csv", "html")
    }
    assert {code for code, _, _ in found.values()} == {0}
    assert json.loads((tmp_path / "found.json").read_text()) == json.loads(found["json"][1])
    with (tmp_path / "found.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["file"], round(float(row["midi"]))) for row in rows] == [
        ("my clips/<a>.wav", 69),
        ("my clips/b.wav", 72),
    ]
    page = (tmp_path / "found.html").read_text()
    assert page.count("<audio") == 2
    assert 'src="my%20clips/%3Ca%3E.wav"' in page
    assert "<td>my clips/&lt;a&gt;.wav</td>" in page


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("found.txt", "the end of the name says what is written: .csv, .html, .json"),
        ("a.csv", "there is such a file already"),
        ("missing/found.csv", "there is no folder missing"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_before_the_work(evaluate, tmp_path, out, message):
    (tmp_path / "a.csv").write_text("mine")
    code, _, err = evaluate("tempo", "nowhere.wav", "--out", out)
    assert (code, message in err) == (2, True)
    assert (tmp_path / "a.csv").read_text() == "mine"
