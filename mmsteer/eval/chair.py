"""CHAIR: which of the objects that a caption mentions are not in the image.

CHAIR_i is hallucinated mentions over mentions, repeats counted, over all captions together; CHAIR_s is the share of
captions with a hallucination. Beside them stand what a falling CHAIR may have cost: recall, length, captions that are
empty or name nothing, repetition.

Three modes read the captions. `pattern` is the reference script with pattern.en's singular forms, slips included:
"bus", "ties" and "canoes" are not heard, "buses" is. `wordnet` is the family of OPERA, PAI, VISTA and lmms-eval, with
WordNet's noun rules: "men" and "vases" are not heard. Their part-of-speech tagger, which may take "parking" for a verb,
is not reproduced, and every word of the list is taken for a noun that WordNet has. `fixed`, the default, hears every
class and synonym in singular and plural, compounds with a hyphen and both words of "sofa/couch", and takes the list's
slips for what was meant; "zebra crossing", "mouse pad" and other compounds of a table name no object in it.

On 2000 LLaVA and 2000 InstructBLIP captions of COCO val2014 (POPE's caption_data), CHAIR_s / CHAIR_i / recall:

    pattern  .6270 / .1876 / .7668    .0335 / .0249 / .4087   (the reference script: the same)
    wordnet  .6280 / .1874 / .7706    .0350 / .0269 / .3961
    fixed    .6285 / .1861 / .7747    .0355 / .0259 / .4107

`docs/chair.md` says which words make the difference. An empty caption is no perfect caption: in `fixed` mode it is
unscored for CHAIR_s and counted in `empty`; the reference scores it as free of hallucination, and so do its modes here.

Source: Rohrbach et al. 2018, Object hallucination in image captioning, arXiv:1809.02156; recall after
Maxlinn/CHAIR-metric-standalone.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any

from mmsteer.errors import EvalError, clip
from mmsteer.eval.bootstrap import ratio_interval
from mmsteer.eval.chair_parser import Mention, object_parser
from mmsteer.eval.chair_synonyms import Synonyms, coco_synonyms
from mmsteer.eval.words import word_scores
from mmsteer.types.score import Score, mean_score


@dataclass(frozen=True)
class ChairRow:
    """One caption.

    `mentions`: the objects it names, in order, repeats kept, without those of the backdrop.
    """

    image: str
    caption: str
    mentions: tuple[Mention, ...]
    truth: frozenset[str]

    @property
    def hallucinated(self) -> tuple[Mention, ...]:
        """The mentions of objects that are not there."""
        return tuple(mention for mention in self.mentions if mention.object not in self.truth)

    @property
    def objects(self) -> frozenset[str]:
        """The classes it names."""
        return frozenset(mention.object for mention in self.mentions)

    @property
    def empty(self) -> bool:
        """Whether it says nothing at all."""
        return not self.caption.strip()

    def to_json(self) -> dict[str, Any]:
        """The row as plain values; a mention has its words and where they stand, in characters."""
        named = [(mention, self.caption[mention.start : mention.stop]) for mention in self.mentions]
        return {
            "image_id": self.image,
            "caption": self.caption,
            "mentions": [
                {"object": one.object, "words": words, "start": one.start, "stop": one.stop}
                | {"hallucinated": one.object not in self.truth}
                for one, words in named
            ],
            "missed": sorted(self.truth - self.objects),
        }


@dataclass(frozen=True)
class ChairScore:
    """What CHAIR says of a set of captions; intervals are bootstrapped over captions.

    Attributes:
        chair_s: Share of captions that name an object which is not there.
        chair_i: Hallucinated mentions over mentions; None where no caption names anything.
        recall: Classes named and there, over classes there.
        precision: Classes named and there, over classes named, each once a caption.
        f1: Harmonic mean of the two.
        length: Words a caption.
        distinct: Classes that a caption names.
        empty: Share of captions without a word.
        repetition: Share of runs of four words that their caption has said before.
        no_objects: Share of captions that name no object; CHAIR_s takes them for free of hallucination.
        n: How many captions there are.
        compat: The mode.
        rows: The captions one by one.
    """

    chair_s: Score
    chair_i: Score
    recall: Score
    precision: Score
    f1: Score
    length: Score
    distinct: Score
    empty: Score
    repetition: Score
    no_objects: Score
    n: int
    compat: str
    rows: tuple[ChairRow, ...]

    @property
    def scores(self) -> dict[str, Score]:
        """The scores by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Score)}

    def to_json(self) -> dict[str, Any]:
        """Values by name, their intervals, and how many captions each could not score; without the rows."""
        scores = self.scores
        return {
            **{name: score.value for name, score in scores.items()},
            "n": self.n,
            "compat": self.compat,
            "intervals": {name: [score.low, score.high] for name, score in scores.items()},
            "unscored": {name: score.unscored for name, score in scores.items() if score.unscored},
        }


