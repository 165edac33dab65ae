"""One steered stack of layers: its clock, its tables, its edits.

The clock ticks once per forward of the stack and takes the time from the cache. A prompt's forward decides what every
row and token is; each later step is one addition in each layer, of what `Decoding` has laid out. A stack beside the one
that makes the output, such as a vision tower, knows no time: all its forwards are prompts, at output step 0.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mmsteer.errors import PositionsError, SteeringError
from mmsteer.hooks import Edit
from mmsteer.schedules import Timeline
from mmsteer.steering.attribute import Steering
from mmsteer.steering.decoding import Decoding, bank_of
from mmsteer.steering.meter import Meter
from mmsteer.steering.others import Others
from mmsteer.steering.plan import Plan, compile_plan
from mmsteer.types import Adapter, Call, Forward, Kind, Layout, Positions, Site, Tokens

NEED_LENGTH = ("%", ".reverse()")
"""What in a schedule's text counts from the end of the output."""

OWN_LOOP = Call()
"""A sequence that runs outside `generate`: nothing is known of it in advance."""


class Driver:
    """Steers the sites of one stack while it runs.

    Attributes:
        meter: Counts and norms of what was applied.
        sites: The sites it edits, in the order of the layers.
        beside: Whether the stack is not the one that makes the output.
        ticks: Whether its clock ticked while shouting.
    """

    def __init__(self, adapter: Adapter, stack: str, sites: Sequence[Site], steerings: Sequence[Steering]) -> None:
        self.meter = Meter(tuple(map(str, sites)))
        self.sites = tuple(sites)
        self.beside = stack != adapter.generator
        self.ticks = False
        self._adapter = adapter
        self._stack = stack
        self._steerings = tuple(steerings)
        self._loud: Mapping[Site, float] | None = None
        self._heard: set[Site] = set()
        self._plan: Plan | None = None
        self._call = OWN_LOOP
        self._fresh = True
        self._rows = self._given = self._origin = 0
        self._is_packed = False
        self._deltas: Sequence[Tensor] = ()
        self._dtype = torch.float32
        self._now: int | Tensor | None = None
        # The step that runs, where there is nothing to do but to add, on one device: nearly always.
        self._usual: int | None = None

    def edits(self) -> Mapping[Any, Edit]:
        """An edit for the module of every site."""
        return {self._adapter.module(site): self._edit(place) for place, site in enumerate(self.sites)}

    def begin(self, call: Call) -> None:
        """Compile the tables for a call; its first forward is still to come.

        Args:
            call: What is known of it.
        """
        steps = call.steps or self._adapter.max_steps
        self._check_length(call)
        self._check_samples(call)
        timeline = Timeline(steps, self._adapter.rate, len(self.sites))
        self._check_first(timeline)
        self._call = call
        self._plan = compile_plan(self._steerings, self.sites, timeline, 1 if self.beside else call.branches)
        self._placed: dict[torch.device, Tensor] = {}
        self._wide: Tensor | None = None
        self._others = Others(self._plan.others, self._stack, self.meter)
        self._fresh = True

    def finish(self) -> None:
        """Close the books of a call; the next forward without one is the user's own loop."""
        if self._plan is not None and not self._fresh:
            self.meter.close(self._decoding.table, self._plan.vectors, self._others.places)
        self._plan, self._fresh, self._usual = None, True, None

    def tick(self, arguments: Mapping[str, Any]) -> None:
        """Find out what this forward is and look up its coefficients.

        Args:
            arguments: Of the stack's forward, by name.
        """
        if self._loud is not None:
            self.ticks = True
            return
        forward = self._adapter.forward(self._stack, arguments)
        self._begin_unannounced(forward)
        if self.beside:
            self._prompt(forward, self._adapter.layout(self._stack, forward, arguments, forward.width))
        elif self._is_prompt(forward):
            self._given = self._call.prompt or (forward.width if self._fresh else self._given)
            self._prompt(forward, self._adapter.layout(self._stack, forward, arguments, self._given))
        else:
            self._step(forward)

    def shout(self, size: float | None, sites: Collection[Site] = ()) -> None:
        """Add one vector of a given size at some sites, and nothing elsewhere, in place of the plan, or stop doing so.

        Args:
            size: What each entry measures; None to stop.
            sites: Where.
        """
        self._loud = None if size is None else {site: size * (site in sites) for site in self.sites}

    @property
    def unheard(self) -> list[Site]:
        """Sites whose module did not run while shouting."""
        return [site for site in self.sites if site not in self._heard]

    @property
    def idle(self) -> bool:
        """Whether no forward of the stack was steered since the call began."""
        return self._fresh

    def _begin_unannounced(self, forward: Forward) -> None:
        """A sequence of the user's own loop begins where the cache is empty."""
        if self._plan is None or (self._call == OWN_LOOP and not self._fresh and _starts(forward)):
            self.finish()
            self.begin(OWN_LOOP)

    def _is_prompt(self, forward: Forward) -> bool:
        return self._fresh or forward.width > 1 or _starts(forward) or forward.rows != self._rows

    def _prompt(self, forward: Forward, layout: Layout) -> None:
        plan = self._compiled()
        device = layout.kinds.device
        self._rows, self._origin = forward.rows, layout.origin
        table = plan.table.to(device).index_select(2, self._sample_of_row(forward.rows).to(device))
        decode = table[:, :0] if self.beside else table * self._later(table.shape[1], device)
        steps = self._steps(forward, layout)
        mask = _masks(plan.selections, Tokens(layout.kinds, steps, self._adapter.rate))
        self._check_selected(mask, decode, forward)
        # (layers, rows, tokens, columns)
        self._coefficients = table[:, steps.clamp(0, table.shape[1] - 1)].transpose(1, 2) * mask
        self._deltas = ()
        # Made here, so that the first compiled step finds what the later ones do.
        self._decoding = Decoding(decode, self._bank(device), len(self.sites))
        self._now = self._usual = None
        goes_on = isinstance(forward.start, int) and forward.start > 0
        self.meter.prompt(self._coefficients, steps[-1], more=self.beside and not self._fresh, goes_on=goes_on)
        # Last: a prompt that is refused was none.
        self._fresh = False

    def _steps(self, forward: Forward, layout: Layout) -> Tensor:
        """The output step of each token, (tokens,)."""
        tokens = torch.arange(forward.width, device=layout.kinds.device)
        return torch.zeros_like(tokens) if self.beside else int(forward.start) + tokens - layout.origin

    def _later(self, steps: int, device: torch.device) -> Tensor:
        """What the positions say of generated tokens, (1, steps, 1, columns)."""
        kinds = torch.full((1, steps), int(Kind.GENERATED | Kind.TEXT), device=device)
        masks = _masks(
            self._compiled().selections, Tokens(kinds, torch.arange(steps, device=device), self._adapter.rate)
        )
        return masks[0, :, None].unsqueeze(0)

    def _step(self, forward: Forward) -> None:
        step = self._now = forward.start - self._origin
        self._deltas = self._decoding.added(step, self._dtype)
        if self._others.places:
            self._coefficients = self._decoding.coefficients(step)
        self._usual = None
        sums_alone = not self._others.places and not self._is_packed and len(self._placed) == 1
        if sums_alone and isinstance(step, int) and self.meter.is_quiet(step):
            self._usual = step

    def _edit(self, place: int) -> Edit:
        # A step is noted where states are edited: the clock may tick outside a graph that was compiled without edits.
        def edit(hidden: Tensor) -> Tensor:
            if self._usual is not None:
                self.meter.known = self._usual
                return hidden + self._deltas[place]
            return self._edited(place, hidden)

        return edit

    def _edited(self, place: int, hidden: Tensor) -> Tensor:
        if self._loud is not None:
            self._heard.add(self.sites[place])
            return hidden + self._loud[self.sites[place]] * _alternating(hidden)
        self._compiled()
        if len(hidden) != self._rows:  # a layer that puts the tokens of all rows into one, as OPT's MLP does
            self._is_packed = True
            return self._edited(place, hidden.reshape(self._rows, -1, hidden.shape[-1])).reshape(hidden.shape)
        if place == 0 and self._now is not None:
            self.meter.step(self._now)
        edited = hidden + self._delta(place, hidden)
        if place in self._others.places:
            edited = self._others.edit(place, hidden, edited, self._amount(place))
        if self.meter.measuring:
            self.meter.measure(place, hidden, edited)
        return edited

    def _delta(self, place: int, hidden: Tensor) -> Tensor:
        if self._deltas:
            return self._deltas[place].to(hidden.device, non_blocking=True)
        self._dtype = hidden.dtype
        delta = self._amount(place).to(hidden.device) @ self._vectors(hidden.device)[place]
        return delta.to(hidden.dtype)

    def _amount(self, place: int) -> Tensor:
        """This forward's coefficients at a site, (rows, tokens, columns)."""
        return self._coefficients[place if self._coefficients.shape[0] > 1 else 0]

    def _vectors(self, device: torch.device) -> Tensor:
        """What each column adds, (layers, columns, width), on the device of a layer."""
        if device not in self._placed:
            self._placed[device] = self._compiled().vectors.to(device)
        return self._placed[device]

    def _bank(self, device: torch.device) -> Tensor:
        """The vectors as decoding multiplies them; laid out once a call."""
        if self._wide is None:
            self._wide = bank_of(self._vectors(device), self._compiled().table)
        return self._wide

    def _compiled(self) -> Plan:
        if self._plan is None:
            raise SteeringError("a layer ran outside its stack's forward; call the model itself, not a layer of it")
        return self._plan

    def _check_length(self, call: Call) -> None:
        texts = [str(item.schedule) for one in self._steerings for item in one.attributes]
        relative = [text for text in texts if any(mark in text for mark in NEED_LENGTH)]
        if relative and call.steps is None:
            raise SteeringError(
                f"the schedule {relative[0]!r} depends on the length of the output, which is not known here; "
                "pass max_new_tokens to generate, or write the schedule from the start, in seconds or steps"
            )

    def _check_samples(self, call: Call) -> None:
        # Rows alone do not tell: beams and return sequences of a sample share its steering.
        if not self.beside and call.samples and len(self._steerings) not in (1, call.samples):
            raise SteeringError(
                f"the steering is for {len(self._steerings)} samples, generate was given {call.samples}; give one "
                "steering for each sample, or a single one for all"
            )

    def _check_first(self, timeline: Timeline) -> None:
        # A stack beside the output lives at step 0: what a schedule says of later steps would be silence.
        schedules = [item.schedule for one in self._steerings for item in one.attributes if self.beside]
        for schedule in schedules:
            values = schedule.values(timeline)
            if values.any() and not values[:, 0].any():
                raise SteeringError(
                    f"the schedule '{schedule}' is 0 at step 0, when the stack {self._stack!r} runs, so nothing would "
                    "be steered there; leave its sites out, or start the schedule above 0"
                )

    def _sample_of_row(self, rows: int) -> Tensor:
        # The row of the table that each row of the batch takes.
        plan = self._compiled()
        if self.beside and plan.samples not in (1, rows):
            raise SteeringError(
                f"the steering is for {plan.samples} samples, the stack {self._stack!r} runs {rows} rows, and which of "
                "its images or tiles belongs to which sample cannot be told; steer it alike for all samples, or run "
                "the samples one by one"
            )
        # Branches are outermost, then samples, then beams or return sequences.
        each, rest = divmod(rows, plan.branches * plan.samples)
        if rest or not each:
            raise SteeringError(
                f"the steering is for {plan.samples} samples in {plan.branches} branches, the model runs {rows} rows; "
                "give one steering for each sample, or a single one for all"
            )
        return torch.arange(plan.branches * plan.samples).repeat_interleave(each)

    def _check_selected(self, mask: Tensor, decode: Tensor, forward: Forward) -> None:
        # An empty selection is an error, never silence.
        later = (
            (decode != 0).flatten(0, 2).any(0) if self._call.steps else torch.zeros(mask.shape[-1], dtype=torch.bool)
        )
        empty = ~(mask.flatten(0, 1).any(0).cpu() | later.cpu())
        scheduled = (self._compiled().table != 0).flatten(0, 2).any(0)
        for column in torch.nonzero(empty & scheduled).flatten().tolist():
            raise PositionsError(
                f"the positions '{self._compiled().selections[column]}' select none of the {forward.width} tokens of "
                "this prompt and none of the tokens that follow"
            )


def _masks(selections: Sequence[Positions], tokens: Tokens) -> Tensor:
    """Which tokens each column steers, (rows, tokens, columns) bool."""
    return torch.stack([selection.mask(tokens) for selection in selections], dim=-1)


def _starts(forward: Forward) -> bool:
    """Whether the cache is known to be empty; a static cache does not tell without a synchronisation."""
    return isinstance(forward.start, int) and forward.start == 0


def _alternating(hidden: Tensor) -> Tensor:
    """1, -1, 1, ...: a vector that no layer norm takes out again, as it would a constant one."""
    signs = torch.ones(hidden.shape[-1], device=hidden.device, dtype=hidden.dtype)
    signs[1::2] = -1
    return signs
