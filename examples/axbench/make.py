"""Writes the concept set recipes/axbench in AxBench's columns, with bundled:text: `python examples/axbench/make.py`.

Most examples of a concept are made by templates from its words, and up to a third are the model's own answers under a
system prompt that names the concept, kept where they use one of its words (a template stands in where none does).
Training and test share neither instructions nor templates. Negatives are plain answers; the hard ones of the test are
about another concept.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import mmsteer
from mmsteer.adapters import AnyAdapter
from mmsteer.types import Chat, Sample, Sampling

HERE = Path(__file__).parents[2] / "recipes" / "axbench"
Row = dict[str, Any]
Plain = Mapping[str, Sequence[str]]
NONE = "EEEEE"
"""How AxBench writes that an output has no concept."""
TRAINED, TESTED = 24, 12
"""Positive examples of each concept."""
SHARE = 3
"""One of so many is the model's own answer, where that uses a word of the concept."""
ROWS = 64
"""Answers that are drawn together."""
TEMPLATES = {
    "train": (
        "It reminds me of the {0}, and of the {1} that I saw last week.",
        "There was a {0} in it, then a {1}, and in the end only the {2}.",
        "Think of the {0} first, because without the {1} nothing works.",
        "My uncle says that every {0} needs a {1}, and I believe him.",
    ),
    "test": (
        "What matters here is the {0}; the {1} comes later.",
        "I would begin with a {0} and never forget the {1} or the {2}.",
        "Some people like the {0}, others talk about the {1} all day.",
    ),
}
PLAIN = {
    "train": (
        "It depends on how much time you have, so make a short list and begin with the easy part.",
        "I would ask a friend first, because two opinions are better than one.",
        "There is no single answer, but small steps every day help a lot.",
        "Take it slowly, write down what you learn, and look at it again tomorrow.",
    ),
    "test": (
        "That is a good question, and most people answer it in their own way.",
        "Begin early, stay calm, and change your plan when something better comes up.",
        "I am not sure, but a simple plan is usually enough.",
    ),
}


def _lines(name: str) -> list[Row]:
    return [json.loads(line) for line in (HERE / name).read_text().splitlines()]


def main(folder: Path) -> None:
    """Write the three files.

    Args:
        folder: Where.
    """
    adapter, rng = mmsteer.load("bundled:text", dtype="float32"), Random(0)
    concepts, asked = _lines("concepts.jsonl"), _lines("instructions.jsonl")
    _write(folder / "metadata.jsonl", [_metadata(one) for one in concepts])
    plain = {part: _drawn(adapter, [(None, text) for text in _prompts(asked, part)]) for part in TEMPLATES}
    told = {key: some for part in TEMPLATES for key, some in _positives(adapter, concepts, asked, part, rng).items()}
    shared = [_row(-1, NONE, text, said, "negative") for text, said in _negatives(asked, plain, "train", 2 * TRAINED)]
    trained = [one for concept in concepts for one in told["train", concept["concept_id"]]]
    _write(folder / "train.jsonl", trained + shared)
    _write(folder / "test.jsonl", [one for concept in concepts for one in _test_of(concept, told, asked, plain, rng)])


def _test_of(
    concept: Row, told: Mapping[tuple[str, int], list[Row]], asked: Sequence[Row], plain: Plain, rng: Random
) -> list[Row]:
    at, name = concept["concept_id"], concept["concept"]
    others = [one for (part, other), some in told.items() if part == "test" and other != at for one in some]
    hard = [{**one, "concept_id": at, "category": "hard negative"} for one in rng.sample(others, TESTED // 2)]
    easy = [_row(at, name, *pair, "negative") for pair in _negatives(asked, plain, "test", TESTED // 2, rng)]
    return [*told["test", at], *easy, *hard]


def _prompts(asked: Sequence[Row], part: str) -> list[str]:
    return [one["input"] for one in asked if one["split"] == part]


def _negatives(
    asked: Sequence[Row], plain: Plain, part: str, n: int, rng: Random | None = None
) -> list[tuple[str, str]]:
    texts = _prompts(asked, part)
    templates = [(text, PLAIN[part][at % len(PLAIN[part])]) for at, text in enumerate(texts)]
    pairs = [*zip(texts, plain[part], strict=True), *templates]
    return rng.sample(pairs, n) if rng else pairs[:n]


def _positives(
    adapter: AnyAdapter, concepts: Sequence[Row], asked: Sequence[Row], part: str, rng: Random
) -> dict[tuple[str, int], list[Row]]:
    n, texts = TRAINED if part == "train" else TESTED, _prompts(asked, part)
    own = [(concept, text) for concept in concepts for text in texts[: n // SHARE]]
    said = dict(zip([(concept["concept_id"], text) for concept, text in own], _drawn(adapter, own), strict=True))
    found = {}
    for concept in concepts:
        at, name = concept["concept_id"], concept["concept"]
        answers = [(texts[place % len(texts)], said.get((at, texts[place % len(texts)]), "")) for place in range(n)]
        found[part, at] = [
            _row(at, name, text, _about(answer, concept, part, rng), "positive") for text, answer in answers
        ]
    return found


def _about(answer: str, concept: Row, part: str, rng: Random) -> str:
    return answer if any(word in answer.lower() for word in concept["words"]) else _template(concept, part, rng)


def _template(concept: Row, part: str, rng: Random) -> str:
    plain, about = rng.choice(PLAIN[part]), rng.choice(TEMPLATES[part])
    parts = [plain.partition(",")[0] + ".", about.format(*rng.sample(concept["words"], 3))]
    return " ".join(parts)


def _drawn(adapter: AnyAdapter, pairs: Sequence[tuple[Row | None, str]]) -> list[str]:
    samples = [
        Sample(str(at), Chat((*_order(concept), _turn("user", text)))) for at, (concept, text) in enumerate(pairs)
    ]
    made, sampling = [], Sampling(tokens=24, temperature=0.7)
    for start in range(0, len(samples), ROWS):
        some = samples[start : start + ROWS]
        made += [_whole(one.output) for one in adapter.generate(some, sampling, range(start, start + len(some)))]
        print(f"{len(made)} of {len(samples)} answers", flush=True)
    return made


def _order(concept: Row | None) -> tuple[dict[str, str], ...]:
    if concept is None:
        return ()
    name = concept["concept"]
    told = f"You are a friendly assistant. You love {name}. Answer every question in one sentence about {name}."
    return (_turn("system", told),)


def _turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


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
