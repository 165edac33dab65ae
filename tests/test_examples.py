"""The examples, made small; on a real model where its weights are installed."""

import runpy
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
def test_the_guides_block_of_python_runs(mmsteer, tmp_path, monkeypatch):
    guide = (TOPIC.parents[1] / "docs" / "from-a-paper-to-a-run.md").read_text()
    block = guide.split("```python\n")[1].split("```")[0].replace("tokens=32", "tokens=4")
    rows = (TOPIC / "questions.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "questions.jsonl").write_text("".join([row for row in rows if '"test"' in row][:2]))
    monkeypatch.chdir(tmp_path)
    found = ("--data", TOPIC / "sentences.jsonl", "--family", "topic", "--sites", "text.19", "--positions", "all")
    code, _, err = mmsteer("probe", "--model", "bundled:text", *found, "--out", "topic.safetensors")
    assert code == 0, err
    seen: dict[str, object] = {}
    exec(block, seen)
    assert len(seen["results"].samples["pushed"]) == 2


SEED = Path(__file__).parents[1] / "examples" / "seed-methods"
PARTS = {
    "choice.jsonl": {"training": 48, "validation": 24, "test": 48},
    "spanish.jsonl": {"training": 144, "validation": 12, "test": 12},
    "short.jsonl": {"training": 144, "validation": 12, "test": 12},
    "uppercase.jsonl": {"training": 144, "validation": 12, "test": 12},
    "list.jsonl": {"training": 144},
    "sea.jsonl": {"training": 144, "validation": 12, "test": 12},
    "ten-words.jsonl": {"training": 72, "validation": 12, "test": 48},
    "refusal.jsonl": {"training": 49, "validation": 24, "test": 68},
    "people.jsonl": {"training": 180, "test": 180},
    "plain.jsonl": {"validation": 12, "test": 48},
    "paraphrases.jsonl": {"training": 160, "validation": 60, "test": 140},
    "contrasts.jsonl": {"training": 152, "validation": 57, "test": 95},
}


@pytest.mark.parametrize("name", PARTS)
def test_rows_of_seed_methods_are_whole_and_on_one_side(name):
    rows = read_rows(SEED / name)
    assert {split: sum(row.split == split for row in rows) for split in PARTS[name]} == PARTS[name]
    sides = {}
    for row in rows:
        assert sides.setdefault(row.group or row.asked().text, row.split) == row.split
    asked = {split: {row.asked().text for row in rows if row.split == split} for split in PARTS[name]}
    assert sum(map(len, asked.values())) == len(set.union(*asked.values()))


def test_seed_questions_have_their_answer():
    questions = read_rows(SEED / "choice.jsonl")
    assert all(row.answer in row.options and len(set(row.options)) == 4 for row in questions)
    assert all(option in row.asked().text for row in questions for option in row.options)
    places = [row.options.index(row.answer) for row in questions]
    assert all(18 <= places.count(place) <= 42 for place in range(4))


def test_paraphrases_are_groups_of_five_with_one_answer():
    groups = {}
    for row in read_rows(SEED / "paraphrases.jsonl"):
        groups.setdefault(row.group, []).append(row)
    assert {len(some) for some in groups.values()} == {5}
    assert all(len({(row.answer, row.options) for row in some}) == 1 for some in groups.values())
    answers = [some[0].options.index(some[0].answer) for some in groups.values()]
    assert answers.count(0) == answers.count(1) == 36


@pytest.mark.parametrize(("name", "conditions"), [("saif", 2), ("sea", 6), ("corrsteer", 3)])
def test_the_recipes_of_seed_methods_are_whole(name, conditions):
    assert len(check_recipe(SEED / f"{name}.yaml").conditions) == conditions


@pytest.mark.usefixtures("smollm2")
def test_a_pipeline_of_transformers_is_steered():
    script = runpy.run_path(str(SEED.parent / "transformers" / "pipeline.py"))
    plain, steered = script["main"]("bundled:text")
    assert plain != steered


@pytest.mark.usefixtures("smollm2")
def test_a_probe_a_scorer_and_a_dictionary_method_of_ones_own(tmp_path):
    script = runpy.run_path(str(SEED.parent / "extending" / "extending.py"))
    results = script["main"]("bundled:text", str(tmp_path / "run"), tokens=6, rows=2)
    assert set(results.scores) == {"median difference", "most telling feature"}
    assert all(found["nautical"]["steered"]["n"] == 2 for found in results.scores.values())
