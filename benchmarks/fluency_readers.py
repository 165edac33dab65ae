"""Answers of a run of AxBench rated again for fluency, under the steered model and under another one.

    python benchmarks/fluency_readers.py FOLDER [--recipe axbench-text] [--reader bundled:gemma3-270m]

FOLDER is a finished run of the recipe, which was judged offline. The other ratings of its answers, and the factors that
were chosen by them, stay as they are. Prints how often the two ratings of fluency agree, with intervals over concepts,
and the table of the methods by each.
"""

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch

import mmsteer
from mmsteer.axbench import Concept, OfflineRater, Reader, Results, summarise
from mmsteer.axbench.answers import unsteered
from mmsteer.axbench.judges import installed_embedder
from mmsteer.axbench.results import agreement
from mmsteer.errors import DataError
from mmsteer.json_lines import read_json, read_json_lines
from mmsteer.recipes.axbench import check_axbench
from mmsteer.types import Sample, Sampling, mean_score


def rated(rater: OfflineRater, concepts: Sequence[Concept], records: Sequence[Mapping[str, Any]]) -> list[Any]:
    """The records with the fluency that a judge finds."""
    known = {concept.id: concept for concept in concepts}
    found = deepcopy(list(records))
    for record in found:
        lines = [line for method in record["methods"].values() for line in method["answers"]]
        asked = [Sample(str(at), line["prompt"], output=line["answer"]) for at, line in enumerate(lines)]
        for line, rating in zip(lines, rater.rate(known[record["concept"]], asked), strict=True):
            line["fluency"] = rating.fluency
    return found


def fluency(records: Sequence[Mapping[str, Any]]) -> list[tuple[int, float]]:
    """Concept and fluency of every answer."""
    return [
        (record["concept"], line["fluency"])
        for record in records
        for method in record["methods"].values()
        for line in method["answers"]
    ]


def main() -> None:
    """Print agreement and tables."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--recipe", default="axbench-text")
    parser.add_argument("--reader", default="bundled:gemma3-270m")
    given = parser.parse_args()
    settings = read_json(given.folder / "axbench.json", DataError)
    records = [row for _, row in read_json_lines(given.folder / "results.jsonl", DataError)]
    recipe, concepts, instructions = check_axbench(given.recipe)
    adapter = mmsteer.load(recipe.model.load, dtype="float32")
    sampling = Sampling(tokens=settings["tokens"], temperature=settings["temperature"])
    asked = [Sample(str(at), text) for at, text in enumerate(instructions)]
    plain, embed = unsteered(adapter, asked, sampling, settings["batch"]), installed_embedder()
    readers = (None, Reader(given.reader, mmsteer.load(given.reader, dtype="float32")))
    found = [rated(OfflineRater(adapter, plain, embed, reader), concepts, records) for reader in readers]
    own, other = map(fluency, found)
    groups = [concept for concept, _ in own]
    gaps = [abs(one - two) for (_, one), (_, two) in zip(own, other, strict=True)]
    kept = sum(one == two for one, two in zip(own, fluency(records), strict=True))
    print(f"{len(gaps)} answers; {kept} have the fluency under the unsteered model that the run gave them")
    for name, least in (("the same", 0.0), ("within 1", 1.0)):
        print(f"{name}: {mean_score([float(gap <= least) for gap in gaps], groups=groups)}")
    counts = Counter((one, two) for (_, one), (_, two) in zip(own, other, strict=True))
    for one in (0.0, 1.0, 2.0):
        print(
            f"  {one:.0f} under the unsteered model; 0, 1, 2 under the other:",
            *(counts[one, two] for two in (0.0, 1.0, 2.0)),
        )
    tables = [summarise(some) for some in found]
    show(tables)


def show(tables: Sequence[Results]) -> None:
    """Print each method's fluency and score in both tables, and how alike the orders are."""
    rows = [{row.method: row for row in table.rows} for table in tables]
    for method in rows[0]:
        told = [f"fluency {row[method].axes['fluency']}, score {row[method].overall}" for row in rows]
        print(f"{method}: {' | '.join(told)}")
    orders = [[row.method for row in table.rows] for table in tables]
    same, pairs = agreement(*orders)
    print(f"{same} of {pairs} pairs stand the same way round: {' '.join(orders[0])} | {' '.join(orders[1])}")


if __name__ == "__main__":
    main()
