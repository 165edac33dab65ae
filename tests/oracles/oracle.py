"""A golden command: what is run, what is kept of it, and when two results are the same."""

import hashlib
import json
import math
import platform
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[2] / "shared" / "data"
TOLERANCE = 1e-4
"""Largest relative difference of a float; integers, strings and what is there must be equal."""
NEGLIGIBLE = 1e-9
"""Rounding error of what is zero, such as the difference of two equal scores."""
DIGITS = 6
NUMBER = r"(?<![\w.#])-?\d+(?:\.\d+)?(?:e[-+]?\d+)?"

Numbers = dict[str, Any]
Call = Callable[[Sequence[str]], str]
"""Runs one command in the current folder and returns what it printed."""


@dataclass(frozen=True)
class Oracle:
    """Commands of one temporary folder, and what is kept of the last.

    Attributes:
        commands: Arguments of `mmsteer`, one string a command; DATA stands for the folder of public benchmark files.
        keep: Reads numbers from what the last command printed, in that folder.
        inputs: Texts of files that must be there before, by name.
        needs: Files of DATA without which the oracle is left out.
    """

    commands: tuple[str, ...]
    keep: Callable[[str], Numbers]
    inputs: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()

    @property
    def missing(self) -> list[str]:
        """Files that it needs and that are not there."""
        return [name for name in self.needs if not (DATA / name).exists()]

    def numbers(self, call: Call) -> Numbers:
        """Run the commands in the current folder, and read what is kept."""
        for name, text in self.inputs.items():
            Path(name).write_text(text)
        printed = ""
        for command in self.commands:
            printed = call([word.replace("DATA", str(DATA)) for word in shlex.split(command)])
        return {key: rounded(value) for key, value in self.keep(printed).items()}


# What is kept of a command.


def flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves by path; a score is one leaf: value, low, high, n, unscored; so is a list of plain values."""
    if isinstance(value, Mapping) and {"value", "low", "high"} <= value.keys():
        yield path, [value[key] for key in ("value", "low", "high", "n", "unscored") if key in value]
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from flat(one, f"{path}/{key}" if path else key)
    elif isinstance(value, list) and any(isinstance(one, Mapping | list) for one in value):
        for at, one in enumerate(value):
            yield from flat(one, f"{path}/{at}")
    else:
        yield path, value


def read(path: str) -> Any:
    """A JSON file of the current folder."""
    return json.loads(Path(path).read_text())


def results(printed: str) -> Numbers:
    """What `--out out.json` wrote."""
    return dict(flat(read("out.json")))


def printed_json(printed: str) -> Numbers:
    """What `--json` printed."""
    return dict(flat(json.loads(printed)))


def printed_lines(printed: str) -> Numbers:
    """The numbers of every printed line, by its text with # in their place; progress bars and rules are left out."""
    found = {}
    for line in printed.splitlines():
        text = " ".join(line.replace("│", " ").split())
        if text and not set(text) & set("━─"):
            found[re.sub(NUMBER, "#", text)] = [float(one) for one in re.findall(NUMBER, text)]
    return found


def printed_and(path: str) -> Callable[[str], Numbers]:
    """What was printed, and a file of weights that was written."""
    return lambda printed: printed_lines(printed) | weights(path)


def page_rows(path: str) -> Callable[[str], Numbers]:
    """The text of the table rows and of the captions of an HTML page."""

    def keep(printed: str) -> Numbers:
        parts = re.findall(r"<tr>.*?</tr>|<p class=\"said\">.*?</p>", Path(path).read_text(), re.DOTALL)
        return {str(at): " ".join(re.sub(r"<[^>]*>", " ", part).split()) for at, part in enumerate(parts)}

    return keep


def weights(path: str) -> Numbers:
    """Of each tensor the shape, the norm, and the product with a cosine wave, which knows signs and order."""
    import torch
    from safetensors.torch import load_file

    found = {}
    for name, tensor in load_file(path).items():
        values = tensor.double().flatten()
        wave = torch.arange(len(values), dtype=torch.float64).cos()
        found[f"{path}/{name}"] = [*tensor.shape, float(values.norm()), float(values @ wave)]
    return found


def run_folder(printed: str) -> Numbers:
    """Scores, doses, receipts, layers and traces of the run folder `run`, and the same of its validation."""
    found = _run_files(Path("run"))
    if Path("run/choice.json").exists():
        found |= dict(flat(read("run/choice.json"), "choice"))
        found |= {f"validation/{key}": value for key, value in _run_files(Path("run/validation")).items()}
    return found


def _run_files(folder: Path) -> Numbers:
    scores = read(f"{folder}/scores.json")
    found: Numbers = {}
    for kind, rows in scores.items():
        for row in rows:
            for key in ("kl", "ratio", "metrics", "flips"):
                found |= dict(flat(row.get(key, {}), f"{kind}/{row['condition']}/{key}"))
    for name in ("doses", "receipts"):
        found |= dict(flat(read(f"{folder}/{name}.json"), name))
    for name, trace in read(f"{folder}/traces.json").items():
        for one in trace["attributes"]:
            following = one.get("following") or {}
            for key in ("pearson", "spearman", "lag_s"):
                if key in following:
                    found[f"traces/{name}/{one['direction']}/{key}"] = following[key]
        if trace.get("crossing"):
            found |= dict(flat(trace["crossing"], f"traces/{name}/crossing"))
    if (folder / "probe.json").exists():
        for probe in read(f"{folder}/probe.json"):
            for row in probe["rows"]:
                found[f"probe/{probe['family']}/{row['site']}"] = [row["score"], *row["labels"].values()]
    return found


def rounded(value: Any) -> Any:
    """Floats with DIGITS significant digits."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    return [rounded(one) for one in value] if isinstance(value, list) else value


# When two results are the same.


def differences(kept: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """A line for each number that is gone, new, or not the same."""
    gone = [f"{key}: {kept[key]} is gone" for key in kept if key not in now]
    new = [f"{key}: {now[key]} is new" for key in now if key not in kept]
    both = [key for key in kept if key in now]
    return gone + new + [f"{key}: {kept[key]} became {now[key]}" for key in both if not alike(kept[key], now[key])]


def alike(a: Any, b: Any) -> bool:
    """Whether two leaves are the same, floats within TOLERANCE."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, float) and isinstance(b, int | float) and not isinstance(b, bool):
        return math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=NEGLIGIBLE)
    return a == b


def surroundings() -> dict[str, str]:
    """What numbers may depend on beside the code: packages, and the processor, whose rounding can tip a token."""
    flags = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    known = hashlib.sha256(flags[1].encode()).hexdigest()[:12] if flags else platform.machine()
    return {name: version(name) for name in ("torch", "transformers", "numpy")} | {"processor": known}


def kept(name: str) -> dict[str, Any]:
    """A golden file."""
    return json.loads((HERE / f"{name}.json").read_text())


def kept_numbers(name: str) -> Numbers:
    """The numbers of a golden file."""
    return kept(name)["numbers"]
