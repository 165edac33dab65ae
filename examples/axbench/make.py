"""Writes the concept set recipes/axbench in AxBench's columns, with bundled:text: `python examples/axbench/make.py`.

An example of a concept is the model's own answer to a request that names the concept or one of its words, kept where it
uses one of the words, and put under an instruction that has nothing to do with it. Negatives are the model's answers to
the same kinds of requests about other things, and to the instructions as they are: positives differ from them in what
they are about, not in how they are written. The hard ones of the test are about another concept. Training and test
share neither instructions nor requests.
"""

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import mmsteer
from mmsteer.adapters import AnyAdapter
from mmsteer.types import Sample, Sampling

HERE = Path(__file__).parents[2] / "recipes" / "axbench"
Row = dict[str, Any]
NONE, SHARED = "EEEEE", -1
"""How AxBench writes that an output has no concept, and which number it has."""
TOKENS = 28
ROWS = 96
"""Answers that are drawn together."""
REQUESTS = {
    "train": ("Describe a {word} in two sentences.", "Tell me something about {about}. How does the {word} come in?"),
    "test": ("Write one sentence about {about} with the word {word}.", "What is interesting about a {word}?"),
}
OTHER = {
    "train": (
        *("window", "pencil", "chair", "letter", "carpet", "mirror", "bottle", "clock", "basket", "ladder", "pillow"),
        "lamp",
    ),
    "test": ("door", "table", "box", "spoonful", "bag", "blanket"),
}
"""Things that no concept is about."""


def _lines(name: str) -> list[Row]:
    return [json.loads(line) for line in (HERE / name).read_text().splitlines()]


def main(folder: Path) -> None:
    """Write the three files.

    Args:
        folder: Where.
    """
    adapter, rng = mmsteer.load("bundled:text", dtype="float32"), Random(0)
    concepts, asked = _lines("concepts.jsonl"), _lines("instructions.jsonl")
    told = {part: _told(adapter, concepts, asked, part) for part in REQUESTS}
    _write(folder / "metadata.jsonl", [_metadata(one) for one in concepts])
    _write(folder / "train.jsonl", [row for rows in told["train"].values() for row in rows])
    _write(folder / "test.jsonl", [row for one in concepts for row in _test_of(one, told["test"], rng)])


def _told(adapter: AnyAdapter, concepts: Sequence[Row], asked: Sequence[Row], part: str) -> dict[int, list[Row]]:
    """Rows of each concept, and of none under -1."""
    texts = [one["input"] for one in asked if one["split"] == part]
    things = [(None, form.format(about=f"a {word}", word=word)) for form in REQUESTS[part] for word in OTHER[part]]
    about = [
        (concept, form.format(about=concept["concept"], word=word))
        for concept in concepts
        for form in REQUESTS[part]
        for word in concept["words"]
    ]
    pairs = [*((None, text) for text in texts), *things, *about]
    rows: dict[int, list[Row]] = {SHARED: []}
    for (concept, request), said in zip(pairs, _drawn(adapter, [text for _, text in pairs]), strict=True):
        some = rows.setdefault(SHARED if concept is None else concept["concept_id"], [])
        text = request if request in texts else texts[len(some) % len(texts)]
        if concept is None:
            some.append(_row(SHARED, NONE, text, said, "negative"))
        elif _uses(said, concept["words"]):
            some.append(_row(concept["concept_id"], concept["concept"], text, said, "positive"))
    return rows


def _uses(said: str, words: Sequence[str]) -> bool:
    return re.search(rf"\b({'|'.join(words)})(s|es)?\b", said, re.IGNORECASE) is not None


def _test_of(concept: Row, told: Mapping[int, Sequence[Row]], rng: Random) -> list[Row]:
    at, name = concept["concept_id"], concept["concept"]
    mine = list(told[at])
    others = [one for other, some in told.items() if other not in (at, SHARED) for one in some]
    # A sentence about another concept may use this one's words as well.
    others = [one for one in others if not _uses(one["output"], concept["words"])]
    hard = [{**one, "concept_id": at, "category": "hard negative"} for one in rng.sample(others, len(mine) // 2)]
    plain = [one for one in told[SHARED] if not _uses(one["output"], concept["words"])]
    easy = [_row(at, name, one["input"], one["output"], "negative") for one in rng.sample(plain, len(mine) // 2)]
    return [*mine, *easy, *hard]


def _drawn(adapter: AnyAdapter, texts: Sequence[str]) -> list[str]:
    samples = [Sample(str(at), text) for at, text in enumerate(texts)]
    made, sampling = [], Sampling(tokens=TOKENS, temperature=0.7)
    for start in range(0, len(samples), ROWS):
        some = samples[start : start + ROWS]
        made += [_whole(str(one.output)) for one in adapter.generate(some, sampling, range(start, start + len(some)))]
        print(f"{len(made)} of {len(samples)} answers", flush=True)
    return made


def _whole(said: str) -> str:
    """An answer up to the end of its last whole sentence, where it has one."""
    end = max(said.rfind(mark) for mark in ".!?")
    return said[: end + 1].strip() if end > 20 else said.strip()


def _metadata(one: Row) -> Row:
    return {
        "concept_id": one["concept_id"],
        "concept": one["concept"],
        "ref": "",
        "concept_genres_map": {one["concept"]: ["text"]},
    }


def _row(concept_id: int, concept: str, text: str, said: str, category: str) -> Row:
    return {
        "input": text,
        "output": said,
        "output_concept": concept,
        "concept_genre": "text",
        "category": category,
        "dataset_category": "instruction",
        "concept_id": concept_id,
        "sae_link": "",
        "sae_id": -1,
    }


def _write(path: Path, rows: Iterable[Row]) -> None:
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
