"""Concepts of a small talking model, in the columns in which AxBench publishes its tables."""

import json

import pytest

from mmsteer.axbench import read_concepts
from tests.conftest import TALK

WORDS = [word for word in TALK if word not in ("cup", "table", "system", "user", "assistant", ":")]
CONCEPTS = ("cup", "table")


def row(at, concept, said, category, place):
    return {
        "input": " ".join(WORDS[(place + step) % len(WORDS)] for step in range(3)),
        "output": said,
        "output_concept": concept,
        "concept_genre": "text",
        "category": category,
        "dataset_category": "instruction",
        "concept_id": at,
        "sae_link": "https://www.neuronpedia.org/gemma-2-2b/10-gemmascope-res-16k/1",
        "sae_id": 1,
    }


def plain(place):
    return " ".join(WORDS[(place * 5 + step) % len(WORDS)] for step in range(2))


def rows():
    train = [
        row(at, word, f"{word} {WORDS[place]} {word}", "positive", place)
        for at, word in enumerate(CONCEPTS)
        for place in range(8)
    ]
    train += [row(-1, "EEEEE", plain(place), "negative", place) for place in range(8)]
    test = []
    for at, word in enumerate(CONCEPTS):
        other = CONCEPTS[1 - at]
        test += [row(at, word, f"{WORDS[-1 - place]} {word}", "positive", place) for place in range(8)]
        test += [row(at, word, plain(place + 3), "negative", place) for place in range(6)]
        test += [row(at, word, f"{other} {WORDS[place]}", "hard negative", place) for place in range(4)]
    return {"train": train, "test": test}


def written(path, some):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(one) + "\n" for one in some))


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("concepts")
    for part, some in rows().items():
        written(path / f"{part}.jsonl", some)
    return path


@pytest.fixture(scope="session")
def concepts(folder):
    return read_concepts(folder)
