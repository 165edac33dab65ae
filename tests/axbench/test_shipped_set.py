"""The concept set that ships: positives differ from negatives in what they are about."""

import json
import re

import pytest

from mmsteer.axbench import read_concepts
from mmsteer.library import library

FOLDER = library("recipes") / "axbench"


@pytest.fixture(scope="module")
def words():
    lines = (FOLDER / "concepts.jsonl").read_text().splitlines()
    return {one["concept_id"]: one["words"] for one in map(json.loads, lines)}


def uses(text, words):
    return re.search(rf"\b({'|'.join(words)})(s|es)?\b", text, re.IGNORECASE) is not None


def test_positives_use_a_word_of_the_concept_and_test_negatives_do_not(words):
    concepts = read_concepts(FOLDER)
    assert len(concepts) == len(words) == 24
    for one in concepts:
        assert all(uses(row.output, words[one.id]) == row.positive for row in one.test)
        assert all(uses(row.output, words[one.id]) for row in one.train if row.positive)


def test_training_and_test_share_no_answers():
    for one in read_concepts(FOLDER):
        assert {row.output for row in one.train}.isdisjoint(row.output for row in one.test)


def test_both_sides_are_written_alike():
    """Half of the shared negatives are answers to the requests that positives are answers to, about other things."""
    forms = re.compile(r"^(A|An|The) \w+")
    for one in read_concepts(FOLDER):
        shares = [
            sum(bool(forms.match(row.output)) for row in rows) / len(rows)
            for rows in ([r for r in one.train if r.positive], [r for r in one.train if not r.positive])
        ]
        assert min(shares) > 0.1
