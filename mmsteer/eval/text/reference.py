"""What is true of a sample, as far as scorers of its answer ask."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Reference:
    """The truth that an answer is scored against.

    Attributes:
        prompt: What the model was asked.
        answer: The right answer; of a multiple-choice question the text of the right option, or its letter.
        options: The options of a multiple-choice question, in the order of their letters.
        instructions: Instructions that the answer should follow, as `parse_instruction` reads them.
    """

    prompt: str
    answer: str | None = None
    options: tuple[str, ...] = ()
    instructions: tuple[str, ...] = ()
