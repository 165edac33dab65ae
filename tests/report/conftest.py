import shutil
from pathlib import Path

import pytest

from tests.report.example import make_run


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Path:
    return make_run(tmp_path_factory.mktemp("report") / "run")


@pytest.fixture
def folder(made, tmp_path) -> Path:
    """A copy of the run to break."""
    return Path(shutil.copytree(made, tmp_path / "run", ignore=shutil.ignore_patterns("report.html")))
