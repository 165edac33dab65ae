"""The page of guarantees: every promise names tests, and they are there."""

import re

from tests.docs.blocks import ROOT

PAGE = (ROOT / "docs" / "guarantees.md").read_text()
ROWS = [
    line
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith(("| promise", "| the same mach"))
]


def named(text):
    return re.findall(r"`(tests/[\w/.]*)`", text)


def test_every_promise_names_a_test():
    assert len(ROWS) > 20
    assert [row for row in ROWS if not named(row)] == []


def test_the_tests_are_there():
    paths = sorted(set(named(PAGE)))
    assert [path for path in paths if not (ROOT / path).exists()] == []
    files = [ROOT / path for path in paths if path.endswith(".py")]
    assert all("def test_" in file.read_text() for file in files)
