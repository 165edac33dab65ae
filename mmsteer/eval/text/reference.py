"""What is true of a sample, as far as scorers of its output ask."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Reference:
    """The truth that an output is scored against.

    Attributes:
        prompt: What the model was asked.
        answer: The right answer; of a multiple-choice question the text of the right option, or its letter.
        options: The options of a multiple-choice question, in the order of their letters.
        instructions: Instructions that the answer should follow, as `parse_instruction` reads them.
        objects: What the image shows, in classes of COCO; None where it is not known.
        attributes: Labels of the clip that is wanted, by attribute, such as `{"instrument": "organ"}`.
    """

    prompt: str
    answer: str | None = None
    options: tuple[str, ...] = ()
    instructions: tuple[str, ...] = ()
    objects: frozenset[str] | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
