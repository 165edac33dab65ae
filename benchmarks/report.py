"""What every benchmark writes: the machine, the versions and its tables, as JSON and as Markdown.

    from report import Spread, machine, seconds_apart, write_report
    times = seconds_apart({"ours": ours, "theirs": theirs}, repeats=9)
    ratio = Spread.of([a / b for a, b in zip(times["theirs"], times["ours"])])
    write_report("rfm", {"Full search": [{"n": 1000, "d": 512, "speed-up": ratio}]}, folder)

A row maps each column's heading to a text, a number, None where nothing was measured, or a `Spread`. A claim is a ratio
within one run: what is compared runs by turns, and each round makes one ratio, so that a busy moment of the machine
falls on both sides.
"""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeVar

PACKAGES = ("mmsteer", "torch", "transformers", "numpy", "scikit-learn", "xrfm")


@dataclass(frozen=True)
class Spread:
    """Repeated measurements of one quantity.

    Attributes:
        median: Their median.
        low: Their first quartile.
        high: Their third quartile.
        n: How many there are.
    """

    median: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """The spread of some measurements.

        Args:
            values: At least one.
        """
        if len(values) == 1:
            return cls(values[0], values[0], values[0], 1)
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high, len(values))

    def __str__(self) -> str:
        return f"{_short(self.median)} ({_short(self.low)} to {_short(self.high)})"


T = TypeVar("T")
Value = str | float | int | bool | None | Spread
Row = Mapping[str, Value]


def by_turns(jobs: Mapping[str, Callable[[], T]], repeats: int, warm: int = 1) -> dict[str, list[T]]:
    """Run jobs that measure themselves, forwards and backwards by turns, so that none is always first.

    Args:
        jobs: What to run, by name; each returns its measurement.
        repeats: Rounds, each of which runs every job once.
        warm: Rounds before, not measured.

    Returns:
        Measurements of each job, round by round.
    """
    found: dict[str, list[T]] = {name: [] for name in jobs}
    for turn in range(-warm, repeats):
        for name in jobs if turn % 2 == 0 else reversed(jobs):
            measured = jobs[name]()
            if turn >= 0:
                found[name].append(measured)
    return found


def seconds_apart(jobs: Mapping[str, Callable[[], object]], repeats: int, warm: int = 1) -> dict[str, list[float]]:
    """Seconds that jobs take, run by turns; see `by_turns`.

    Args:
        jobs: What to run, by name.
        repeats: Rounds, each of which runs every job once.
        warm: Rounds before, not measured.

    Returns:
        Seconds of each job, round by round.
    """
    return by_turns({name: partial(_timed, job) for name, job in jobs.items()}, repeats, warm)


def ratio(above: Sequence[float], below: Sequence[float]) -> Spread:
    """What one job took over what another took, round by round.

    Args:
        above: Seconds of the one.
        below: Seconds of the other, in the same rounds.
    """
    return Spread.of([one / other for one, other in zip(above, below, strict=True)])


def machine(packages: Sequence[str] = PACKAGES) -> dict[str, object]:
    """Where and on what a benchmark ran.

    Args:
        packages: Distributions whose version to name; those not installed are left out.
    """
    import torch

    cuda = torch.cuda.is_available()
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "accelerator": torch.cuda.get_device_name() if cuda else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: found for name in packages if (found := installed(name))},
    }


def installed(package: str) -> str | None:
    """The version of a distribution, None where it is not installed.

    Args:
        package: Its name on PyPI.
    """
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def write_report(
    name: str, tables: Mapping[str, Sequence[Row]], out: Path, notes: Sequence[str] = (), packages: Sequence[str] = ()
) -> tuple[Path, Path]:
    """Write `NAME.json` and `NAME.md` to a folder, which is made where it is missing.

    Args:
        name: Of the benchmark.
        tables: Rows of each table, by its title.
        out: The folder.
        notes: What a reader must know of the figures.
        packages: Further distributions whose version to name, such as peers.

    Returns:
        The two files.
    """
    where = machine((*PACKAGES, *packages))
    out.mkdir(parents=True, exist_ok=True)
    data = {
        "benchmark": name,
        "machine": where,
        "notes": list(notes),
        "tables": {title: [_plain(row) for row in rows] for title, rows in tables.items()},
    }
    files = out / f"{name}.json", out / f"{name}.md"
    files[0].write_text(json.dumps(data, indent=1, allow_nan=False) + "\n")
    parts = [f"# {name}", _sentence(where), *notes]
    for title, rows in tables.items():
        parts += [f"## {title}", markdown(rows)]
    files[1].write_text("\n\n".join(parts) + "\n")
    return files


def markdown(rows: Sequence[Row]) -> str:
    """A table; its columns are those of all rows, in the order in which they come up.

    Args:
        rows: The rows.
    """
    heads = list(dict.fromkeys(head for row in rows for head in row))
    lines = [heads, ["---"] * len(heads), *([_cell(row.get(head)) for head in heads] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _timed(job: Callable[[], object]) -> float:
    began = time.perf_counter()
    job()
    return time.perf_counter() - began


def _plain(row: Row) -> dict[str, object]:
    return {head: asdict(value) if isinstance(value, Spread) else value for head, value in row.items()}


def _cell(value: Value) -> str:
    if value is None:
        return ""
    return _short(value) if isinstance(value, float) else str(value)


def _short(value: float) -> str:
    """Three digits that matter."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:#.3g}".rstrip(".")


def _sentence(where: Mapping[str, object]) -> str:
    versions = where["versions"]
    assert isinstance(versions, dict)
    named = ", ".join(f"{package} {found}" for package, found in versions.items())
    return (
        f"{where['processor']}, {where['cores']} cores ({where['threads']} threads used, load {where['load']} at the "
        f"end), {where['memory_gb']} GB, {where['accelerator'] or 'no accelerator'}, {where['system']}, Python "
        f"{where['python']}; {named}. Spread: first to third quartile."
    )


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()
