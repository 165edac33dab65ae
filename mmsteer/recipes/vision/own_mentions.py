"""Words in the model's own captions, split by whether what they name is there.

Read before a word, its samples hold what the model knew when it chose the word; a word is paired with itself, so that
which word it is tells nothing.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from mmsteer.data.contrasts import Contrast, paired
from mmsteer.errors import DataError
from mmsteer.eval.chair import Chair, ChairRow
from mmsteer.eval.chair_parser import Mention
from mmsteer.eval.open_nouns import open_synonyms
from mmsteer.recipes.vision.own_captions import described
from mmsteer.recipes.vision.pictures import Picture, pictures_in
from mmsteer.recipes.vision.schema import OwnMentionPairs
from mmsteer.types import Sample

if TYPE_CHECKING:
    from mmsteer.adapters import LanguageModelAdapter

Read = Literal["sentence", "object", "name"]
Placed = tuple[ChairRow, int, Mention]
"""A caption, and one of its mentions with its place among them."""


def own_mentions(adapter: "LanguageModelAdapter", data: OwnMentionPairs) -> Contrast:
    """First mentions of what is there (1) against those of the same words for what is not (0), from greedy captions.

    Each false mention is paired with a true one of another image, the one whose place in its caption is nearest; false
    ones of a word that is never true are left out.

    Args:
        adapter: Who describes.
        data: The images, the prompt, and where the text ends that is read.

    Raises:
        DataError: The captions have no false mention that can be paired.
    """
    pictures = {picture.id: replace(picture, prompt=data.prompt) for picture in pictures_in(data.images, ())}
    samples = {name: picture.sample(adapter) for name, picture in pictures.items()}
    said = described(adapter, data.images, data.prompt, data.tokens)
    rows = [_judged(pictures[one.id], str(one.output)) for one in said]
    pairs = _paired([(row, at, one) for row in rows for at, one in enumerate(_first(row))])
    if not pairs:
        raise DataError(
            f"the model's captions of {len(rows)} images name nothing falsely that is named truly in others; describe "
            "more images"
        )

    def read(name: str, one: Placed) -> Sample:
        row, _, mention = one
        return replace(samples[row.image], id=name, output=_until(row.caption, mention, data.read))

    return paired(
        f"own mentions ({data.read})",
        [
            (f"mention {at}", read(f"mention {at}/there", true), read(f"mention {at}/gone", false))
            for at, (true, false) in enumerate(pairs)
        ],
    )


def _judged(picture: Picture, caption: str) -> ChairRow:
    truth = {picture.id: picture.objects or frozenset()}
    if picture.backdrop is None:
        return Chair(truth).row(picture.id, caption)
    return Chair(truth, "fixed", open_synonyms(), {picture.id: picture.backdrop}).row(picture.id, caption)


def _first(row: ChairRow) -> Sequence[Mention]:
    """The first mention of each object."""
    return list({mention.object: mention for mention in reversed(row.mentions)}.values())[::-1]


def _paired(mentions: Sequence[Placed]) -> list[tuple[Placed, Placed]]:
    """For each false mention a true one of the same word, the unused one of nearest place, and itself."""
    true: dict[str, list[Placed]] = defaultdict(list)
    for row, place, mention in mentions:
        if mention.object in row.truth:
            true[mention.object].append((row, place, mention))
    pairs = []
    for row, place, mention in mentions:
        others = true[mention.object]
        if mention.object not in row.truth and others:
            near = min(others, key=lambda other: abs(other[1] - place))
            others.remove(near)
            pairs.append((near, (row, place, mention)))
    return pairs


def _until(caption: str, mention: Mention, read: Read) -> str:
    """The caption up to a mention, to the article before it, or to the end of the sentence before it."""
    stop = mention.stop if read == "name" else mention.start
    if read == "sentence":
        stop = caption.rfind(". ", 0, mention.start) + 1
    return caption[:stop].rstrip()
