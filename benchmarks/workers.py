"""Runs by several workers: are folders the same bytes, what does a piece cost beside its work, and what do kills lose?

    python benchmarks/workers.py same [--ray]          1, 2 and 4 workers beside none
    python benchmarks/workers.py kills --count 30      two workers and their driver, killed at random moments
    python benchmarks/workers.py overhead [--ray]      pieces that do nothing
    python benchmarks/workers.py paper                 a recording of a million samples, from measured parts

The model is a Llama of random weights with 4 layers of width 32; the recipe chooses a strength on other rows first.
"""

import argparse
import json
import os
import pickle
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmsteer.errors import MmsteerError
from mmsteer.recipes.experiment import Experiment, prepare
from mmsteer.recipes.run import run
from mmsteer.store import ActivationStore
from mmsteer.types import LogHistogram, Site
from mmsteer.workers import Held, opened
from mmsteer.workers.pool import Pool
from mmsteer.workers.processes import Process

sys.path.insert(0, str(Path(__file__).parents[1]))
MADE_AT = ("times.json", "digests.txt")
"""Seconds that fitting took, and the digests, of which one is that file's."""


def recipe(folder: Path) -> Path:
    """A recipe of many small pieces and its model."""
    from tests.adapters.checkpoints import save
    from tests.recipes.rows.recipe import PROMPTS, write, write_recipe, write_rows

    model = save("llama", folder / "model")
    write_rows(folder)
    rows = [{"prompt": PROMPTS[2 + at % 4], "answer": "yes", "options": ["yes", "no"]} for at in range(64)]
    write(folder / "test.jsonl", rows)
    return write_recipe(folder, model, **{"batch: 4": "batch: 2"})


def driver(path: Path, out: Path, workers: str | None) -> subprocess.Popen[bytes]:
    """A run in a process of its own."""
    words = [sys.executable, "-m", "mmsteer", "run", str(path), "--out", str(out), "--quiet"]
    return subprocess.Popen([*words, *(["--workers", workers] if workers else [])], stdout=subprocess.DEVNULL)


def content(folder: Path) -> dict[str, Any]:
    """All files of a run byte for byte, but for what tells how long it took."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock"]
    found: dict[str, Any] = {str(path.relative_to(folder)): path.read_bytes() for path in files}
    for name in [name for name in found if Path(name).name in MADE_AT]:
        lines = found[name].decode().splitlines()
        found[name] = [line for line in lines if MADE_AT[0] not in line and not line.endswith("  *")]
    found.pop(MADE_AT[0])
    return found


def same(ray: bool) -> None:
    """Print a line for each number of workers: what it took, and whether its folder is that of one process."""
    with tempfile.TemporaryDirectory() as place:
        path, wanted = recipe(Path(place)), None
        for count in (None, 1, 2, 4):
            out = Path(place) / f"run-{count}"
            began = time.perf_counter()
            code = driver(path, out, count and f"{count}@ray" if ray else count and str(count)).wait()
            seconds = time.perf_counter() - began
            found = content(out)
            wanted = wanted or found
            differ = [name for name in wanted | found if wanted.get(name) != found.get(name)]
            print(f"workers {count or 'none'}: exit {code}, {seconds:.0f} s, {len(found)} files, differing: {differ}")


def kills(count: int, seed: int) -> None:
    """Kill workers and drivers of runs until there were so many, and compare each folder with that of a quiet run.

    Both are forks of this process, which has the model already: a kill costs no start, and hits the work itself.
    """
    rng, done, runs = random.Random(seed), {"worker": 0, "driver": 0}, 0
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        experiment = prepare(recipe(Path(place)))
        wanted = content(run(experiment, Path(place) / "quiet", progress=False).path)
        while sum(done.values()) < count:
            out, runs = Path(place) / f"run-{runs}", runs + 1
            _disturbed(experiment, out, rng, done, count)
            lines = [json.loads(line) for line in (out / "samples.jsonl").read_text().splitlines()]
            twice = len(lines) - len({(line["condition"], line["example"]) for line in lines})
            differ = [name for name in wanted | content(out) if wanted.get(name) != content(out).get(name)]
            print(f"run {runs}: kills {done}, outputs {len(lines)}, twice {twice}, differing: {differ}", flush=True)


def _disturbed(experiment: Experiment, out: Path, rng: random.Random, done: dict[str, int], count: int) -> None:
    running, seen = _forked(experiment, out), 0
    while True:
        ended, status = os.waitpid(running, os.WNOHANG)
        if ended and not status:
            return
        if ended:
            # Workers of a driver that was killed are forks too: until they see it, they hold its lock of the folder.
            running = _forked(experiment, out)
        time.sleep(rng.uniform(0, 0.1))
        made = _made(out)
        # After something was made, so that each kill falls elsewhere in the run.
        if made <= seen + rng.randrange(1, 12) or sum(done.values()) >= count:
            continue
        seen = made
        who = rng.choice(("worker", "worker", "driver"))
        victims = [running] if who == "driver" else _workers(running)
        if victims:
            os.kill(rng.choice(victims), signal.SIGKILL)
            done[who] += 1
        if who == "driver":
            os.waitpid(running, 0)
            running = _forked(experiment, out)


def _forked(experiment: Experiment, out: Path) -> int:
    driver_id = os.fork()
    if not driver_id:
        try:
            _drive(experiment, out)
            os._exit(0)
        except MmsteerError as error:
            print(error, flush=True)
        finally:
            os._exit(1)
    return driver_id


def _drive(experiment: Experiment, out: Path) -> None:
    global held
    held = experiment.held
    start, fork = pickle.dumps(_held), get_context("fork")
    with Pool(lambda _: Process(fork, start, 1, None), 2) as workers:
        run(experiment, out, workers=workers, progress=False)


held: Held
"""Of a driver, which its workers inherit."""


def _held() -> Held:
    return held


def _made(out: Path) -> int:
    logs = [out / "chunks.jsonl", out / "validation" / "chunks.jsonl"]
    return sum(log.read_bytes().count(b"\n") for log in logs if log.exists())


def _workers(driver_id: int) -> list[int]:
    table = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in table.splitlines()]
    return [int(pid) for pid, parent, words in rows if int(parent) == driver_id and "resource_tracker" not in words]


@dataclass(frozen=True)
class Empty:
    """A piece that does nothing, and carries what a batch does."""

    number: int
    content: bytes

    def do(self, held: Held) -> tuple[float, bytes]:
        """Processor seconds of this worker so far, and bytes as large as came."""
        return time.process_time(), self.content


@dataclass(frozen=True)
class Where:
    """A piece that says on which host it is done; slow enough that several have some."""

    number: int

    def do(self, held: Held) -> str:
        """The host's name."""
        time.sleep(0.2)
        return platform.node()


