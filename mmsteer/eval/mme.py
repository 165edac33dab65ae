"""MME: two yes-or-no questions an image, in 14 subtasks.

A subtask's score is its accuracy over questions plus its accuracy over images, where both questions must be right;
each in percent, 200 at most. As in the reference, an answer whose first four characters say neither is wrong; it is
counted too.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmsteer.errors import EvalError, clip
from mmsteer.eval.answers import read_text
from mmsteer.eval.bootstrap import Floats, bootstrap
from mmsteer.types.score import Score

HALLUCINATION = ("existence", "count", "position", "color")
PERCEPTION = (*HALLUCINATION, "posters", "celebrity", "scene", "landmark", "artwork", "OCR")
COGNITION = ("commonsense_reasoning", "numerical_calculation", "text_translation", "code_reasoning")
TOTALS = {"perception": PERCEPTION, "cognition": COGNITION, "hallucination": HALLUCINATION}


@dataclass(frozen=True)
class Subtask:
    """One subtask's result.

    `accuracy`: right questions, in percent.
    `accuracy_plus`: images with both questions right, in percent.
    `score`: their sum, with its interval over images.
    `unparsed`: answers that say neither yes nor no, counted as wrong.
    """

    accuracy: float
    accuracy_plus: float
    score: Score
    images: int
    unparsed: int


def parse_mme(answer: str) -> str | None:
    """Yes or no by the first four characters; None for neither.

    >>> parse_mme("Yes, it is"), parse_mme(" no."), parse_mme("The answer is yes")
    ('yes', 'no', None)
    """
    start = answer.lower()[:4]
    return "yes" if "yes" in start else "no" if "no" in start else None


def score_mme(folder: str | Path) -> dict[str, Subtask]:
    """The subtasks whose result files are in a folder.

    `folder`: holds `existence.txt` and so on: image, question, truth and response, separated by tabs, the two questions
    of an image one after the other.

    Raises:
        EvalError: The folder has no such file, or a line is broken.

    Source: Fu et al. 2023, MME, arXiv:2306.13394.
    """
    paths = {name: Path(folder) / f"{name}.txt" for name in (*PERCEPTION, *COGNITION)}
    found = {name: path for name, path in paths.items() if os.path.isfile(path)}
    if not found:
        raise EvalError(f"{folder}: no result file of MME, such as existence.txt; give the folder with one a subtask")
    return {name: _subtask(path) for name, path in found.items()}


def mme_json(subtasks: Mapping[str, Subtask]) -> dict[str, Any]:
    """Plain values; a total is null where a subtask of it is missing."""
    return {name: _total(subtasks, parts) for name, parts in TOTALS.items()} | {
        "unparsed": sum(one.unparsed for one in subtasks.values()),
        "missing": [name for name in (*PERCEPTION, *COGNITION) if name not in subtasks],
        "subtasks": {
            name: {
                "score": one.score.value,
                "accuracy": one.accuracy,
                "accuracy_plus": one.accuracy_plus,
                "interval": [one.score.low, one.score.high],
                "images": one.images,
                "unparsed": one.unparsed,
            }
            for name, one in subtasks.items()
        },
    }


def _total(subtasks: Mapping[str, Subtask], parts: Sequence[str]) -> float | None:
    if any(name not in subtasks for name in parts):
        return None
    return sum(subtasks[name].accuracy + subtasks[name].accuracy_plus for name in parts)


def _subtask(path: Path) -> Subtask:
    rows = [_row(path, line, text) for line, text in enumerate(read_text(path).split("\n"), 1) if text.strip()]
    if not rows:
        raise EvalError(f"{path} is empty; each line has image, question, truth and response, separated by tabs")
    pairs = [_pair(path, rows[start : start + 2]) for start in range(0, len(rows), 2)]
    right = np.array(pairs, dtype=np.float64)
    table = np.stack([right.sum(axis=1), right.all(axis=1), np.ones(len(pairs))], axis=1)
    return Subtask(
        accuracy=100 * float(right.mean()),
        accuracy_plus=100 * float(right.all(axis=1).mean()),
        score=bootstrap(_score, table),
        images=len(pairs),
        unparsed=sum(said is None for _, _, _, said in rows),
    )


def _score(sums: Floats) -> Floats:
    return 100 * (sums[..., 0] / 2 + sums[..., 1]) / sums[..., 2]


_Row = tuple[int, str, str, str | None]


def _row(path: Path, line: int, text: str) -> _Row:
    parts = text.rstrip("\r").split("\t", 3)
    truth = parts[2].strip().lower() if len(parts) == 4 else ""
    if truth not in ("yes", "no"):
        raise EvalError(
            f"{path}:{line}: a line is image, question, Yes or No, response, separated by tabs; got {clip(text)}"
        )
    return line, parts[0], truth, parse_mme(parts[3])


def _pair(path: Path, rows: Sequence[_Row]) -> list[bool]:
    if len({image for _, image, _, _ in rows}) != 1 or len(rows) != 2:
        raise EvalError(
            f"{path}:{rows[-1][0]}: the questions about {rows[0][1]} are not two in a row; MME asks two an image"
        )
    return [truth == said for _, _, truth, said in rows]
