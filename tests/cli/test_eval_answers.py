"""The commands that judge answers, as a stranger types them."""

import json
from functools import partial

import pytest

QUESTIONS = [
    {"question_id": n, "image": f"{n // 3}.jpg", "text": "Is there a cup in the image?", "label": label}
    for n, label in enumerate(["yes", "no", "yes", "no"], 1)
]


@pytest.fixture
def mmsteer(mmsteer, monkeypatch, tmp_path):
    """Run an `eval` command in an empty folder; its exit code and what it printed."""
    monkeypatch.chdir(tmp_path)
    return partial(mmsteer, "eval")


@pytest.fixture
def write(tmp_path):
    def lines(name, rows):
        (tmp_path / name).write_text("\n".join(map(json.dumps, rows)))

    return lines


def said(*answers):
    return [{"question_id": n, "answer": answer} for n, answer in enumerate(answers, 1)]


@pytest.fixture
def pope(write):
    write("q.json", QUESTIONS)
    write("a.jsonl", said("Yes", "none", "no", "No"))
    return ["pope", "--questions", "q.json", "--answers", "a.jsonl"]


def test_pope_as_json(mmsteer, pope):
    code, out, _ = mmsteer(*pope, "--parser", "official", "--json")
    found = json.loads(out)
    assert code == 0
    assert [found[key] for key in ("accuracy", "precision", "recall", "f1", "yes_ratio", "unparsed")] == [
        *[0.5] * 5,
        0,
    ]
    assert (found["questions"]["rows"], len(found["questions"]["sha256"]), found["questions"]["version"]) == (
        4,
        64,
        None,
    )
    assert json.loads(mmsteer(*pope, "--json")[1])["unparsed"] == 1


def test_pope_as_a_table_with_flips(mmsteer, pope, write):
    write("b.jsonl", said("Yes", "yes", "yes", "No"))
    code, out, _ = mmsteer(*pope, "--before", "b.jsonl")
    assert code == 0
    assert "flips tp->fn" in out
    assert "flips fp->unparsed" in out
    assert "parser strict" in out
    found = json.loads(mmsteer(*pope, "--before", "b.jsonl", "--json")[1])
    assert sum(found["flips"].values()) == 4


def test_pope_by_logits(mmsteer, pope, write):
    write("l.jsonl", [{"question_id": n, "logit": logit} for n, logit in enumerate([2, -1, 1, -0.5], 1)])
    code, out, _ = mmsteer(*pope[:3], "--logits", "l.jsonl", "--json")
    assert code == 0
    assert (json.loads(out)["auc"], json.loads(out)["accuracy"]) == (1, 1)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (said("Yes") * 2, "a.jsonl:2: question_id 1 came before, on line 1"),
        (said(*["Yes"] * 5), "a.jsonl:5: no question has question_id 5"),
        ([{"question_id": 1, "caption": "Yes"}], "a.jsonl:1: an answer has question_id or id, and answer"),
    ],
)
def test_pope_refuses_with_one_line(mmsteer, pope, write, rows, message):
    write("a.jsonl", rows)
    code, out, err = mmsteer(*pope)
    assert (code, out) == (2, "")
    assert err.startswith("error: " + message)
    assert err.count("\n") == 1


def test_pope_wants_answers_or_logits(mmsteer, pope):
    assert "or give --logits FILE" in mmsteer(*pope[:3])[2]
    assert "no parser 'x'" in mmsteer(*pope, "--parser", "x")[2]


def test_pope_build_writes_once(mmsteer, tmp_path):
    (tmp_path / "o.json").write_text(json.dumps({"a": ["cup", "bed", "cat"], "b": ["dog", "car", "bus"]}))
    command = ["pope-build", "--objects", "o.json", "--split", "adversarial", "--out", "new.json"]
    code, out, _ = mmsteer(*command)
    assert (code, out) == (0, "new.json: 12 questions about 2 images\n")
    assert "not overwritten" in mmsteer(*command)[2]
    (tmp_path / "o.json").write_text("[1]")
    assert "give a JSON object of image" in mmsteer(*command)[2]