def nothing() -> Held:
    """What needs no model."""
    return Held(None)


def overhead(workers: str) -> None:
    """Print what a piece costs beside its work, in processor time of driver and worker: others may be busy here too."""
    with opened(workers, nothing) as made:
        for size in (1_000, 1_000_000):
            pieces = [Empty(at, bytes(size)) for at in range(500)]
            list(made.map(pieces[:10]))
            began = time.process_time()
            seen = [found[0] for _, found in made.map(pieces)]
            each = (time.process_time() - began + max(seen) - min(seen)) / len(pieces)
            print(f"workers {workers}: {each * 1e3:.2f} ms a piece of {size:,} bytes; 5 % of {each * 20e3:.0f} ms")


SAMPLES, LAYERS, WIDTH, BATCH = 1_000_000, 32, 4096, 16
"""A recording at every block of a model of 7 billion parameters, a mean over tokens each."""


@dataclass(frozen=True)
class Read:
    """What a batch of such a recording brings back, without the model."""

    def do(self, held: Held) -> dict[Site, Tensor]:
        """States of a batch."""
        return {Site("text", layer): torch.full((BATCH, WIDTH), float(layer)) for layer in range(LAYERS)}


def paper() -> None:
    """Print what the driver adds to each batch, and what follows for all of them."""
    pieces, size = SAMPLES // BATCH, BATCH * LAYERS * WIDTH * 4
    norms = {Site("text", layer): LogHistogram({0: BATCH}) for layer in range(LAYERS)}
    with opened("1", nothing) as made, tempfile.TemporaryDirectory() as place:
        store = ActivationStore.create(Path(place) / "store", {"model": "none"})
        list(made.map([Read()]))
        began = time.process_time()
        for at, (_, states) in enumerate(made.map([Read()] * 40)):
            store.append([f"{at}/{row}" for row in range(BATCH)], states, norms)
        each = (time.process_time() - began) / 40
    print(f"{pieces:,} batches of {BATCH} samples, {size / 2**20:.0f} MiB each, {pieces * size / 1e9:,.0f} GB in all")
    print(f"the driver takes and keeps a batch in {each * 1e3:.0f} ms of a core, all in {pieces * each / 3600:.1f} h")
    for seconds in (0.5, 2.0):
        hours = {count: max(seconds / count, each) * pieces / 3600 for count in (1, 8, 64)}
        told = ", ".join(f"{count} in {one:.1f} h" for count, one in hours.items())
        print(f"if a worker read a batch in {seconds} s: {told}; beyond {seconds / each:.0f} they wait for the driver")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("same", "kills", "overhead", "paper"))
    parser.add_argument("--ray", action="store_true", help="on a Ray cluster of this machine")
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    end = "@ray" if given.ray else ""
    if given.what == "same":
        same(given.ray)
    elif given.what == "kills":
        kills(given.count, given.seed)
    elif given.what == "paper":
        paper()
    else:
        overhead(f"1{end}")


if __name__ == "__main__":
    main()
