"""The table of finders of a finished run, in Markdown: `python benchmarks/finders_table.py RUN_FOLDER`."""

import sys
from pathlib import Path

from mmsteer.report.finders import FinderLine, finders
from mmsteer.report.run_data import read_run
from mmsteer.report.tables import Cell


def main(folder: Path) -> None:
    found = finders(read_run(folder))
    if found is None:
        sys.exit(
            f"{folder} compares no finders: fewer than three families are steered alone, or the run is not finished"
        )
    print("| finder | detection AUC | seconds | KL | norm ratio |", " | ".join(found.metrics), "|")
    print("|---" * (5 + len(found.metrics)) + "|")
    print("| unsteered | | | | |", " | ".join(_score(one, None) for one in found.unsteered), "|")
    for line in found.lines:
        print(_line(line))


def _line(line: FinderLine) -> str:
    scores = [_score(*pair) for pair in line.cells]
    return " | ".join(["| " + line.name, line.detection, line.seconds, *line.dose, *scores]) + " |"


def _score(score: Cell | None, change: Cell | None) -> str:
    if score is None:
        return ""
    return f"{score.value} {score.interval}" + (f" ({change.value})" if change else "")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
