"""What the files of a run of the kind music hold beside those of every run."""

from typing import Annotated

from pydantic import ConfigDict

from mmsteer.report.parts import Part, inside


class Prompt(Part):
    """What is generated."""

    index: int
    text: str
    seed: int


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
        """What an evaluator heard, None where it could not tell."""
        if evaluator == "notes":
            return self.notes.main_note if self.notes else None
        reading = (self.model_extra or {}).get(evaluator)
        found = reading.get(field) if isinstance(reading, dict) else None
        return None if found is None else str(found)


class Sample(Part):
    """A finished clip."""

    condition: str
    prompt: int
    audio: Annotated[str, inside("audio")]
    readings: Readings

    @property
    def item(self) -> int:
        """The prompt."""
        return self.prompt
