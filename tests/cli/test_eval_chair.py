"""`mmsteer eval chair`, as a stranger types it."""

import json
import sys

import pytest

from mmsteer.cli import main

CAPTIONS = [
    {"image_id": 1, "caption": "A bus, a bus and a cat."},
    {"image_id": "COCO_val2014_000000000002.jpg", "caption": "A dog."},
]
OBJECTS = {"1": ["bus"], "2": ["dog", "person"]}


@pytest.fixture
def evaluate(monkeypatch, capsys, tmp_path):
    """Run `mmsteer eval chair` in a folder with two captions; its exit code and what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    (tmp_path / "c.jsonl").write_text("\n".join(json.dumps(row) for row in CAPTIONS))
    (tmp_path / "o.json").write_text(json.dumps(OBJECTS))

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["mmsteer", "eval", "chair", *words])
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_json(evaluate):
    code, out, _ = evaluate("--captions", "c.jsonl", "--objects", "o.json", "--json")
    assert code == 0
    found = json.loads(out)
    assert (found["chair_s"], found["chair_i"], found["recall"]) == (0.5, 0.25, 2 / 3)
    assert (found["length"], found["n"], found["compat"]) == (4.5, 2, "fixed")
    assert found["intervals"].keys() >= {"chair_s", "chair_i", "recall", "f1"}


def test_pattern_mode_hears_no_bus(evaluate):
    _, out, _ = evaluate("--captions", "c.jsonl", "--objects", "o.json", "--compat", "pattern", "--json")
    assert json.loads(out)["chair_i"] == 0.5


def test_table(evaluate):
    code, out, _ = evaluate("--captions", "c.jsonl", "--objects", "o.json")
    assert code == 0
    assert "CHAIR (fixed), 2 captions" in out
    assert "0.2500" in out


def test_rows(evaluate, tmp_path):
    assert evaluate("--captions", "c.jsonl", "--objects", "o.json", "--rows", "rows.jsonl")[0] == 0
    first, second = map(json.loads, (tmp_path / "rows.jsonl").read_text().splitlines())
    assert [one["words"] for one in first["mentions"] if one["hallucinated"]] == ["cat"]
    assert second["missed"] == ["person"]


def test_coco_and_another_list(evaluate, tmp_path):
    (tmp_path / "words.txt").write_text("bus\ncat, puss\n")
    said = [{"image_id": 1, "caption": "A puss."}, {"image_id": 2, "caption": "Grass."}]
    boxes = [{"image_id": image, "category_id": 6} for image in (1, 2)]
    (tmp_path / "captions_val2014.json").write_text(json.dumps({"annotations": said}))
    (tmp_path / "instances_val2014.json").write_text(
        json.dumps({"annotations": boxes, "categories": [{"id": 6, "name": "bus"}]})
    )
    code, out, _ = evaluate("--captions", "c.jsonl", "--coco", ".", "--synonyms", "words.txt", "--json")
    assert code == 0
    assert json.loads(out)["chair_s"] == 0, "the human captions name the cat"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--captions", "c.jsonl"], "--objects FILE, or --coco FOLDER"),
        (["--captions", "c.jsonl", "--objects", "o.json", "--coco", "."], "once"),
        (["--captions", "c.jsonl", "--objects", "o.json", "--compat", "lemma"], "no CHAIR mode 'lemma'"),
        (["--captions", "nothing.jsonl", "--objects", "o.json"], "nothing.jsonl: cannot be read"),
        (["--captions", "c.jsonl", "--objects", "c.jsonl"], "objects are one JSON object"),
        (["--captions", "o.json", "--objects", "o.json"], "another benchmark"),
        (["--captions", "c.jsonl", "--coco", "."], "no instances_val2014.json"),
        (["--captions", "c.jsonl", "--objects", "o.json", "--rows", "no/rows.jsonl"], "cannot be written"),
    ],
)
def test_errors_are_one_line_and_exit_code_2(evaluate, words, message):
    code, _, err = evaluate(*words)
    assert code == 2
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("rows", ["c.jsonl", "./c.jsonl", "link.jsonl", "o.json", "coco/instances_val2014.json"])
def test_rows_never_replace_what_is_read(evaluate, tmp_path, rows):
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "c.jsonl")
    (tmp_path / "coco").mkdir()
    (tmp_path / "coco" / "instances_val2014.json").write_text("{}")
    before = (tmp_path / rows).read_bytes()
    source = ("--coco", "coco") if rows.startswith("coco") else ("--objects", "o.json")
    code, _, err = evaluate("--captions", "c.jsonl", *source, "--rows", rows)
    assert (code, "is a file that is read" in err) == (2, True)
    assert (tmp_path / rows).read_bytes() == before


def test_half_an_emoji_in_a_caption_is_written_as_json_escapes_it(evaluate, tmp_path):
    (tmp_path / "c.jsonl").write_text(r'{"image_id": 1, "caption": "A bus \ud83d"}')
    assert evaluate("--captions", "c.jsonl", "--objects", "o.json", "--rows", "rows.jsonl")[0] == 0
    assert json.loads((tmp_path / "rows.jsonl").read_text())["caption"] == "A bus \ud83d"


def test_scores_are_also_written(evaluate, tmp_path):
    assert evaluate("--captions", "c.jsonl", "--objects", "o.json", "--out", "scores.csv")[0] == 0
    lines = (tmp_path / "scores.csv").read_text().splitlines()
    assert lines[0].startswith("name,value,low,high")
    assert lines[1].startswith("chair_s,")
