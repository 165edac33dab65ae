"""Folders that belong to one piece of work, which goes on there when it is started again."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmsteer.atomic import write_atomically
from mmsteer.errors import MmsteerError
from mmsteer.json_lines import read_json
from mmsteer.versions import versions


def claim(folder: Path, name: str, settings: Mapping[str, Any], what: str, error: type[MmsteerError]) -> None:
    """Make a folder this work's own, or find that it is already.

    Args:
        folder: The folder, which is made where it is missing.
        name: Of the file that says whose it is.
        settings: What the result depends on besides the libraries that make its numbers, as JSON holds it.
        what: What the work is called, such as `search`.
        error: What is raised.

    Raises:
        MmsteerError: As `error`: the folder holds another such work.
    """
    settings = {**settings, "packages": versions()}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    if not path.exists():
        write_atomically(path, (json.dumps(settings, indent=1) + "\n").encode())
        return
    found = read_json(path, error)
    differ = sorted(key for key in {*found, *settings} if found.get(key) != settings.get(key))
    if differ:
        raise error(
            f"{folder} holds another {what}, which differs in {', '.join(differ)}; choose another folder, or remove it"
        )
