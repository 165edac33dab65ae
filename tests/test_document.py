import time

import pytest
import yaml

from mmsteer.document import MAX_BYTES, Mark, parse_document, read_document, write_document
from mmsteer.errors import RecipeError


def test_every_part_knows_its_line():
    document = parse_document("a: 1\nb:\n  - x\n  - {c: 2}\n", "file")
    assert document.data == {"a": 1, "b": ["x", {"c": 2}]}
    assert document.mark(("b", 1, "c")) == Mark("file", 4)
    assert document.mark(("b", 0)) == Mark("file", 3)
    assert str(document.mark(("a", "missing"))) == "file:1"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("yes", "yes"),
        ("C#", "C#"),
        ("1e-3", 0.001),
        ("12:30", "12:30"),
        ("0.05", 0.05),
        ("007", 7),
        ("true", True),
        ("~", None),
        ("2020-01-01", "2020-01-01"),
        ("'5'", "5"),
    ],
)
def test_plain_values_mean_what_they_look_like(text, value):
    assert parse_document(f"a: {text}", "f").data == {"a": value}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\nb: 2\na: 3", r"f:3: 'a' is written twice, first in line 1"),
        ("a: &x 1\nb: *x", "f:1: anchors"),
        ("a: !!python/object/apply:os.system [ls]", "f:1"),
        ("a: !!python/name:os.system x", "tag"),
        ("a: [1", "f:1: not YAML"),
        ("b: 1\n\ta: 1", "f:2: not YAML"),
        ("", "empty"),
        ("[" * 30 + "]" * 30, "levels"),
        ("? [a]\n: b", "key must be a word"),
        ("a: \0", "not YAML"),
        ("a: 1\n---\nb: 1", "not YAML"),
    ],
)
def test_what_is_no_plain_yaml_is_refused(text, words):
    with pytest.raises(RecipeError, match=words):
        parse_document(text, "f")


def test_a_bomb_is_refused_by_its_size_or_its_aliases(tmp_path):
    path = tmp_path / "big.yaml"
    path.write_text("a: " + "x" * MAX_BYTES)
    with pytest.raises(RecipeError, match="at most"):
        read_document(path)
    path.write_bytes(b"a: \xff\xfe")
    with pytest.raises(RecipeError, match="text"):
        read_document(path)


def test_what_is_written_reads_back():
    data = {"a": ["1e5", "on", "12:30", 0.1, 1e-5, 3, None, True, "C#", ""], "b": {"c": "x: y"}}
    assert parse_document(write_document(data), "f").data == data
    # The control: PyYAML's own dumper leaves 1e5 bare, which YAML 1.2 reads as a number.
    assert parse_document(yaml.safe_dump({"a": "1e5"}), "f").data == {"a": 1e5}


SHAPES = {
    "list": "- a\n" * 64_000,
    "flow": "[" + "a," * 120_000 + "]",
    "keys": "".join(f"k{number}: 1\n" for number in range(24_000)),
    "maps": "[" + "{b: c}, " * 30_000 + "]",
    "nothing": "-\n" * 120_000,
}


@pytest.mark.parametrize("shape", SHAPES)
def test_keys_and_values_are_counted_while_they_are_read(shape):
    start = time.monotonic()
    with pytest.raises(RecipeError, match=r"x:\d+: more than 20000 keys and values"):
        parse_document(SHAPES[shape][: MAX_BYTES - 1], "x")
    assert time.monotonic() - start < 8
    assert len(parse_document("- a\n" * 19_999, "x").data) == 19_999
