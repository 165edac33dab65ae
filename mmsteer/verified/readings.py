"""What is read of an object that an answer names: whether the model itself says that it is in the image."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from mmsteer.eval.chair_parser import Mention
from mmsteer.types import Sample

BATCH = 32
QUESTION = "Is there {a} {object} in the image?"
WORDS = ("Yes", "No")


@dataclass(frozen=True, eq=False)
class OwnAnswer:
    """Log-odds of yes over no when the model is asked whether the object is in the image.

    A description is carried on by what descriptions usually say; the question is answered by what is seen.

    Attributes:
        adapter: The model.
        question: What is asked, with `{object}` in it and, where it wants an article, `{a}`.
        words: The answers whose first tokens are compared.
    """

    adapter: Any
    question: str = QUESTION
    words: tuple[str, str] = WORDS

    def __call__(self, samples: Sequence[Sample], mentions: Sequence[Sequence[Mention]]) -> list[list[float]]:
        """One value a mention.

        Args:
            samples: Answers with their images.
            mentions: What each names.
        """
        asked = [
            replace(sample, prompt=self._asked(mention.object), output=None)
            for sample, some in zip(samples, mentions, strict=True)
            for mention in some
        ]
        odds: list[float] = []
        for start in range(0, len(asked), BATCH):
            found = self.adapter.next_word(asked[start : start + BATCH], self.words)
            odds += (found[:, 0] - found[:, 1]).tolist()
        values = iter(odds)
        return [[next(values) for _ in some] for some in mentions]

    def _asked(self, name: str) -> str:
        return self.question.format(a="an" if name[0] in "aeiou" else "a", object=name)
