"""What a new process costs before it does anything: processor seconds of imports and of loading, by turns.

    python benchmarks/start.py [--out FOLDER] [--rounds 5]

Compiled modules are kept (`PYTHONDONTWRITEBYTECODE` is taken away), and everything has been read once before. The
model's own class, as transformers imports it, is the least that loading the model can cost.
"""

import argparse
import os
import resource
import subprocess
import sys
from functools import partial
from pathlib import Path

from report import Row, Spread, by_turns, write_report

COMMANDS = {
    "mmsteer --help": ["-m", "mmsteer", "--help"],
    "import torch": ["-c", "import torch"],
    "mmsteer recipes check one-note": ["-m", "mmsteer", "recipes", "check", "one-note"],
    "the class of bundled:text and its tokenizer's": [
        "-c",
        "from transformers import LlamaForCausalLM, PreTrainedTokenizerFast",
    ],
    "mmsteer.load('bundled:text')": ["-c", "import mmsteer; mmsteer.load('bundled:text')"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks"))
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    times = by_turns({name: partial(seconds, words) for name, words in COMMANDS.items()}, options.rounds)
    rows: list[Row] = [{"process": name, "processor s": Spread.of(found)} for name, found in times.items()]
    print(write_report("start", {"A new process": rows}, options.out)[1].read_text())


def seconds(words: list[str]) -> float:
    """Of the processor, user and system, for one process."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *words], check=True, env=environment, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
