"""What the files of a run on rows of one's own hold beside those of every run."""

from typing import Annotated, Literal

from mmsteer.report.parts import Part, inside

Inside = Annotated[str, inside("images")]


class Example(Part):
    """What a model is given."""

    index: int
    id: str
    prompt: str
    answer: str | None
    images: list[Inside]
    seed: int


class Answer(Part):
    """A finished output."""

    condition: str
    example: int
    text: str | None = None
    audio: Annotated[str, inside("audio")] | None = None
    scores: dict[str, tuple[float, float]]

    @property
    def item(self) -> int:
        """The example."""
        return self.example

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
