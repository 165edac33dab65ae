"""CHAIR_s against recall for every condition of runs on the same images, beside captions that are merely cut short.

    python benchmarks/hallucination_frontier.py RUN_FOLDER/validation --figure frontier.svg

A method that only shortens captions names less of what is not there, too. The unsteered captions, cut at the end of the
sentence before word number L, are what that gives at each length; `cut` in the table has the mean length of the row.

With `--beside docs/results.md` the figure also has the rows of tables that this has printed of as many images, in the
runs that a page reports.
"""

import argparse
import json
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Line = dict[str, Any]
WIDTH, HEIGHT, LEFT, BOTTOM, RIGHT, TOP = 860, 520, 60, 460, 480, 20
PAINTS = {"unsteered": "#000000", "random": "#999999", "wrong image": "#d95f02", "shuffled": "#e6ab02", "": "#1b6ca8"}
DRAWS = 2000
ROW = re.compile(r"\| (?P<name>[^|]+) \| (?P<chair>[\d.]+) \[[^|]+ \| (?P<recall>[\d.]+) \[.* \| (?P<n>\d+) \|")


@dataclass(frozen=True)
class Told:
    """Captions judged: of each whether it hallucinates, objects named that are there, objects there, and words."""

    wrong: np.ndarray
    right: np.ndarray
    there: np.ndarray
    words: np.ndarray

    @property
    def point(self) -> tuple[float, float]:
        """Recall and CHAIR_s."""
        return float(self.right.sum() / self.there.sum()), float(self.wrong.mean())


def main() -> None:
    """Print the table and write the figure."""
    options = _options().parse_args()
    lines = read(options.runs)
    plain = lines["unsteered"]
    told = {name: judged(some) for name, some in lines.items()}
    longest = int(told["unsteered"].words.max())
    cuts = [judged([cut(line, length) for line in plain]) for length in range(4, longest + 1)]
    print("| condition | CHAIR_s | recall | words | CHAIR_s, recall of a cut | CHAIR_s below the cut's | n |")
    print("|---|---|---|---|---|---|---|")
    for name, one in sorted(told.items(), key=lambda item: item[1].point[1]):
        print(_row(name, one, matched(one, cuts)))
    if options.figure:
        points = printed(options.beside, len(plain)) | {name: one.point for name, one in told.items()}
        options.figure.write_text(drawn(points, cuts))


def read(runs: Sequence[Path]) -> dict[str, list[Line]]:
    """Captions of finished conditions, in the order of the images; runs are of the same images.

    Args:
        runs: Run folders, or their `validation`.
    """
    lines: dict[str, dict[int, Line]] = defaultdict(dict)
    for run in runs:
        for text in (run / "samples.jsonl").read_text().splitlines():
            line = json.loads(text)
            lines[line["condition"]][line["example"]] = line
    whole = {name: [some[at] for at in sorted(some)] for name, some in lines.items()}
    return {name: some for name, some in whole.items() if len(some) == len(whole["unsteered"])}


def judged(lines: Sequence[Line]) -> Told:
    """What is right and wrong in captions.

    Args:
        lines: Rows of `samples.jsonl` of one condition, in the order of the images.
    """
    named = [{one["object"] for one in line["mentions"] if not one["hallucinated"]} for line in lines]
    return Told(
        np.array([any(one["hallucinated"] for one in line["mentions"]) for line in lines], dtype=float),
        np.array([len(names) for names in named], dtype=float),
        np.array([len(names) + len(line["missed"]) for names, line in zip(named, lines, strict=True)], dtype=float),
        np.array([len(line["caption"].split()) for line in lines], dtype=float),
    )


def printed(pages: Sequence[Path], n: int) -> dict[str, tuple[float, float]]:
    """Recall and CHAIR_s of the rows of printed tables.

    Args:
        pages: What holds the tables.
        n: Images of the rows that are meant.
    """
    rows = [ROW.fullmatch(line) for page in pages for line in page.read_text().splitlines()]
    found = [row for row in rows if row and int(row["n"]) == n]
    return {row["name"]: (float(row["recall"]), float(row["chair"])) for row in found}


