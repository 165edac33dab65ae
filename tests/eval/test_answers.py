"""Benchmark files as they come: JSON lines, arrays, and broken ones."""

import json

import pytest

from mmsteer.errors import EvalError
from mmsteer.eval.answers import read_answers, read_json, read_rows


@pytest.fixture
def file(tmp_path):
    def write(content):
        path = tmp_path / "answers.json"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


RECORDS = [{"id": 1, "answer": "a\u2028b"}, {"id": 2, "answer": "[c], {d}"}]


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        ("\n".join(json.dumps(r, ensure_ascii=False) for r in RECORDS), [1, 2]),
        ("\ufeff\n\n" + "\r\n\n".join(json.dumps(r) for r in RECORDS) + "\n", [3, 5]),
        (json.dumps(RECORDS), [1, 1]),
        ("\n" + json.dumps(RECORDS, indent=1), [3, 7]),
    ],
    ids=["lines", "blank lines", "array", "pretty array"],
)
def test_both_layouts_are_read_with_the_line_of_each_record(file, content, lines):
    rows = read_rows(file(content), ("id", "answer"), "an answer")
    assert [row.line for row in rows] == lines
    assert [dict(row.fields) for row in rows] == RECORDS


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"id": 1, "answer": "a"}\n{"id": 2, "ans', r"json:2: not JSON"),
        ('[{"id": 1, "answer": "a"},\n\n{"id": 2 "answer": "b"}]', r"json:3: not JSON"),
        ('{"id": 1, "answer": "a"}\n[1]', r"json:2: a record is a JSON object"),
        ('[{"id": 1, "answer": "a"},\n 7]', r"json:2: a record is a JSON object"),
        ('{"id": 1, "answer": "a"}\n{"id": 2, "caption": "b"}', r"json:2: .*lacks answer and has caption, id"),
        ('{"id": 1, "answer": "a"}\n{"id": "1", "answer": "b"}', r"json:2: id 1 came before, on line 1"),
        ('{"id": 1, "answer": "a"}\n\n{"id": 3, "answer": "b"}', r"json:3: no question has id 3"),
        ('{"id": 1, "answer": 0}', r"json:1: answer is 0; give a string"),
        ('{"id": 1.5, "answer": "a"}', r"json:1: id is 1.5; give a whole number"),
        ('{"id": true, "answer": "a"}', r"json:1: id is True"),
        ("", r"json is empty"),
        ("[]", r"json is empty"),
        (b"\xff\xfe", r"not UTF-8"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(file, content, message):
    with pytest.raises(EvalError, match=message):
        read_answers(file(content), {1: None, 2: None})


def test_null_is_no_answer(file):
    assert read_answers(file('{"id": "2", "answer": null}'), {1: None, 2: None}) == {2: None}


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(EvalError, match=r"none\.json: cannot be read"):
        read_rows(tmp_path / "none.json", ("id",), "an answer")


def test_one_value(file):
    assert read_json(file('{"a": [1]}')) == {"a": [1]}
    with pytest.raises(EvalError, match="json:2: not JSON"):
        read_json(file('{"a":\n x}'))


ASKED = {1: "Is there a dog?", 2: "Is there a cat?"}
LAYOUTS = [
    [{"question_id": 1, "answer": "yes"}, {"question_id": "2", "answer": "no"}],
    [
        {"question_id": n, "prompt": ASKED[n], "text": t, "answer_id": "x", "model_id": "m", "metadata": {}}
        for n, t in ((2, "no"), (1, "yes"))
    ],
    [{"id": 1, "response": "yes"}, {"id": 2, "response": "no"}],
    [{"question": "Is there  a dog?", "answer": "yes"}, {"question": "Is there a cat?", "answer": "no"}],
]


@pytest.mark.parametrize("records", LAYOUTS, ids=["POPE", "LLaVA", "AMBER", "POPE without ids"])
def test_public_layouts_are_told_apart_by_their_keys(file, records):
    assert read_answers(file(json.dumps(records)), ASKED) == {1: "yes", 2: "no"}


@pytest.mark.parametrize(
    ("records", "message"),
    [
        (
            [{"question_id": 1, "image": "a", "text": "Is there a dog?", "label": "yes"}],
            "a label: it is a question",
        ),
        (LAYOUTS[3][:1], "1 answers without ids to 2 questions"),
        (LAYOUTS[3][::-1], r"json:1: answers 'Is there a cat\?'; the question here is 'Is there a dog\?'"),
        ([{"question": "Is there a dog?", "text": "yes"}], "an answer has question_id or id"),
        ([LAYOUTS[0][0], LAYOUTS[2][1]], "this record lacks question_id, answer and has id, response"),
    ],
)
def test_what_is_no_layout_is_refused(file, records, message):
    with pytest.raises(EvalError, match=message):
        read_answers(file(json.dumps(records)), ASKED)
