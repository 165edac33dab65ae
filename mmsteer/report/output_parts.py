"""What a run was generated from, and what became of each example."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from mmsteer.report.parts import Part, inside

Outcome = Literal["tp", "fp", "tn", "fn", "unparsed"]


class Example(Part):
    """What a model is given."""

    index: int
    id: str
    prompt: str = ""
    answer: str | None = None
    images: tuple[Annotated[str, inside("images")], ...] = ()
    objects: list[str] | None = None
    seed: int = 0


class Trace(Part):
    """The strongest pitch class of each frame, -1 where none is heard."""

    hop_s: float
    classes: list[int]


class Notes(Part):
    """What the evaluator of notes heard."""

    main_note: str | None
    voiced: float
    share: dict[str, float] | None
    trace: Trace


class Readings(Part):
    """What every evaluator heard; the others' readings as they are."""

    model_config = ConfigDict(extra="allow")
    notes: Notes | None = None

    def label(self, evaluator: str, field: str) -> str | None:
        """What an evaluator heard, None where it could not tell.

        `field`: which part of its reading.
        """
        if evaluator == "notes":
            return self.notes.main_note if self.notes else None
        reading = (self.model_extra or {}).get(evaluator)
        found = reading.get(field) if isinstance(reading, dict) else None
        return None if found is None else str(found)


class Mention(Part):
    """An object that a caption names, and where: characters from `start` up to `stop`."""

    object: str
    start: int
    stop: int
    hallucinated: bool


class Asked(Part):
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


class Output(Part):
    """What became of an example: text, a clip and what was read of it, or what was said of images."""

    condition: str
    example: int
    text: str | None = None
    audio: Annotated[str, inside("audio")] | None = None
    readings: Readings = Readings()
    scores: dict[str, tuple[float, float]] = Field(default={})
    caption: str | None = None
    mentions: tuple[Mention, ...] = ()
    missed: tuple[str, ...] = ()
    denied: dict[str, float] = Field(default={})
    answers: list[Asked] | None = None

    def score(self, metric: str) -> float | None:
        """What the output gives by itself; None where it cannot be told."""
        above, below = self.scores.get(metric, (0.0, 0.0))
        return above / below if below else None


class MetricWords(Part):
    """A metric in words."""

    name: str
    meaning: str
    better: Literal["higher", "lower"] | None
    unit: str
    decimals: int
