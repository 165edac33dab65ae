"""What needs a graphics card, at small sizes."""

import json
import os
import subprocess
import sys

from tests.benchmarks.conftest import FOLDER


def test_everything_for_a_card_runs_at_small_sizes(tmp_path):
    command = [FOLDER / "gpu.sh", "--small", "--out", tmp_path]
    environment = os.environ | {"PYTHON": sys.executable}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "gpu.json").read_text())["tables"]
    modes = [(row["model"], row["mode"]) for row in found["Decoding"] if "why" not in row]
    ways = ("eager", "compiled", "CUDA graphs")
    assert modes == [(f"a small {name}", way) for name in ("LLaVA", "MusicGen") for way in ways]
    # Of the language model a graph each for the steered and the unsteered step.
    assert [row["graphs"] for row in found["Decoding"][:3]] == [None, 2, 2]
    assert all(row["memory allows"] > row["steered tokens a second"] for row in found["Decoding"])
    requests = found["32 requests with vectors of their own"]
    assert [row["distinct vectors"] for row in requests] == [96, 96]
    assert [row["what"] for row in found["A step of a dictionary, and a fit of RFM"]] == ["a step", "RFM"]
