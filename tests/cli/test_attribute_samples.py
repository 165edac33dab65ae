"""`mmsteer attribute-samples`: probes that are fitted to rows, and vectors that were trained on them."""

import json
import re

import pytest

from mmsteer.direction_file import save_directions
from tests.conftest import planted

WRONG = ("r4", "r9")


@pytest.fixture
def rows(tmp_path):
    """Answers of one word or another, two of the training's with the label of the other."""
    lines = []
    for at in range(24):
        side = at % 2
        wrong = f"r{at}" in WRONG
        label = ("cup", "blue")[side != wrong]
        lines.append(
            {
                "id": f"r{at}",
                "prompt": f"{('red', 'is', 'image')[at % 3]} describe",
                "answer": ("cup cup", "blue blue")[side],
                "label": label,
                "split": "training" if at < 14 else "test",
            }
        )
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path / "rows.jsonl"


@pytest.fixture
def run(mmsteer, talker_folder, rows):
    return lambda *words: mmsteer("attribute-samples", "--model", talker_folder, "--data", rows, *words)


def test_wrong_labels_of_a_probe_come_first(run, tmp_path):
    words = ("--probe", "linear", "--sites", "text.3", "--label", "cup", "--strength", "0.1")
    code, out, err = run(*words, "--out", tmp_path / "p.html")
    assert code == 0, err
    names = re.findall(r"\br\d+\b", out)
    assert set(names[:2]) == set(WRONG)
    assert "r4" in (tmp_path / "p.html").read_text()


def test_a_trained_vector_names_its_samples(run, mmsteer, talker_folder, rows, tmp_path):
    trained = ("train", "--model", talker_folder, "--data", rows, "--method", "ssv", "--label", "cup", "--quiet")
    made = ("--sites", "text.2", "--steps", 5, "--out", tmp_path / "v.safetensors", "--folder", tmp_path / "f")
    assert mmsteer(*trained, *made)[0] == 0
    words = ("--directions", tmp_path / "v.safetensors", "--prompt", "red", "--output", "cup", "--steps", 4)
    code, out, err = run(*words)
    assert code == 0, err
    assert "with all samples" in out
    assert len(re.findall(r"\br\d+\b", out)) == 12


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "give --directions"),
        (("--probe", "linear"), "needs --label"),
        (("--probe", "linear", "--label", "cup", "--sites", "text.1-2"), "are 2 sites"),
        (
            ("--probe", "linear", "--label", "cup", "--sites", "text.1", "--held", "other"),
            "no row has the split 'other'",
        ),
        (("--probe", "linear", "--prompt", "a"), "does nothing for the samples of a probe"),
    ],
)
def test_what_is_missing_is_named(run, words, message):
    code, _, err = run(*words)
    assert code == 2
    assert message in err


def test_a_direction_that_was_not_trained_is_refused(run, talker, tmp_path):
    save_directions(tmp_path / "d.safetensors", [planted(talker, "d:x", [1])])
    code, _, err = run("--directions", tmp_path / "d.safetensors", "--prompt", "red", "--output", "cup")
    assert code == 2
    assert "says nothing of a training" in err
