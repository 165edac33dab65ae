"""The seed methods on a language model, one a sub-command, each beside controls that are searched as hard.

python examples/seed-methods/seed.py METHOD [--model FOLDER --dictionaries [SITE=]FOLDER ...]
    [--other MODEL] [--small] [--keep FOLDER] [--out FILE]
"""

import argparse
import importlib
import json
import time
from pathlib import Path

import torch

METHODS = (
    "detection",
    "decomposition",
    "output_scores",
    "descriptions",
    "effects",
    "expected_effects",
    "flow",
    "saif",
    "instruction_place",
    "corrsteer",
    "refusal",
    "lf",
)


def main() -> None:
    """Run one method and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("method", choices=METHODS)
    parser.add_argument("--model", default="bundled:text")
    parser.add_argument("--dictionaries", nargs="*", default=[])
    parser.add_argument("--other", help="another model, whose texts detection tells from people's, too")
    parser.add_argument("--small", action="store_true", help="as little of everything as shows that it runs")
    parser.add_argument("--keep", type=Path, help="folder of what is measured; a run that was stopped goes on from it")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    from shared import open_study

    torch.set_num_threads(1)
    start = time.time()
    study = open_study(asked.model, asked.dictionaries, asked.small, asked.keep, asked.other)
    found = importlib.import_module(asked.method).run(study)
    text = json.dumps({"method": asked.method, "seconds": round(time.time() - start), **found}, indent=1)
    print(text)
    if asked.out:
        asked.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
