"""The examples, made small; on a real model where its weights are installed."""

from pathlib import Path

import pytest

from mmsteer.recipes.checks import check_recipe
from mmsteer.tasks import check_labels, read_rows

TOPIC = Path(__file__).parents[1] / "examples" / "topic"
SMALL = (
    "directions.0.sites=text.13",
    "conditions.0.sweep={site: [text.13], strength: [0.25]}",
    "choose=null",
    "data.n=2",
    "generate.tokens=8",
    "controls.shuffled=false",
)


def test_the_topics_rows_are_whole():
    sentences, questions = read_rows(TOPIC / "sentences.jsonl"), read_rows(TOPIC / "questions.jsonl")
    assert check_labels(sentences) == ("sea", "other")
    assert [sum(row.label == label for row in sentences) for label in ("sea", "other")] == [24, 24]
    assert {split: len(read_rows(TOPIC / "questions.jsonl", split=split)) for split in ("validation", "test")} == {
        "validation": 8,
        "test": 16,
    }
    assert len({row.text for row in (one.asked() for one in questions)}) == 24
    assert len(check_recipe(TOPIC / "recipe.yaml").conditions) == 6


@pytest.mark.usefixtures("smollm2")
def test_the_topic_is_found_pushed_and_shown(mmsteer, tmp_path):
    code, out, err = mmsteer("run", TOPIC / "recipe.yaml", *SMALL, "--out", tmp_path / "run", "--quiet")
    assert code == 0, err
    assert "sea at text.13, 0.25 (n = 2)" in out
    page = (tmp_path / "run" / "report.html").read_text()
    assert '<mark class="changed">' in page
    assert "topic:sea 0.25" in page
