"""AxBench's tables as they are published."""

import json
import time

import pytest

from mmsteer.axbench import read_concepts
from mmsteer.errors import DataError, PositionsError
from mmsteer.recipes.axbench import check_axbench
from mmsteer.recipes.loading import find_recipe
from tests.axbench.conftest import rows, written

LAYOUTS = {
    "own": ("train.jsonl", "test.jsonl"),
    "hub": ("train/data.jsonl", "test/data.jsonl"),
    "axbench": ("generate/train_data.json", "inference/latent_eval_data.json"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_read(tmp_path, folder, layout):
    for name, some in zip(LAYOUTS[layout], rows().values(), strict=True):
        written(tmp_path / name, some)
    assert read_concepts(tmp_path) == read_concepts(folder)


def test_of_parquet(tmp_path, folder):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    for name, some in rows().items():
        (tmp_path / name).mkdir()
        write_table(arrow.Table.from_pylist(some), tmp_path / name / "data.parquet")
    assert read_concepts(tmp_path) == read_concepts(folder)


def test_shared_negatives_belong_to_every_concept(concepts):
    assert [(one.id, one.text) for one in concepts] == [(0, "cup"), (1, "table")]
    for one in concepts:
        assert sum(example.positive for example in one.train) == 8
        assert sum(not example.positive for example in one.train) == 8


def test_negatives_are_of_the_genre_of_the_concept(tmp_path):
    told = rows()
    told["train"] += [{**one, "concept_genre": "code"} for one in told["train"] if one["concept_id"] == -1]
    for name, some in told.items():
        written(tmp_path / f"{name}.jsonl", some)
    assert len(read_concepts(tmp_path)[0].train) == 16


def test_thousands_of_concepts_take_time_by_their_rows(tmp_path):
    given = rows()
    for name, some in given.items():
        one, other = (next(row for row in some if (row["category"] == "positive") is side) for side in (True, False))
        written(
            tmp_path / f"{name}.jsonl",
            [{**row, "concept_id": at} for at in range(4000) for row in (one, one, other, other)],
        )
    start = time.monotonic()
    assert len(read_concepts(tmp_path)) == 4000
    assert time.monotonic() - start < 8


def test_halves_share_nothing_and_have_both_sides_and_hard_negatives(concepts):
    first, second = concepts[0].halves()
    assert sorted(map(repr, first + second)) == sorted(map(repr, concepts[0].test))
    for half in (first, second):
        assert [sum(one.positive for one in half), sum(one.hard for one in half), len(half)] == [4, 2, 9]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda told: told["train"][0].pop("output"), "train.jsonl:1: output: Field required"),
        (lambda told: told["train"][0].update(category="maybe"), "category: Input should be 'positive'"),
        (
            lambda told: told.update(train=[one for one in told["train"] if one["concept_id"] < 0]),
            "belongs to a concept",
        ),
        (
            lambda told: told.update(test=[one for one in told["test"] if one["concept_id"]]),
            "concept 0 has fewer than 2",
        ),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path, change, message):
    told = rows()
    change(told)
    for name, some in told.items():
        written(tmp_path / f"{name}.jsonl", some)
    with pytest.raises(DataError, match=message):
        read_concepts(tmp_path)


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(DataError, match="no table of train examples"):
        read_concepts(tmp_path)


def test_the_set_that_ships_is_whole_and_a_copied_recipe_finds_it(tmp_path):
    (tmp_path / "mine.yaml").write_bytes(find_recipe("axbench-text").read_bytes())
    recipe, concepts, instructions = check_axbench(tmp_path / "mine.yaml")
    assert len(concepts) >= 20
    assert len(instructions) >= recipe.prompts
    asked = {"train": set(), "test": set()}
    for one in concepts:
        assert sum(example.positive for example in one.train) >= 15
        assert min(sum(example.positive for example in half) for half in one.halves()) >= 8
        asked["train"] |= {example.input for example in one.train}
        asked["test"] |= {example.input for example in one.test}
    assert asked["train"].isdisjoint(asked["test"] | set(instructions))
    assert asked["test"].isdisjoint(instructions)
    assert json.loads(json.dumps(recipe.model_dump(mode="json")))["kind"] == "axbench"


def test_positions_that_cannot_be_read_are_refused_before_any_compute():
    with pytest.raises(PositionsError, match="no term 'nowhere'"):
        check_axbench("axbench-text", ["positions=nowhere"])