def cut(line: Line, words: int) -> Line:
    """A caption without the sentences that go beyond a number of words; the first one stays.

    Args:
        line: A row of `samples.jsonl`.
        words: Most words.
    """
    caption = line["caption"]
    ends = [at + 1 for at, mark in enumerate(caption) if mark == "."] or [len(caption)]
    stop = max([end for end in ends if len(caption[:end].split()) <= words], default=ends[0])
    kept = [one for one in line["mentions"] if one["stop"] <= stop]
    known = {one["object"] for one in kept if not one["hallucinated"]}
    lost = {one["object"] for one in line["mentions"] if not one["hallucinated"]} - known
    return line | {"caption": caption[:stop], "mentions": kept, "missed": [*line["missed"], *sorted(lost)]}


def matched(one: Told, cuts: Sequence[Told]) -> Told:
    """The cut whose mean length is nearest to that of a condition.

    Args:
        one: The condition.
        cuts: Cuts of all lengths.
    """
    return min(cuts, key=lambda other: abs(other.words.mean() - one.words.mean()))


def _row(name: str, one: Told, other: Told) -> str:
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(one.wrong), size=(DRAWS, len(one.wrong)))
    low, high = np.percentile(one.wrong[drawn].mean(axis=1), [2.5, 97.5])
    recalls = np.percentile(one.right[drawn].sum(axis=1) / one.there[drawn].sum(axis=1), [2.5, 97.5])
    gap = np.percentile((other.wrong - one.wrong)[drawn].mean(axis=1), [2.5, 97.5])
    (recall, chair), (cut_recall, cut_chair) = one.point, other.point
    return (
        f"| {name} | {chair:.3f} [{low:.2f}, {high:.2f}] | {recall:.3f} [{recalls[0]:.2f}, {recalls[1]:.2f}] | "
        f"{one.words.mean():.1f} | {cut_chair:.3f}, {cut_recall:.3f} | {cut_chair - chair:+.3f} [{gap[0]:+.2f}, "
        f"{gap[1]:+.2f}] | {len(one.wrong)} |"
    )


def drawn(points: dict[str, tuple[float, float]], cuts: Sequence[Told]) -> str:
    """The figure as SVG: points numbered, the cut as a line.

    Args:
        points: Recall and CHAIR_s of conditions by name.
        cuts: Cuts of all lengths.
    """
    across, up = zip(*points.values(), strict=True)
    least, most, top = max(min(across) - 0.02, 0.3), max(across) + 0.02, max(up) + 0.05

    def place(point: tuple[float, float]) -> tuple[float, float]:
        return LEFT + (point[0] - least) / (most - least) * (RIGHT - LEFT), BOTTOM - point[1] / top * (BOTTOM - TOP)

    way = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(one.point) for one in cuts if one.point[0] >= least))
    parts = [
        f'<polyline points="{way}" fill="none" stroke="#777" stroke-dasharray="5 4"/>',
        f'<path d="M{LEFT} {TOP}V{BOTTOM}H{RIGHT}" fill="none" stroke="#333"/>',
        *(_label(LEFT - 8, place((least, y))[1] + 4, f"{y:.1f}", "end") for y in np.arange(0, top, 0.1)),
        *(_label(place((x, 0))[0], BOTTOM + 18, f"{x:.2f}", "middle") for x in np.arange(least, most, 0.05)),
        _label((LEFT + RIGHT) / 2, BOTTOM + 40, "recall", "middle"),
        _label(LEFT + 8, TOP + 6, "CHAIR_s", "start"),
        _label(RIGHT + 30, TOP + 6, "dashed: unsteered captions, cut", "start"),
    ]
    for number, (name, point) in enumerate(sorted(points.items(), key=lambda item: item[1][1]), start=1):
        x, y = place(point)
        paint = next(paint for key, paint in PAINTS.items() if key in name)
        if x >= LEFT:
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{paint}"/>')
            parts.append(_label(x + 6, y - 4, str(number), "start", paint))
        parts.append(_label(RIGHT + 30, TOP + 12 + 15 * number, f"{number}  {name}", "start", paint))
    height = max(HEIGHT, TOP + 15 * (len(points) + 2))
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    page = f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>'
    style = 'xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" font-size="11"'
    return f"<svg {style} {size}>{page}{''.join(parts)}</svg>\n"


def _label(x: float, y: float, text: str, anchor: str, paint: str = "#333") -> str:
    safe = text.replace("&", "&amp;").replace("<", "&lt;")
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{paint}">{safe}</text>'


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("runs", type=Path, nargs="+", help="run folders with captions of the same images")
    parser.add_argument("--figure", type=Path, help="where to write the figure, as SVG")
    parser.add_argument("--beside", type=Path, nargs="*", default=[], help="pages with tables whose rows are drawn too")
    return parser


if __name__ == "__main__":
    main()