def test_amber(mmsteer, tmp_path, write):
    (tmp_path / "annotations.json").write_text(
        json.dumps(
            [
                {"id": 1, "type": "generative", "truth": ["dog"], "hallu": ["cat"]},
                {"id": 2, "type": "relation", "truth": "no"},
            ]
        )
    )
    (tmp_path / "relation.json").write_text('{"dog": [], "cat": []}')
    (tmp_path / "safe_words.txt").write_text("orange\n")
    write("r.jsonl", [{"id": 1, "response": "A dog and a cat."}, {"id": 2, "response": "No"}])
    command = ["amber", "--answers", "r.jsonl", "--data", "."]
    found = json.loads(mmsteer(*command, "--json")[1])
    # one question: P = 100 / 1.001 = 99.9; F1 = 2 * 0.999 ** 2 / 1.9981 = 99.9; (100 - 50 + 99.9) / 2
    assert found["amber_score"] == pytest.approx(74.95)
    assert found["generative"]["chair"] == 50
    code, out, _ = mmsteer(*command)
    assert code == 0
    assert "relation: F1" in out
    assert "give exact or strict" in mmsteer(*command, "--parser", "vcd")[2]
    (tmp_path / "relation.json").unlink()
    assert "relation.json: cannot be read" in mmsteer(*command)[2]


def test_hallusionbench_and_mme(mmsteer, tmp_path, write):
    row = {"category": "VD", "subcategory": "chart", "set_id": "0", "figure_id": "0", "question_id": "0"}
    write("h.json", [row | {"gt_answer": "1", "model_prediction": "Yes."}])
    assert json.loads(mmsteer("hallusionbench", "--answers", "h.json", "--json")[1])["aAcc"] == 1
    assert "qAcc" in mmsteer("hallusionbench", "--answers", "h.json")[1]
    (tmp_path / "count.txt").write_text("1.jpg\tq\tYes\tYes\n1.jpg\tq\tNo\tNo\n")
    assert json.loads(mmsteer("mme", "--answers", ".", "--json")[1])["subtasks"]["count"]["score"] == 200
    assert "count" in mmsteer("mme", "--results", ".")[1]


def test_mmhal_asks_nobody_unless_told(mmsteer, write, monkeypatch):
    monkeypatch.delenv("MMSTEER_JUDGE_URL", raising=False)
    keys = ("question_type", "question", "gt_answer", "model_answer")
    write("m.json", [dict.fromkeys(keys, "x") | {"image_content": []}])
    code, _, err = mmsteer("mmhal", "--answers", "m.json")
    assert code == 2
    assert "set MMSTEER_JUDGE_URL" in err


@pytest.mark.parametrize("command", ["pope", "pope-build", "amber", "mmhal", "hallusionbench", "mme"])
def test_help_teaches_by_example(mmsteer, command):
    code, out, _ = mmsteer(command, "--help")
    assert code == 0
    assert f"mmsteer eval {command}" in out.split("Example", 1)[1]


def test_judges_say_what_they_know(mmsteer):
    code, out, _ = mmsteer("about")
    assert code == 0
    assert {line.split(":")[0] for line in out.splitlines()} >= {"pope", "chair", "music_tempo"}
    assert "convention: a network of 32 units" in mmsteer("about", "music_adherence")[1]
    code, _, err = mmsteer("about", "pop")
    assert code == 2
    assert "choose from amber, chair" in err


def test_scores_are_also_written_with_their_intervals(mmsteer, pope, tmp_path):
    assert mmsteer(*pope, "--out", "scores.csv")[0] == 0
    assert mmsteer(*pope, "--out", "scores.html")[0] == 0
    head, first, *_ = (tmp_path / "scores.csv").read_text().splitlines()
    name, value, low, high = first.split(",")
    assert (head, name) == ("name,value,low,high", "accuracy")
    assert float(low) < float(value) < float(high)
    assert f"<td>{float(low):.3f} to {float(high):.3f}</td>" in (tmp_path / "scores.html").read_text()
