"""`mmsteer --version`, `python -m mmsteer`, and completion in the shell."""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_the_version_is_that_of_the_package(mmsteer):
    assert mmsteer("--version")[:2] == (0, f"mmsteer {VERSION}\n")


def test_python_runs_it_as_a_module():
    command = [sys.executable, "-m", "mmsteer", "--version"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == f"mmsteer {VERSION}\n"


def test_shells_can_complete(mmsteer):
    assert "--install-completion" in mmsteer("--help")[1]