class Chair:
    """CHAIR against the objects of known images."""

    def __init__(
        self,
        truth: Mapping[str, Collection[str]],
        compat: str = "fixed",
        synonyms: Synonyms | None = None,
        backdrop: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        """See that the truth speaks of the classes.

        Args:
            truth: For each image the classes of the objects in it.
            compat: `fixed`, `pattern` or `wordnet`.
            synonyms: The words of each class; COCO's published list if left out.
            backdrop: For each image what else is there, such as the sky: to name it is neither right nor wrong.

        Raises:
            EvalError: There is no such mode, or the truth names an unknown class.
        """
        self.compat = compat
        self._parse = object_parser(compat, synonyms)
        self._truth = {image: frozenset(names) for image, names in truth.items()}
        self._backdrop = {image: frozenset(names) for image, names in (backdrop or {}).items()}
        for known in (self._truth, self._backdrop):
            _check_classes(known, coco_synonyms() if synonyms is None else synonyms)

    def objects(self, caption: str) -> tuple[str, ...]:
        """The classes that a caption names, in order, repeats kept.

        >>> Chair({}).objects("Two men and a baby elephant by a bus stop.")
        ('person', 'elephant', 'bus')
        """
        return tuple(mention.object for mention in self._parse(caption))

    def row(self, image: str, caption: str) -> ChairRow:
        """One caption, judged.

        Raises:
            EvalError: The image is unknown.
        """
        if image not in self._truth:
            raise EvalError(
                f"no objects are known of image {clip(image)}; give the annotations of the captioned images"
            )
        beside = self._backdrop.get(image, frozenset())
        mentions = tuple(mention for mention in self._parse(caption) if mention.object not in beside)
        return ChairRow(image, caption, mentions, self._truth[image])

    def score(self, captions: Mapping[str, str], *, seed: int = 0) -> ChairScore:
        """Judge captions.

        Raises:
            EvalError: An image is unknown.
        """
        rows = tuple(self.row(image, caption) for image, caption in captions.items())
        return _score(rows, self.compat, seed)


def _score(rows: Sequence[ChairRow], compat: str, seed: int) -> ChairScore:
    texts = word_scores((row.caption for row in rows), seed=seed)
    named, there = [len(row.objects) for row in rows], [len(row.truth) for row in rows]
    right = [len(row.objects & row.truth) for row in rows]
    wrong = [len(row.hallucinated) for row in rows]
    unscored = [compat == "fixed" and row.empty for row in rows]
    halved = [(one + other) / 2 for one, other in zip(named, there, strict=True)]
    return ChairScore(
        chair_s=mean_score([None if no else float(count > 0) for no, count in zip(unscored, wrong, strict=True)]),
        chair_i=ratio_interval(wrong, [len(row.mentions) for row in rows], seed=seed),
        recall=ratio_interval(right, there, seed=seed),
        precision=ratio_interval(right, named, seed=seed),
        f1=ratio_interval(right, halved, seed=seed),
        length=texts.length,
        distinct=mean_score([float(count) for count in named], seed=seed),
        empty=texts.empty,
        repetition=texts.repetition,
        no_objects=mean_score([float(count == 0) for count in named], seed=seed),
        n=len(rows),
        compat=compat,
        rows=tuple(rows),
    )


def _check_classes(truth: Mapping[str, frozenset[str]], known: Synonyms) -> None:
    for image, names in truth.items():
        for name in sorted(names - known.keys()):
            near = get_close_matches(name, known, 1)
            hint = f"did you mean {clip(near[0])}?" if near else f"they are such as {', '.join(list(known)[:3])}"
            raise EvalError(
                f"image {clip(image)} holds {clip(name)}, which is none of the {len(known)} classes; {hint}"
            )
