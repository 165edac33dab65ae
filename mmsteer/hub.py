"""Directions on the Hugging Face Hub: a safetensors file with a card that says where they come from."""

import re
from collections.abc import Collection, Iterable, Mapping, Set
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from huggingface_hub import CommitOperationAdd, HfApi, ModelInfo
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from mmsteer.direction_file import save_directions
from mmsteer.errors import DataError, DirectionError
from mmsteer.formats import is_trained
from mmsteer.formats.hub_file import HELP, REPO, first_line
from mmsteer.json_lines import read_json
from mmsteer.steering.names import quoted
from mmsteer.types import UNKNOWN, Direction

ARMS = ("steered", "unsteered", "random", "shuffled")
"""Scores of an evaluation that a card shows, of those that there are."""

Scores = Mapping[str, Mapping[str, Mapping[str, Any]]]


def push(
    directions: Mapping[str, Direction] | Iterable[Direction],
    repo: str,
    *,
    licence: str,
    file: str = "directions.safetensors",
    model: str | None = None,
    scores: Scores | None = None,
    private: bool = False,
    overwrite: bool = False,
    message: str = "Add directions",
) -> str:
    """Upload directions with a card; the repository is made where there is none.

    Args:
        directions: The directions.
        repo: `user/name`.
        licence: Of the vectors, as the hub writes licences: `apache-2.0`, `cc-by-4.0`, `llama3.1`, `other`.
        file: Its name there.
        model: Name of the model that they were found in, on the hub.
        scores: Of an evaluation, as `mmsteer.evaluate(...).scores` has them, controls included.
        private: Make a private repository; one that is there already has to be private.
        overwrite: Replace the file and the card (`README.md`) of a repository that has them.
        message: Of the commit.

    Returns:
        The address for `load_directions`.

    Raises:
        DirectionError: There are no directions, or the names are none of the hub's; the repository is public, or has
            such files; the hub cannot be reached, or does not let this user write there.
    """
    known = list(directions.values() if isinstance(directions, Mapping) else directions)
    if not known:
        raise DirectionError("there are no directions to push; give at least one")
    _check_names(repo, file)
    card = card_of(known, repo, file, licence=licence, model=model, scores=scores)
    with TemporaryDirectory() as place:
        save_directions(Path(place) / "file", known)
        parts = [
            CommitOperationAdd(file, (Path(place) / "file").read_bytes()),
            CommitOperationAdd("README.md", card.encode()),
        ]
    hub = HfApi()
    try:
        hub.create_repo(repo, private=private, exist_ok=True)
        found = hub.model_info(repo)
        _check_repo(found, {part.path_in_repo for part in parts}, private, overwrite)
        # What was checked is what is written on: a commit of somebody else in between is an error of the hub.
        hub.create_commit(repo, parts, commit_message=message, parent_commit=found.sha)
    except (HfHubHTTPError, HFValidationError, OSError, ValueError, LookupError) as cause:
        raise DirectionError(f"{repo} cannot be written ({first_line(cause)}); {HELP}") from None
    return f"hf://{repo}/{file}"


def _check_names(repo: str, file: str) -> None:
    if not re.fullmatch(REPO, repo) or not re.fullmatch(r"[\w./-]+\.safetensors", file):
        raise DirectionError(f"{repo!r}, {file!r}: a repository is user/name, and the file in it ends in .safetensors")
    # pathlib drops `.` and empty parts, and the hub would take them as they are.
    if file != str(PurePosixPath(file)) or file.startswith("/") or ".." in file.split("/"):
        raise DirectionError(
            f"{file!r} is no path inside a repository; write NAME.safetensors or FOLDER/NAME.safetensors"
        )


def _check_repo(found: ModelInfo, written: Set[str], private: bool, overwrite: bool) -> None:
    if private and not found.private:
        raise DirectionError(
            f"{found.id} is there already, and public; make it private in its settings, or choose another repository"
        )
    taken = sorted(written & {one.rfilename for one in found.siblings or ()})
    if taken and not overwrite:
        raise DirectionError(
            f"{found.id} has {' and '.join(taken)} already; choose another repository, or replace them with "
            "overwrite=True (--force)"
        )


