"""Outputs of a finished run → `attributions.json`, one piece an output."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from mmsteer.attribution import Effort, attribute, find_words, log_probability
from mmsteer.attribution.metrics import Metric
from mmsteer.errors import MmsteerError
from mmsteer.recipes.attributing.schema import Attributed
from mmsteer.recipes.attributing.units import can_be_attributed, units_of
from mmsteer.recipes.folder import RunFolder
from mmsteer.recipes.loop import Lines
from mmsteer.recipes.plan import UNSTEERED, Planned
from mmsteer.recipes.sampling import progress_bar
from mmsteer.recipes.scoring import ITEM, Line
from mmsteer.recipes.task import Task
from mmsteer.steering import Steering
from mmsteer.types import Sample
from mmsteer.workers import Held, Workers

ATTRIBUTIONS = "attributions.json"
DIGITS = 6


@dataclass(frozen=True)
class Number:
    """What of an output is shared out.

    Attributes:
        words: Words of the output; None for all of it.
        metric: The number.
    """

    words: str | None
    metric: Metric


@dataclass(frozen=True, eq=False)
class AttributedOutput:
    """Attribute one output.

    Attributes:
        condition: Its name.
        example: Of the output.
        steering: What was applied.
        sample: The prompt with the output.
        number: What of it is shared out.
        how: What the recipe says.
        allowed: Most steps of an output.
        seed: Of what is drawn.
    """

    condition: str
    example: int
    steering: Steering
    sample: Sample
    number: Number
    how: Attributed
    allowed: int
    seed: int

    def do(self, held: Held) -> dict[str, Any]:
        """An entry of the file; where the output cannot be attributed, the reason: all is generated, and goes on."""
        how, adapter = self.how, held.adapter
        # Vectors are added as units, all of them with all units.
        steering = Steering() if how.units == "vectors" else self.steering
        effort = Effort(how.batch, how.steps, how.draws, self.seed)
        try:
            units = units_of(how, self.steering)
            found = attribute(
                adapter, self.sample, self.number.metric, units, how.technique, effort, steering, self.allowed
            )
        except MmsteerError as cause:
            return {"refused": str(cause)}
        return {
            "units": how.units,
            "kind": found.kind,
            "technique": found.technique,
            "words": self.number.words,
            "names": list(found.names),
            "values": [round(value, DIGITS) for value in found.values.tolist()],
            "whole": round(found.whole, DIGITS),
            "nothing": round(found.nothing, DIGITS),
            "rate": adapter.rate,
        }

    def __str__(self) -> str:
        return f"{self.condition}, what output {self.example} comes from"


@dataclass(frozen=True, eq=False)
class Attributing:
    """Attributes the outputs of a run that are looked at first, and the unsteered ones of the same examples.

    Attributes:
        how: What the recipe says.
        task: What was generated.
        folder: Where outputs are, and the attributions are kept.
        workers: What attributes.
        seed: Of what is drawn.
    """

    how: Attributed
    task: Task
    folder: RunFolder
    workers: Workers
    seed: int

    def run(self, applied: Mapping[Planned, Steering], lines: Lines, *, progress: bool) -> None:
        """Attribute what is not attributed yet; each is kept at once.

        Args:
            applied: The steering of the conditions and of the unsteered run.
            lines: What was generated.
            progress: Show how far it is.
        """
        known: dict[str, Any] = self.folder.read(ATTRIBUTIONS) if self.folder.has(ATTRIBUTIONS) else {}
        asked = list(self._asked(applied, lines))
        left = [one for one in asked if str(one.example) not in known.get(one.condition, {})]
        with progress_bar(progress) as bar:
            task = bar.add_task("attributing", total=len(asked), completed=len(asked) - len(left))
            for piece, found in self.workers.map(left):
                known.setdefault(piece.condition, {})[str(piece.example)] = found
                self.folder.write(ATTRIBUTIONS, known)
                bar.advance(task)
        # In the order of the plan, whoever was first, so that equal runs have equal folders.
        ordered: dict[str, Any] = {}
        for one in asked:
            ordered.setdefault(one.condition, {})[str(one.example)] = known[one.condition][str(one.example)]
        self.folder.write(ATTRIBUTIONS, ordered)

    def _asked(self, applied: Mapping[Planned, Steering], lines: Lines) -> Iterator[AttributedOutput]:
        """The pieces, in the order of the plan; those of the unsteered run once, whatever stands beside it."""
        plain = [one for one in applied if one.kind == UNSTEERED and self.how.units != "vectors"]
        found: dict[tuple[str, int], AttributedOutput] = {}
        for planned in applied:
            if planned.kind == "steered" and can_be_attributed(planned.own):
                for pieces in self._shown([*plain, planned], applied, lines):
                    found |= {(piece.condition, piece.example): piece for piece in pieces}
        names = [planned.name for planned in applied]
        yield from sorted(found.values(), key=lambda one: (names.index(one.condition), one.example))

    def _shown(
        self, several: Sequence[Planned], applied: Mapping[Planned, Steering], lines: Lines
    ) -> Iterator[list[AttributedOutput]]:
        """For each of the first examples, in the order of the report, what is attributed of it."""
        shown = self.task.looked_at(lines[several[-1].name], lines.get(UNSTEERED))
        each = (
            [piece for one in several if (piece := self._piece(one, applied[one], self._line(one, line, lines)))]
            for line in shown
        )
        yield from islice(filter(None, each), self.how.samples)

    def _line(self, planned: Planned, shown: Line, lines: Lines) -> Line:
        return next(line for line in lines[planned.name] if line[ITEM] == shown[ITEM])

    def _piece(self, planned: Planned, steering: Steering, line: Line) -> AttributedOutput | None:
        """The piece of an output; None where it is blank, or has not the words that are asked for."""
        item = self.task.items[line[ITEM]]
        samples = self.task.contexts(self.folder.path, planned, [item], [line])
        number = self._number(samples[0], line) if samples else None
        if number is None:
            return None
        return AttributedOutput(
            planned.name, line[ITEM], steering, samples[0], number, self.how, self.task.steps, self.seed
        )

    def _number(self, sample: Sample, line: Line) -> Number | None:
        words, before = self.how.words, ""
        if self.how.mentions:
            wanted = self.how.mentions == "hallucinated"
            first = next((one for one in line["mentions"] if one["hallucinated"] == wanted), None)
            if first is None:
                return None
            words, before = line["caption"][first["start"] : first["stop"]], line["caption"][: first["start"]]
        if words is None:
            return Number(None, log_probability)
        found = find_words(self.task.adapter, sample, words, before)
        return Number(words, found) if found else None
