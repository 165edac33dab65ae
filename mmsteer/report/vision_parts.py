"""What the files of a run of the kind vision hold beside those of every run."""

from typing import Annotated, Literal

from mmsteer.report.parts import Part, inside

Outcome = Literal["tp", "fp", "tn", "fn", "unparsed"]


class Picture(Part):
    """What is shown to the model."""

    index: int
    name: str
    file: Annotated[str, inside("images")]
    objects: list[str] | None


class Mention(Part):
    """An object that a caption names, and where: characters from `start` up to `stop`."""

    object: str
    start: int
    stop: int
    hallucinated: bool


class Answer(Part):
    """A yes-or-no question and what came of it."""

    question: str
    label: str
    splits: list[str]
    answer: str | None
    logit: float | None
    mass: float | None = None
    outcome: Outcome

    @property
    def right(self) -> bool:
        """Whether it was answered as the label says."""
        return self.outcome in ("tp", "tn")

    @property
    def said(self) -> str:
        """What the answer was taken for."""
        return {"tp": "yes", "fp": "yes", "tn": "no", "fn": "no"}.get(self.outcome, "neither")


class View(Part):
    """A finished picture: what the model said of it."""

    condition: str
    image: int
    caption: str | None
    mentions: list[Mention]
    missed: list[str]
    answers: list[Answer] | None

    @property
    def item(self) -> int:
        """The picture."""
        return self.image
