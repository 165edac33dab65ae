"""A run on two hosts that are network namespaces; skips where they cannot be made."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "two_hosts.py"


def test_a_run_on_two_hosts_has_the_folder_of_one_process():
    pytest.importorskip("ray", reason="Ray is not installed: uv pip install 'ray[client]'")
    done = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, check=False)
    if done.returncode == 3:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    where, folders = (json.loads(line) for line in done.stdout.splitlines()[-2:])
    assert where["driver"] == "mmsteer-a"
    assert set(where["pieces"]) == {"mmsteer-a", "mmsteer-b"}
    assert sum(where["pieces"].values()) == 16
    assert folders["files"] > 10
    assert folders["differing"] == []
