"""Answers of a model that is brought to a concept in one way or another, many ways in one batch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from mmsteer.adapters import AnyAdapter
from mmsteer.axbench.concepts import Concept
from mmsteer.axbench.lora import Weights, with_lora
from mmsteer.steering import Steering, steer
from mmsteer.types import Chat, Sample, Sampling

ORDER = "Answer in a way that is about {concept}, whatever you are asked, and mention it."
"""The system prompt of the baseline."""


@dataclass(frozen=True, eq=False)
class Run:
    """How a model is brought to a concept.

    Attributes:
        steering: By steering.
        order: By a system prompt.
        added: By words behind the prompt.
        lora: By weights.
    """

    steering: Steering = field(default_factory=Steering)
    order: str | None = None
    added: str | None = None
    lora: Weights | None = None

    def asked(self, sample: Sample) -> Sample:
        """The instruction as this run gives it.

        Args:
            sample: The instruction.
        """
        if self.added is not None:
            return replace(sample, prompt=sample.text + self.added)
        if self.order is None:
            return sample
        turns = ({"role": "system", "content": self.order}, {"role": "user", "content": sample.text})
        return replace(sample, prompt=Chat(turns))


def prompted(concept: Concept) -> Run:
    """The baseline that asks for a concept.

    Args:
        concept: The concept.
    """
    if concept.order is not None:
        return Run(added=concept.order)
    return Run(order=ORDER.format(concept=concept.text))


Make = Callable[[float], Run]
"""From a factor to what runs at it."""


def generated(
    adapter: AnyAdapter, rows: Sequence[tuple[Run, Sample]], seeds: Sequence[int], sampling: Sampling, batch: int
) -> list[Sample]:
    """Answers, each to the plain instruction, whatever the model was told besides; rows of LoRA by themselves.

    Args:
        adapter: The model.
        rows: Instructions, and how the model answers each.
        seeds: One a row.
        sampling: How answers are drawn.
        batch: Answers that are drawn together.
    """
    made: dict[int, Sample] = {}
    for with_weights in (False, True):
        places = [at for at, (run, _) in enumerate(rows) if (run.lora is not None) == with_weights]
        for start in range(0, len(places), batch):
            some = places[start : start + batch]
            drawn = _batch(adapter, [rows[at] for at in some], [seeds[at] for at in some], sampling)
            made |= zip(some, drawn, strict=True)
    return [replace(sample, output=made[at].output) for at, (_, sample) in enumerate(rows)]


def unsteered(adapter: AnyAdapter, instructions: Sequence[Sample], sampling: Sampling, batch: int) -> list[Sample]:
    """Unsteered answers to all instructions: what an offline judge sets its marks by.

    Args:
        adapter: The model.
        instructions: What is asked.
        sampling: How answers are drawn.
        batch: Answers that are drawn together.
    """
    rows = [(Run(), one) for one in instructions]
    return generated(adapter, rows, range(len(rows)), sampling, batch)


def _batch(
    adapter: AnyAdapter, rows: Sequence[tuple[Run, Sample]], seeds: Sequence[int], sampling: Sampling
) -> list[Sample]:
    samples = [run.asked(sample) for run, sample in rows]
    weights = rows[0][0].lora
    if weights is not None:
        with with_lora(adapter, weights):
            return adapter.generate(samples, sampling, seeds)
    with steer(adapter, [run.steering for run, _ in rows]):
        return adapter.generate(samples, sampling, seeds)
