"""What a run was made with, and what its results depend on."""

import hashlib
import json
import platform
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import mmsteer
from mmsteer.types import Adapter
from mmsteer.versions import versions

UNRELATED = ("cli", "report", "bundled", "worlds/training")
"""Parts of the package that no result depends on."""


def environment(name: str, adapter: Adapter, directions: Iterable[Path], files: Iterable[Path]) -> dict[str, Any]:
    """What a run was made with, as plain JSON.

    `name`: what the model was loaded as.
    `directions`: the files that directions were read from.
    `files`: the files that data were read from.
    """
    return {
        "mmsteer": metadata.version("mmsteer"),
        "code": code_digest(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": versions(),
        "model": {"name": name, "fingerprint": adapter.fingerprint},
        "directions": {file.name: file_digest(file) for file in directions},
        "files": {str(file): file_digest(file) for file in files},
    }


def run_id(content: Any) -> str:
    """What a run depends on, as a short hash: what it is told, this code, and the libraries that make the numbers.

    `content`: all that the run is told, as plain JSON.
    """
    text = json.dumps([content, code_digest(), versions(), sys.version_info[:2]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def code_digest() -> str:
    """A hash of the code that results depend on."""
    root = Path(mmsteer.__file__).parent
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        part = file.relative_to(root)
        if not part.as_posix().removesuffix(".py").startswith(UNRELATED):
            digest.update(part.as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]
