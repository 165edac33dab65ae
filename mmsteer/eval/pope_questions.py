"""POPE's questions: the published files, and new ones built from any annotations.

The published COCO files are JSON lines, those of A-OKVQA and GQA JSON arrays: both are read. `coco_pope_random.json`
had 2910 rows once and has 3000 now, and both are in use: `question_version` says which one a file is.
"""

import json
import os
import random
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from types import MappingProxyType

from mmsteer.atomic import write_atomically
from mmsteer.errors import EvalError, clip
from mmsteer.eval.answers import Id, by_id, read_json, read_rows

SPLITS = ("random", "popular", "adversarial")
POSITIVES = 3

VERSIONS: Mapping[tuple[int, int], str] = MappingProxyType(
    {
        (3000, 1500): "3000 rows, the files as published today",
        (2910, 1500): "2910 rows, the random split of POPE commit e3e3926, which OPERA and VISTA ship",
    }
)
"""What is known of the published files, by (rows, rows labelled yes)."""

# By sound, not by letter: "a uniform", "an hour".
_AN = ("hour", "honest", "honour", "honor", "heir")
_A = ("uni", "use", "usu", "uten", "euro", "ewe", "one", "ukulele", "url", "ufo")


@dataclass(frozen=True)
class Question:
    """One yes-or-no question about an image.

    `label`: `yes` or `no`, what is right.
    """

    id: Id
    image: str
    text: str
    label: str


def read_questions(path: str | Path) -> tuple[Question, ...]:
    """The questions of a POPE file, JSON lines or an array.

    Raises:
        EvalError: It is broken, of another benchmark, or has an id twice.
    """
    rows = by_id(read_rows(path, ("question_id", "image", "text", "label"), "a POPE question"), "question_id")
    return tuple(
        Question(id_, str(row.fields["image"]), row.text("text"), row.word("label", ("yes", "no")))
        for id_, row in rows.items()
    )


def read_object_lists(path: str | Path) -> dict[str, list[str]]:
    """The objects that each image shows.

    Raises:
        EvalError: It is something else.
    """
    value = read_json(path)
    if not isinstance(value, dict) or not all(
        isinstance(names, list) and all(isinstance(name, str) for name in names) for names in value.values()
    ):
        raise EvalError(f"{path}: give a JSON object of image: [object, ...], every object a string")
    return value


def question_version(questions: Sequence[Question]) -> str | None:
    """Which published version this is; None for any other file."""
    return VERSIONS.get((len(questions), sum(question.label == "yes" for question in questions)))


def write_questions(path: str | Path, questions: Sequence[Question]) -> None:
    """Write questions as POPE publishes them, one JSON object a line.

    Raises:
        EvalError: The file exists, or cannot be written.
    """
    path = Path(path)
    if os.path.exists(path):
        raise EvalError(f"{path} exists and is not overwritten; choose another name")
    rows = ({"question_id": one.id, "image": one.image, "text": one.text, "label": one.label} for one in questions)
    try:
        write_atomically(path, "".join(json.dumps(row) + "\n" for row in rows).encode())
    except OSError as error:
        raise EvalError(f"{path}: cannot be written ({error.strerror})") from None


def build_questions(
    objects_by_image: Mapping[str, Collection[str]], split: str, seed: int = 0, images: int | None = None
) -> tuple[Question, ...]:
    """Six questions for each image that shows at least three kinds of objects: yes, no, yes, no, ...

    The objects asked for are the image's first three, or three drawn at random where its objects are a set. Each is
    followed by an absent one, none twice for an image: `random` any, `popular` the one that most images show,
    `adversarial` the one that is most often seen together with the object just asked for.

    The three splits of one seed ask for the same present objects, and an image's questions do not depend on the others'
    order. The reference writes "an" by replacing text everywhere; here the article goes by the object's sound.

    `split`: `random`, `popular` or `adversarial`.
    `images`: draw this many of the images that qualify; None for all.

    Raises:
        EvalError: No image, or fewer than asked for, show three objects; or one shows nearly all objects there are.

    Source: Li et al. 2023, Evaluating Object Hallucination in Large Vision-Language Models, arXiv:2305.10355.
    """
    if split not in SPLITS:
        raise EvalError(f"no split {clip(split)}; choose from {', '.join(SPLITS)}")
    shown = {image: _listed(objects, f"{seed}:{image}") for image, objects in objects_by_image.items()}
    ranking = _Ranking.of(shown.values())
    pairs = [
        (image, name, label)
        for image in _chosen(shown, images, seed)
        for name, label in _six(image, shown[image], ranking, split, random.Random(f"{seed}:{split}:{image}"))
    ]
    return tuple(Question(n, image, question_text(name), label) for n, (image, name, label) in enumerate(pairs, 1))


def question_text(name: str) -> str:
    """The question for an object.

    >>> question_text("umbrella"), question_text("unicycle")
    ('Is there an umbrella in the image?', 'Is there a unicycle in the image?')
    """
    word = name.lower()
    vowel = word.startswith(_AN) or (word.startswith(tuple("aeiou")) and not word.startswith(_A))
    return f"Is there {'an' if vowel else 'a'} {name} in the image?"


@dataclass(frozen=True)
class _Ranking:
    """How many images show an object, and how many show two together."""

    images: Counter[str]
    together: Counter[tuple[str, str]]

    @classmethod
    def of(cls, shown: Collection[list[str]]) -> "_Ranking":
        images = Counter(name for objects in shown for name in objects)
        return cls(images, Counter(pair for objects in shown for pair in permutations(objects, 2)))

    def pick(self, absent: Collection[str], beside: str, split: str, rng: random.Random) -> str:
        names = sorted(absent)
        if split == "random":
            return rng.choice(names)
        if split == "popular":
            return max(names, key=lambda name: self.images[name])
        return max(names, key=lambda name: (self.together[beside, name], self.images[name]))


def _listed(objects: Collection[str], seed: str) -> list[str]:
    if isinstance(objects, str):
        raise EvalError(f"the objects of an image are {clip(objects)}; give a list of names")
    if not isinstance(objects, AbstractSet):
        return list(dict.fromkeys(objects))
    return random.Random(seed).sample(sorted(objects), len(objects))


def _chosen(shown: Mapping[str, list[str]], images: int | None, seed: int) -> list[str]:
    able = [image for image, objects in shown.items() if len(objects) >= POSITIVES]
    if not able or len(able) < (images or 0):
        raise EvalError(
            f"{len(able)} of {len(shown)} images show at least {POSITIVES} kinds of objects; "
            f"POPE needs {images or 'some'} that do"
        )
    if images is None:
        return able
    drawn = set(random.Random(seed).sample(sorted(able), images))
    return [image for image in able if image in drawn]


def _six(image: str, objects: list[str], ranking: _Ranking, split: str, rng: random.Random) -> list[tuple[str, str]]:
    absent = ranking.images.keys() - set(objects)
    if len(absent) < POSITIVES:
        raise EvalError(
            f"image {image} shows {len(objects)} of {len(ranking.images)} kinds; too few are absent to ask for"
        )
    asked: list[tuple[str, str]] = []
    for present in objects[:POSITIVES]:
        missing = ranking.pick(absent, present, split, rng)
        absent = absent - {missing}
        asked += [(present, "yes"), (missing, "no")]
    return asked
