"""Golden numbers of `mmsteer` commands: make them, or compare today's code with them.

    python tests/oracles/make.py [NAME ...]            write NAME.json beside this file (default: all)
    python tests/oracles/make.py --check [NAME ...]    compare; prints what differs, exit code 1

What is kept, and what is not: README.md. Each command runs in a process of its own.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import chdir
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.oracles.commands import ORACLES
from tests.oracles.oracle import DATA, HERE, Numbers, Oracle, differences, kept_numbers, surroundings


class CommandFailed(Exception):
    """A command ended with another code than 0."""


def spawned(words: Sequence[str]) -> str:
    """Run a command in a new process, which no thread pool of this one has been copied into.

    Raises:
        CommandFailed: It did not end well.
    """
    command = [sys.executable, "-c", "from mmsteer.cli import main; main()", *map(str, words)]
    # A table keeps its words whole.
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"COLUMNS": "200"}, check=False)
    if done.returncode:
        raise CommandFailed(f"mmsteer {shlex.join(words)}: exit code {done.returncode}")
    return done.stdout


def document(oracle: Oracle, numbers: Numbers, seconds: float) -> str:
    """The text of a golden file, one line a number."""

    head = {
        "command": " && ".join(f"mmsteer {command}" for command in oracle.commands),
        "seconds": round(seconds),
        "made_with": surroundings(),
    }
    lines = [f" {json.dumps(key)}: {json.dumps(value)}," for key, value in head.items()]
    inner = [f"  {json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in numbers.items()]
    return "\n".join(["{", *lines, ' "numbers": {', ",\n".join(inner), " }", "}"]) + "\n"


def main() -> int:
    """Make or check the golden files that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(ORACLES))
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    given = parser.parse_args()
    if unknown := [name for name in given.names if name not in ORACLES]:
        parser.error(f"no oracle {unknown[0]!r}; choose from {', '.join(ORACLES)}")
    return max([_one(name, ORACLES[name], given.check) for name in given.names or ORACLES], default=0)


def _one(name: str, oracle: Oracle, check: bool) -> int:
    if oracle.missing:
        print(f"{name}: left out, {DATA} has no {oracle.missing[0]}", flush=True)
        return 0
    start = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory() as folder, chdir(folder):
            numbers = oracle.numbers(spawned)
        changed = differences(kept_numbers(name), numbers) if check else []
    except (CommandFailed, OSError, LookupError, ValueError) as failure:
        # A file that is gone or has another form is a difference, too; the others are still to be checked.
        print(f"{name}: {type(failure).__name__}: {failure}", flush=True)
        return 1
    seconds = time.perf_counter() - start
    if not check:
        (HERE / f"{name}.json").write_text(document(oracle, numbers, seconds))
    state = f"{len(changed)} differ" if changed else "the same" if check else "written"
    print(f"{name}: {state}, {len(numbers)} numbers, {seconds:.0f} s", *changed, sep="\n  ", flush=True)
    return int(bool(changed))


if __name__ == "__main__":
    sys.exit(main())
