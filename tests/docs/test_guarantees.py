"""The page of guarantees: every promise names tests, and they are there."""

import re

from tests.docs.blocks import ROOT

PAGE = (ROOT / "docs" / "guarantees.md").read_text()
ROWS = [
    line
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith(("| promise", "| the same mach", "| class of fault"))
]


def named(text):
    """Files and folders, and the functions in them."""
    return re.findall(r"`(tests/[\w/.]*)(?:::(\w+))?`", text)


STEERING = (ROOT / "docs" / "steering.md").read_text()


def test_the_tests_of_ways_of_calling_are_there():
    table = STEERING[STEERING.index("| way of calling") : STEERING.index("audiocraft's MusicGen ([guide]")]
    files = re.findall(r"`(?:tests/(\w+)/)?(test_\w+\.py)`", table)
    assert len(set(files)) > 8
    assert [one for one in files if not (ROOT / "tests" / (one[0] or "steering") / one[1]).exists()] == []


def test_every_promise_names_a_test():
    assert len(ROWS) > 20
    assert [row for row in ROWS if not named(row)] == []


def test_the_tests_are_there():
    paths = sorted({path for path, _ in named(PAGE)})
    assert [path for path in paths if not (ROOT / path).exists()] == []
    files = [ROOT / path for path in paths if path.endswith(".py")]
    assert all("def test_" in file.read_text() for file in files)


def test_functions_that_are_named_are_in_their_files():
    asked = [(path, function) for path, function in named(PAGE) if function]
    assert len(asked) > 30
    assert [one for one in asked if not re.search(rf"^def {one[1]}\(", (ROOT / one[0]).read_text(), re.MULTILINE)] == []