def read_scores(folder: str | Path) -> Scores:
    """The scores of a run folder, for a card.

    Args:
        folder: Of a finished run.

    Raises:
        DataError: It has none.
    """
    file = Path(folder) / "scores.json"
    found = read_json(file)
    try:
        scores = {row["condition"]: row["metrics"] for row in found["rows"]}
        _scores(scores)  # whatever is wrong in it shows here, not in the middle of an upload
    except (KeyError, TypeError, ValueError, AttributeError):
        raise DataError(f"{file} holds no scores of conditions; give the folder of a finished run") from None
    return scores


def card_of(
    directions: Collection[Direction],
    repo: str,
    file: str,
    *,
    licence: str,
    model: str | None = None,
    scores: Scores | None = None,
) -> str:
    """The card of a repository of directions, made from their provenance.

    Args:
        directions: The directions.
        repo: `user/name`.
        file: Its name there.
        licence: Of the vectors.
        model: Name of the model that they were found in.
        scores: Of an evaluation.
    """
    head: dict[str, Any] = {"license": licence, "library_name": "mmsteer", "tags": ["activation-steering", "mmsteer"]}
    if model:
        head["base_model"] = model
    first = next(iter(directions))
    line = f"{quoted(first.name)} {'1trained' if is_trained(first) else '0.1'}"
    parts = [
        f"---\n{yaml.safe_dump(head, sort_keys=True)}---\n# {_cell(repo)}",
        _introduction(model or _model_of(first), f"hf://{repo}/{file}", line),
        "## Directions\n\n" + _table(("direction", "sites", "best score", "found by"), map(_row, directions)),
        *map(_provenance, directions),
        _scores(scores) if scores else "## Scores\n\nNone were given: what these directions do was not measured here.",
        f"## Licence\n\n{_cell(licence)}; that of the model holds for its use.",
    ]
    return "\n\n".join(parts) + "\n"


def _introduction(model: str, address: str, line: str) -> str:
    # Names in the code are literals of Python, which neither end a string nor the block.
    return _INTRODUCTION.format(shown=_cell(model), model=repr(model), address=repr(address), line=repr(line))


_INTRODUCTION = """Directions for activation steering of {shown}, found with
[mmsteer](https://pypi.org/project/mmsteer/). The file is safetensors: loading it runs nothing.

```python
import mmsteer

adapter = mmsteer.load({model})
directions = mmsteer.load_directions({address})
with mmsteer.steer(adapter, {line}, directions):
    ...
```"""


def _model_of(direction: Direction) -> str:
    return "MODEL" if direction.model == UNKNOWN else direction.model


def _row(direction: Direction) -> tuple[str, ...]:
    first, last = str(direction.sites[0]), str(direction.sites[-1])
    scores = [one.score for one in direction.stats.values() if one.score is not None]
    return (
        direction.name,
        first if first == last else f"{first} to {last} ({len(direction.sites)})",
        f"{max(scores):.3f}" if scores else "not measured",
        direction.provenance.get("probe", direction.provenance.get("format", "unknown")),
    )


def _provenance(direction: Direction) -> str:
    rows = [("model", direction.model), *direction.provenance.items()]
    return f"### {_cell(direction.name)}\n\n" + _table(("what", "value"), rows)


def _scores(scores: Scores) -> str:
    arms = [arm for arm in ARMS if any(one.get(arm) for metrics in scores.values() for one in metrics.values())]
    rows = [
        (condition, metric, *(_score(one.get(arm)) for arm in arms))
        for condition, metrics in scores.items()
        for metric, one in metrics.items()
    ]
    words = "Beside the unsteered model and controls of the same dose, with 95 % intervals."
    return f"## Scores\n\n{words}\n\n" + _table(("condition", "metric", *arms), rows)


def _score(score: Mapping[str, Any] | None) -> str:
    if not score or score.get("value") is None:
        return "none"
    interval = "no interval" if score["low"] is None else f"{score['low']:.3g} to {score['high']:.3g}"
    return f"{score['value']:.3g} ({interval}, n {score['n']})"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    names = list(head)
    lines = [names, ["---"] * len(names), *([_cell(value) for value in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(text: str) -> str:
    # Provenance is of any origin: no table, heading, link, tag, entity, formula or mention of its own in the page.
    words = " ".join(str(text).split())
    shown = re.sub(r"([\\`|<>\[\]*_#!&~$@]|:(?=//)|(?<=www)\.)", r"\\\1", words[:500])
    return shown if len(words) <= 500 else f"{shown}..."
