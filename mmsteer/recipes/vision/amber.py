"""AMBER as a source of images: what each shows, what tempts in it, and how its descriptions are read."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmsteer.eval.amber import GENERATIVE, read_items
from mmsteer.eval.amber_words import Vocabulary, read_vocabulary
from mmsteer.recipes.vision.schema import Amber

_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")


@dataclass(frozen=True, eq=False)
class AmberTruth:
    """What AMBER says of an image.

    Attributes:
        shown: The objects that are there; of two of a kind each.
        tempting: Objects that models tend to see there.
        vocabulary: The words that name objects.
    """

    shown: tuple[str, ...]
    tempting: tuple[str, ...]
    vocabulary: Vocabulary

    def read(self, caption: str) -> dict[str, Any]:
        """The mentions of a description, and the counts behind AMBER's metrics, as `score_descriptions` (`fixed`)."""
        found = [(word, noun, self._named(noun, self.shown)) for word, noun in self._nouns(caption)]
        wrong = {noun for _, noun, named in found if not named and noun not in self.vocabulary.safe}
        covered = set[int]().union(*(named for _, _, named in found))
        tempted = set[int]().union(*(self._named(noun, self.tempting) for noun in wrong))
        return {
            "mentions": [
                {
                    "object": noun,
                    "words": word[0],
                    "start": word.start(),
                    "stop": word.end(),
                    "hallucinated": noun in wrong,
                }
                for word, noun, _ in found
            ],
            "missed": sorted(name for at, name in enumerate(self.shown) if at not in covered),
            "covered": len(covered),
            "tempted": len(tempted),
            "tempting": len(self.tempting),
        }

    def _nouns(self, caption: str) -> Iterator[tuple[re.Match[str], str]]:
        for word in _WORD.finditer(caption):
            yield from ((word, noun) for noun in self.vocabulary.nouns(word[0]))

    def _named(self, noun: str, objects: tuple[str, ...]) -> set[int]:
        """The places of the objects that a noun names or implies."""
        return {at for at, name in enumerate(objects) if noun == name or noun in self.vocabulary.others(name)}


def files_of(amber: Amber) -> tuple[Path, Path, Path, Path]:
    """Annotations, queries, associations and safe words, in the layout of AMBER's folder `data`."""
    folder = Path(amber.folder)
    queries = [folder / "query_all.json", folder / "query" / "query_all.json"]
    asked = next((path for path in queries if os.path.isfile(path)), queries[0])
    return folder / "annotations.json", asked, folder / "relation.json", folder / "safe_words.txt"


def read_amber(amber: Amber) -> Mapping[str, AmberTruth]:
    """For each image that is to be described what is in it, by the image's file name."""
    annotations, queries, relation, safe = files_of(amber)
    items = [item for item in read_items(annotations, queries) if item.kind == GENERATIVE]
    vocabulary = read_vocabulary(relation, safe)
    for name in {name for item in items for name in (*item.truth, *item.hallu)}:
        vocabulary.others(name)
    return {item.image: AmberTruth(item.truth, item.hallu, vocabulary) for item in items}
