"""JSON from files of any origin: what is valid is read as it is, what is not costs one error with its line."""

import json
import os
import time

import pytest

from mmsteer.errors import DataError, EvalError, MmsteerError, clip
from mmsteer.json_lines import DEPTH, LINE_BYTES, parse_json, read_json, read_json_lines, read_records


@pytest.fixture
def file(tmp_path):
    def write(content):
        path = tmp_path / "a.json"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


RECORDS = [{"id": 1, "text": "a\u2028b\x85c"}, {"id": 2, "text": '[c], {d}, "e\\'}, {"id": 3, "a": [[{}]]}]
LINES = "\n".join(json.dumps(one, ensure_ascii=False) for one in RECORDS)


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (LINES, [1, 2, 3]),
        ("\ufeff\n \n" + LINES.replace("\n", "\r\n\r\n") + "\n", [3, 5, 7]),
        (json.dumps(RECORDS), [1, 1, 1]),
        ("\n \n" + json.dumps(RECORDS, indent=0).replace("}, {", "},\n{"), [4, 8, 12]),
        ("[]", []),
        ("", []),
    ],
    ids=["lines", "blank lines", "array", "pretty array", "empty array", "nothing"],
)
def test_records_come_with_the_line_they_begin_on(file, content, lines):
    found = list(read_records(file(content)))
    assert [line for line, _ in found] == lines
    assert [record for _, record in found] == RECORDS[: len(lines)]


BAD = [
    ('{"a": 1}\n{"a": %s}' % ("9" * 5000), r"a\.json:2: a number of 5000 digits; at most 300"),
    ('{"a": 1}\n{"a": 1e999}', r"a\.json:2: the number '1e999' is beyond float64"),
    ('{"a": 1}\n{"a": NaN}', r"a\.json:2: NaN is no JSON; write null"),
    ('{"a": 1}\n{"a": -Infinity}', r"a\.json:2: -Infinity is no JSON"),
    ('{"a": 1}\n' + '{"a":' * 100_000, r"a\.json:2: more than 100 lists and objects within one another"),
    ('{"a": 1}\n{"a": 1, "a": 2}', r"a\.json:2: the key 'a' comes twice"),
    ('{"a": 1}\n[1]', r"a\.json:2: a record is a JSON object, .* a list"),
    ('{"a": 1}\n7', r"a\.json:2: a record is a JSON object, .* a number"),
    ('{"a": 1}\n{"a": "b', r"a\.json:2: not JSON"),
    ('{"a": 1}\n{"a": 1} {"a": 2}', r"a\.json:2: not JSON \(Extra data\)"),
    (b'{"a": 1}\n{"a": "\xff"}', r"a\.json:2: not UTF-8"),
    ("[" * 100_000, r"a\.json:1: more than 100"),
    ('[{"a": 1},\n' + "[" * 100_000, r"a\.json:2: more than 100"),
    ('[{"a": 1},\n{"a": %s}]' % ("9" * 5000), r"a\.json:2: a number of 5000 digits"),
    ('[{"a": 1},\n{"a" 1}]', r"a\.json:2: not JSON"),
    ('[{"a": 1}\n{"a": 1}]', r"a\.json:2: not JSON \(expecting ','"),
    ('[{"a": 1},\n]', r"a\.json:1: not JSON \(expecting ','"),
    ('[{"a": 1}', r"a\.json:1: not JSON \(expecting ','"),
    ('[{"a": 1}]\n{"a": 1}', r"a\.json:1: not JSON \(more after the array\)"),
    ('[{"a": 1},\n 7]', r"a\.json:2: a record is a JSON object"),
    (b'[{"a": 1},\n{"a": "\xff"}]', r"a\.json:2: not UTF-8"),
]


@pytest.mark.parametrize(("content", "message"), BAD, ids=[message[9:40] for _, message in BAD])
def test_a_bad_record_is_one_error_with_its_line(file, content, message):
    with pytest.raises(EvalError, match=message) as caught:
        list(read_records(file(content), EvalError))
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "content", ['{"a":\n%s}' % ("9" * 5000), '{"NaN":\nNaN}', '{"a":\n"b}', '[1,\n"[",' + "[" * 200]
)
def test_a_bad_value_is_one_error_with_its_line(file, content):
    with pytest.raises(DataError, match=r"a\.json:2: "):
        read_json(file(content))


def test_what_is_within_the_limits_is_read(file):
    deep = "[" * DEPTH + "]" * DEPTH
    assert json.dumps(read_json(file(deep))) == deep
    # Brackets within strings are none, closed or not, and escaped quotes end no string.
    assert read_json(file(json.dumps(["[" * 200, '\\"' + "{" * 200]))) == ["[" * 200, '\\"' + "{" * 200]
    assert read_json(file("9" * 300)) == int("9" * 300)


def test_an_unclosed_string_costs_linear_time(file):
    content = '{"a": "' + "[" * 200 + '\\"' * 2_000_000
    start = time.perf_counter()
    with pytest.raises(DataError, match="not JSON"):
        read_json(file(content))
    assert time.perf_counter() - start < 5


def test_a_line_is_bounded_and_its_file_is_not_read_whole(file):
    path = file('{"a": 1}\n')
    with path.open("ab") as more:
        more.truncate(50 << 30)  # sparse: 50 GiB of zeros in one line
    lines = read_json_lines(path)
    assert next(lines) == (1, {"a": 1})
    with pytest.raises(DataError, match=rf"a\.json:2: a line of more than {LINE_BYTES >> 20} MiB"):
        next(lines)
    with pytest.raises(DataError, match="more than 2 GiB"):
        read_json(path)


def test_only_regular_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", ".", "/dev/zero"):
        with pytest.raises(DataError, match="no regular file"):
            read_json(tmp_path / name)
        with pytest.raises(DataError, match="no regular file"):
            list(read_records(tmp_path / name))


@pytest.mark.parametrize("name", ["none.json", "x" * 20_000, "a\0b"])
def test_a_path_that_cannot_be_opened_is_named(tmp_path, name):
    with pytest.raises(DataError, match="cannot be read") as caught:
        read_json(tmp_path / name)
    assert len(str(caught.value)) <= 1000


def test_objects_can_be_replaced_as_they_are_read():
    assert parse_json('[{"a": 1}, {"a": 2}]', "reply", hook=lambda value: value["a"]) == [1, 2]


def test_a_reply_is_no_file_and_has_no_line():
    with pytest.raises(DataError, match=r"^reply: not JSON"):
        parse_json("x", "reply", numbered=False)


def test_values_in_errors_are_cut_in_the_middle():
    assert clip("ab") == "'ab'"
    assert len(clip("a" * 20_000)) <= 80
    assert len(clip({"a": ["b" * 20_000] * 20_000})) <= 80
    text = str(MmsteerError("first\n" + "x" * 5000 + "\nlast"))
    assert text.startswith("first\nxxx")
    assert text.endswith("xxx\nlast")
    assert len(text) < 1100
