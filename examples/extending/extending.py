"""A probe, a scorer and a dictionary method of one's own, without a line in the library.

python examples/extending/extending.py bundled:text runs/extending
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch

import mmsteer
from mmsteer.bundled.dictionary import open_dictionary
from mmsteer.latents.bound import BoundDictionary, bind
from mmsteer.latents.controls import at_maximum
from mmsteer.probes.site_probe import FitData, Found, SiteProbe
from mmsteer.steering import Steering

TOPIC = Path(__file__).parents[1] / "topic"
WORDS = {"sea", "ocean", "ship", "boat", "sail", "wave", "waves", "shore", "beach"}


@dataclass(frozen=True)
class MedianDifference(SiteProbe):
    """Unit vector from the median of the rest to the median of the label, coordinate by coordinate."""

    name: Literal["median_difference"] = field(default="median_difference", kw_only=True)

    def _find(self, data: FitData, progress: object) -> Found:
        x, columns = data.part(data.split.fitting)
        sides = [(x[column > 0].median(dim=0)[0], x[column <= 0].median(dim=0)[0]) for column in columns.T]
        found = torch.stack([inside - outside for inside, outside in sides], dim=1)
        return Found(found / found.norm(dim=0))


def nautical(answer: str) -> float | None:
    """Share of an answer's words that are of the sea; None of an empty one."""
    words = [word.strip(".,!?").lower() for word in answer.split()]
    return sum(word in WORDS for word in words) / len(words) if words else None


def most_telling(bound: BoundDictionary, direction: mmsteer.Direction, factor: float = 0.5) -> Steering:
    """A dictionary method: push the feature whose row is most like a direction."""
    rows = bound.dictionary.decoder / bound.dictionary.decoder.norm(dim=1, keepdim=True)
    feature = int((rows @ direction.vectors[bound.site].to(rows)).argmax())
    return Steering((at_maximum(bound.dictionary, feature, bound.used, factor),))


def main(model: str, folder: str, tokens: int = 24, rows: int | None = None) -> mmsteer.Results:
    """Find the direction, choose the feature, and evaluate both; the run folder has the page."""
    adapter = mmsteer.load(model)
    sentences = mmsteer.read_rows(TOPIC / "sentences.jsonl")
    samples = [row.sample(adapter) for row in sentences]
    dictionary = open_dictionary(model, mmsteer.Site.parse("text.14"))
    read = mmsteer.record(adapter, samples, "text.14", pool="mean")
    labels = [row.label for row in sentences]
    found = mmsteer.sweep(MedianDifference(), read, labels, family="own", task="multiclass")
    direction = found.directions["own:sea"]
    bound = bind(dictionary, adapter, samples)
    steerings = {
        "median difference": mmsteer.Steering((mmsteer.Attribute(direction, 0.25),)),
        "most telling feature": most_telling(bound, direction),
    }
    questions = mmsteer.read_rows(TOPIC / "questions.jsonl", split="test")[:rows]
    task = mmsteer.RowsTask(adapter, questions, {"nautical": nautical}, mmsteer.Sampling(tokens, temperature=0.7))
    return mmsteer.evaluate(task, steerings, folder=folder)


if __name__ == "__main__":
    print(main(*sys.argv[1:]))
