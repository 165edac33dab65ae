"""What a call is refused for before or while it runs: schedules, rows and positions that would steer nothing."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from mmsteer.errors import PositionsError, SteeringError
from mmsteer.schedules import Timeline
from mmsteer.steering.attribute import Attribute, Steering
from mmsteer.steering.decoding import of_steps
from mmsteer.steering.operators import TARGETED
from mmsteer.steering.plan import Plan
from mmsteer.types import Adapter, Call, Site, check_thoughts, tells_thoughts


def check_call(
    steerings: Sequence[Steering], call: Call, timeline: Timeline, sites: Sequence[Site], beside: str | None
) -> None:
    """Refuse a call that cannot be steered as asked.

    Args:
        steerings: One for each sample, or a single one for all.
        call: What is known of it.
        timeline: Its steps.
        sites: The steered sites of the stack.
        beside: Name of the stack, where it is not the one that makes the output.

    Raises:
        SteeringError: Its length or the number of its samples does not fit, or a schedule is 0 all through.
    """
    items = [item for one in steerings for item in one.attributes]
    _check_length(items, call)
    # Rows alone do not tell: beams and return sequences of a sample share its steering.
    if beside is None and call.samples and len(steerings) not in (1, call.samples):
        raise SteeringError(
            f"the steering is for {len(steerings)} samples, generate was given {call.samples}; give one "
            "steering for each sample, or a single one for all"
        )
    curves = [(item, _values(item, timeline, sites)) for item in items]
    if beside is not None:
        _check_first(curves, beside)
    _check_schedules(curves, timeline.steps)


def check_positions(steerings: Sequence[Steering], call: Call, adapter: Adapter) -> None:
    """Refuse positions that tell thoughts from answers where that cannot be told.

    Args:
        steerings: One for each sample, or a single one for all.
        call: What is known of it.
        adapter: The model.

    Raises:
        PositionsError: The model has no token that closes thoughts.
        SteeringError: Rows change places.
    """
    for positions in [item.positions for one in steerings for item in one.attributes]:
        if not tells_thoughts(positions):
            continue
        check_thoughts(positions, adapter.marks)
        if call.reorders:
            raise SteeringError(
                f"the positions '{positions}' follow the thoughts of each row, and the rows of beams change places; "
                "search without beams, without a cache, or steer `generated`"
            )


def _check_length(items: Sequence[Attribute], call: Call) -> None:
    relative = [item.schedule for item in items if item.schedule.needs_length]
    if relative and call.steps is None:
        raise SteeringError(
            f"the schedule '{relative[0]}' depends on the length of the output, which is not known here; "
            "pass max_new_tokens to generate, or write the schedule from the start, in seconds or steps"
        )


def _values(item: Attribute, timeline: Timeline, sites: Sequence[Site]) -> np.ndarray:
    """The schedule in the layers that the attribute writes itself, (layers or 1, steps)."""
    return item.schedule.values(replace(timeline, layers=sorted({site.layer for site in sites if site in item.shares})))


def _check_first(curves: Sequence[tuple[Attribute, np.ndarray]], stack: str) -> None:
    # A stack beside the output lives at step 0: what a schedule says of later steps would be silence.
    for item, values in curves:
        if values.any() and not values[:, 0].any():
            raise SteeringError(
                f"the schedule '{item.schedule}' is 0 at step 0, when the stack {stack!r} runs, so nothing would "
                "be steered there; leave its sites out, or start the schedule above 0"
            )


def _check_schedules(curves: Sequence[tuple[Attribute, np.ndarray]], steps: int) -> None:
    # In an output of one step, such as a one-word answer, an attribute may rest while another steers.
    meant = [(item, values) for item, values in curves if _is_meant(item, values)]
    silent = [item for item, values in meant if not values.any()]
    if silent and (steps > 1 or len(silent) == len(meant)):
        raise SteeringError(
            f"the schedule '{silent[0].schedule}' is 0 at each of the {steps} steps of this output, so "
            f"{silent[0].direction.name!r} would steer nothing; let it act within the output, or leave it out"
        )


def _is_meant(item: Attribute, values: np.ndarray) -> bool:
    """Whether an attribute is to do something: neither its strength nor its schedule is 0 whatever happens."""
    is_off = item.schedule.is_flat and not values.any()
    return not is_off and (item.strength != 0 or item.operator in TARGETED)


def sample_of_row(
    plan: Plan, rows: int, beside: str | None, all_see: bool | None, *, branch: int | None = None
) -> Tensor:
    """The row of the plan's table that each row of the batch takes, (rows,).

    Args:
        plan: The plan.
        rows: Of the batch.
        beside: Name of the stack, where it is not the one that makes the output.
        all_see: Whether every prompt has an image; None where that is not known.
        branch: The branch of guidance that runs alone; None where all run together.

    Raises:
        SteeringError: It cannot be told which row is whose.
    """
    # With as many rows as samples, one each has one only if each has any.
    if beside is not None and plan.samples > 1 and (plan.samples != rows or all_see is False):
        raise SteeringError(
            f"the steering is for {plan.samples} samples, the stack {beside!r} runs {rows} rows, and which of "
            "its images or tiles belongs to which sample cannot be told; steer it alike for all samples, or run "
            "the samples one by one"
        )
    # Branches are outermost, then samples, then beams or return sequences.
    branches = plan.branches if branch is None else 1
    each, rest = divmod(rows, branches * plan.samples)
    if rest or not each:
        raise SteeringError(
            f"the steering is for {plan.samples} samples in {branches} branches, the model runs {rows} rows; "
            "give one steering for each sample, or a single one for all"
        )
    return torch.arange(branches * plan.samples).repeat_interleave(each) + (branch or 0) * plan.samples


class Judgement:
    """Refuses a call in which an attribute steers nothing, as soon as that is certain, and remembers earlier calls.

    Attributes:
        is_final: Whether the call is judged.
    """

    def __init__(self) -> None:
        self.is_final = False
        # Columns that steered something: in this call, and in any.
        self._steered: Tensor | None = None
        self._ever: Tensor | None = None

    def begin(self) -> None:
        """A call begins: nothing has been steered in it."""
        self._steered, self.is_final = None, False

    def drop(self) -> None:
        """A call is over."""
        if self._steered is not None:
            self._ever = self._steered | (self._steered if self._ever is None else self._ever)
        self._steered = None

    def saw(self, coefficients: Tensor, *, each_row: bool = False) -> None:
        """Note a forward.

        Args:
            coefficients: Of its tokens, (places or 1, rows, tokens, columns).
            each_row: Whether every row has to be steered, because no other row of the batch is its answer's.
        """
        of_rows = (coefficients != 0).any(0).any(1)
        steered = of_rows.all(0) if each_row else of_rows.any(0)
        self._steered = steered if self._steered is None else self._steered | steered

    def judge(
        self, plan: Plan, call: Call, decode: Tensor, tokens: int, *, first: int, steps: int, is_over: bool
    ) -> None:
        """Refuse the call, if an attribute is certain to steer nothing.

        Args:
            plan: Its plan.
            call: What is known of it.
            decode: Coefficients of decoding, (places or 1, steps, rows, columns).
            tokens: Of the prompt.
            first: The first step behind it.
            steps: How many steps it may make, or has made.
            is_over: Whether it has.

        Raises:
            PositionsError: An attribute steers nothing.
        """
        # Whoever sets no limit may stop at any step.
        self.is_final = call.steps is not None
        later = (of_steps(decode, first, steps + call.delay) != 0).flatten(0, 2).any(0)
        known = later if self._steered is None else later | self._steered
        # What decoding steers counts where it is certain to run.
        self._steered = known if self.is_final or is_over else self._steered
        scheduled = (plan.table != 0).flatten(0, 2).any(0)
        empty = torch.nonzero(scheduled & ~known.cpu()).flatten().tolist()
        for column in empty:
            self._refuse(plan, call, column, tokens, some=len(empty) < int(scheduled.sum()))

    def _refuse(self, plan: Plan, call: Call, column: int, tokens: int, *, some: bool) -> None:
        # An empty selection is an error, never silence. Where one word is the whole output, an attribute that is for
        # longer ones may rest as long as another steers; and what a cache holds was steered when it was made.
        is_cached = call.continues and self._ever is not None and bool(self._ever[column])
        if is_cached or (call.steps == 1 and some):
            return
        raise PositionsError(
            f"the positions '{plan.selections[column]}' select none of the {tokens} "
            "tokens of this prompt and none of the tokens that follow, at which the schedule is not 0"
            f"{_ONE_STEP if _is_one_step(call) else ''}"
        )


def _is_one_step(call: Call) -> bool:
    return call.steps == 1 or any(given == tokens for given, tokens in call.spans or ())


_ONE_STEP = ": it makes one step, which the last token of the prompt predicts; add '| last'"
