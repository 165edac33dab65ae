"""Benchmarks, run as a user does."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark(tmp_path):
    """Runs a benchmark and gives the tables that it wrote, by their titles."""

    def run(script, *words, name):
        command = [sys.executable, FOLDER / script, *map(str, words), "--out", tmp_path]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads((tmp_path / f"{name}.json").read_text())["tables"]

    return run
