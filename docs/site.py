"""Pages of the site that stand elsewhere in the repository: the README as its start, and the changelog."""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
ELSEWHERE = re.compile(r"\[([^\]]+)\]\((?:\.\./)+(?!docs/)[^)]*\)")
"""Links to files of the repository that are no pages."""


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made of other files."""
    readme = (ROOT / "README.md").read_text().replace("](docs/", "](")
    readme = re.sub(r"\[([^\]]+)\]\(examples/[^)]*\)", r"\1", readme)
    files.append(File.generated(config, "index.md", content=readme))
    files.append(File.generated(config, "changelog.md", content=(ROOT / "CHANGELOG.md").read_text()))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Leave out links to what the site does not have."""
    return ELSEWHERE.sub(r"\1", markdown)
