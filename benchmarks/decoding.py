"""How long a step of `generate` takes, and how many operators it runs."""

import statistics
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import StoppingCriteria

Run = Callable[..., Any]
"""A call of `generate` on fixed inputs, which takes further options."""

SYNCHRONISING = ("aten._local_scalar_dense", "aten.nonzero", "aten.is_nonzero", "aten.equal")
"""Operators for which the host must wait for the device."""


class StepClock(StoppingCriteria):  # type: ignore[misc]
    """Reads the clock after every step, and stops nothing.

    On the CPU it is the processor time of this process, in which other people's work counts least.
    """

    def __init__(self) -> None:
        self.times: list[float] = []

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        if input_ids.is_cuda:
            torch.cuda.synchronize()
        self.times.append(time.perf_counter() if input_ids.is_cuda else time.process_time())
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)

    @property
    def steps(self) -> list[float]:
        """Seconds of each step after the prompt's."""
        return [after - before for before, after in zip(self.times, self.times[1:], strict=False)]


def steps_of(run: Run, steps: int) -> list[float]:
    """Seconds of each decoding step after the prompt's.

    Args:
        run: The call.
        steps: How many to run.
    """
    clock = StepClock()
    run(max_new_tokens=steps, stopping_criteria=[clock])
    return clock.steps


def step_seconds(run: Run, steps: int) -> float:
    """Median seconds of a decoding step: neither the prompt nor a step that is metered weighs.

    Args:
        run: The call.
        steps: How many to run.
    """
    return statistics.median(steps_of(run, steps))


class Operators(TorchDispatchMode):
    """Counts the ATen operators that run inside."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.counts[str(func).rsplit(".", 1)[0]] += 1
        return func(*args, **(kwargs or {}))


def operators(run: Run, first: int, last: int) -> Counter[str]:
    """ATen operators of decoding steps, summed; the prompt falls out as the difference of two lengths.

    Args:
        run: The call.
        first: The first step counted; step 0 is the prompt's.
        last: The step after the last.
    """
    found = []
    for length in (first, last):
        with Operators() as counter:
            run(max_new_tokens=length)
        found.append(counter.counts)
    return Counter({name: found[1][name] - found[0][name] for name in found[1]})


def synchronisations(counts: Counter[str]) -> int:
    """How many of some operators wait for the device.

    Args:
        counts: Operators.
    """
    return sum(counts[name] for name in SYNCHRONISING)
