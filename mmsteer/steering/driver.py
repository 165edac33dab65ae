"""One steered stack of layers: its clock, its tables, its edits.

The clock ticks once per forward of the stack and takes the time from the cache. A prompt's forward decides what every
row and token is; each later step is one addition in each layer, of what `Pushes` has laid out. A stack beside the one
that makes the output, such as a vision tower, knows no time: all its forwards are prompts, at output step 0.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mmsteer.errors import SteeringError
from mmsteer.hooks import Edit
from mmsteer.schedules import Timeline
from mmsteer.steering.attribute import Steering
from mmsteer.steering.closed_call import ClosedCall
from mmsteer.steering.meter import Meter
from mmsteer.steering.placed import PlacedPlan
from mmsteer.steering.places import Part, by_site, places_of
from mmsteer.steering.plan import compile_plan
from mmsteer.steering.progress import Progress
from mmsteer.steering.pushes import Pushes, steps_of
from mmsteer.steering.refusals import Judgement, check_call, check_positions, sample_of_row
from mmsteer.steering.spans import spanned
from mmsteer.steering.state_dependent import StateDependentEdits
from mmsteer.steering.track import Track, side_by_side
from mmsteer.types import Adapter, Call, Forward, Layout, Port, Site

OWN_LOOP = Call()
"""A sequence that runs outside `generate`: nothing is known of it in advance."""


class Driver:
    """Steers the sites of one stack while it runs.

    Attributes:
        meter: Counts and norms of what was applied.
        sites: The sites it edits, in the order in which the model computes them.
        beside: Whether the stack is not the one that makes the output.
        ticks: Whether its clock ticked while vectors were injected.
        ran: Whether a forward of the stack was steered since the hooks were installed.
        last: What is known of the call that was finished last.
        paused: Whether its forwards are another sequence's, such as a draft, and left alone.
    """

    def __init__(self, adapter: Adapter, stack: str, sites: Sequence[Site], steerings: Sequence[Steering]) -> None:
        self.sites = tuple(sites)
        self.meter = Meter(self.names)
        self.beside = stack != adapter.generator
        self.ticks = self.ran = self.paused = False
        self._adapter = adapter
        self._stack = stack
        self._steerings = tuple(steerings)
        self._places = places_of(adapter, sites)
        self._layers = tuple(self.sites[place.parts[0].index].layer for place in self._places)
        self._injected: Mapping[Site, float] | None = None
        self._injected_at: set[Site] = set()
        self._plan: PlacedPlan | None = None
        # The plan of the last call, and the timeline and branches that it is for.
        self._last_plan: tuple[Timeline, int, PlacedPlan] | None = None
        self._judgement = Judgement()
        self._call = OWN_LOOP
        self.last: ClosedCall | None = None
        self._fresh = True
        self._rows = self._images = self._end = 0
        self._tracks: dict[int | None, Track] = {}
        # For each branch the sample of each row.
        self._owners: dict[int | None, Tensor] = {}
        self._track: Track
        self._cache: Any = None
        self._has_drafts = self._awaits_edit = self._is_packed = False
        self._now: int | Tensor | None = None
        # The step that runs, where there is nothing to do but to add, on one device: nearly always.
        self._usual: int | None = None

    def edits(self) -> Mapping[Port, Edit]:
        """An edit for every place."""
        return {place.port: self._edit(index) for index, place in enumerate(self._places)}

    # A prompt is planned outside of any graph; only its steps are compiled.
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def begin(self, call: Call) -> None:
        """Compile the tables for a call; its first forward is still to come.

        Args:
            call: What is known of it.
        """
        timeline = Timeline(call.steps or self._adapter.max_steps, self._adapter.rate, self._layers)
        check_call(self._steerings, call, timeline, self.sites, self._name_beside)
        check_positions(self._steerings, call, self._adapter)
        self._call = call
        self._plan = self._planned(timeline, 1 if self.beside else call.branches)
        plan = self._plan.plan
        # What rests all through a call is left out: gradients, too, are those of the model alone.
        others = [other for other in plan.others if plan.table[..., other.column].any()]
        self._others = StateDependentEdits(others, self._stack, self.meter)
        self._judgement.begin()
        self._has_drafts, self._awaits_edit = False, False
        self._fresh, self._tracks, self._owners = True, {}, {}

    def _planned(self, timeline: Timeline, branches: int) -> PlacedPlan:
        if self._last_plan is None or self._last_plan[:2] != (timeline, branches):
            # A later call may be one with gradients.
            with torch.inference_mode(False):
                plan = compile_plan(self._steerings, self.sites, timeline, branches)
                self._last_plan = timeline, branches, PlacedPlan(plan, self._places)
        return self._last_plan[2]

    def made(self, steps: int) -> None:
        """Note how long the output is: what was drafted and not taken is no part of it.

        Args:
            steps: Output steps.
        """
        if self._has_drafts:
            self.meter.cut(steps)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def finish(self) -> None:
        """Judge a call and close its books; the next forward without one is the user's own loop."""
        if self._plan is not None and not self._fresh:
            self._check_edited()
            if not self._judgement.is_final:
                self._judge(self.meter.reached())
            self.last = self._so_far()
            self.meter.close(self.last)
        self.drop()

    def call(self) -> ClosedCall | None:
        """What is known of the call in progress, or of the last one; None before the first."""
        return self.last if self._plan is None or self._fresh else self._so_far()

    def _so_far(self) -> ClosedCall:
        applied = side_by_side([track.applied() for track in self._tracks.values()])
        owners = torch.cat(list(self._owners.values()))
        vectors = self._compiled().plan.vectors
        return self.meter.so_far(applied, vectors, self._others.places, owners, partial(by_site, places=self._places))

    def drop(self) -> None:
        """Forget the call in progress, if there is one: it is in no book."""
        self._judgement.drop()
        self._plan, self._fresh, self._usual, self._cache = None, True, None, None
        self._tracks, self._awaits_edit = {}, False

    def tick(self, arguments: Mapping[str, Any]) -> None:
        """Find out what this forward is and look up its coefficients.

        Args:
            arguments: Of the stack's forward, by name.
        """
        if self._injected is not None:
            self.ticks = True
            return
        if self.paused:
            return
        if not torch.compiler.is_compiling():
            self._check_edited()
        self.ran = True
        if not self._is_step(arguments):
            self._plan_forward(arguments)

    def inject(self, size: float | None, sites: Collection[Site] = ()) -> None:
        """Add one vector of a given size at some sites, and nothing elsewhere, in place of the plan, or stop doing so.

        Args:
            size: What each entry measures; None to stop.
            sites: Where.
        """
        self._injected = None if size is None else {site: size * (site in sites) for site in self.sites}

    def failed(self) -> None:
        """Note that a forward raised, wherever it was."""
        self._awaits_edit = False

    @property
    def names(self) -> tuple[str, ...]:
        """Its sites, as they are written."""
        return tuple(map(str, self.sites))

    @property
    def not_run(self) -> list[Site]:
        """Sites whose module did not run while vectors were injected."""
        return [site for site in self.sites if site not in self._injected_at]

    @property
    def idle(self) -> bool:
        """Whether no forward of the stack was steered since the call began."""
        return self._fresh

    def _is_step(self, arguments: Mapping[str, Any]) -> bool:
        """Run a step of decoding, behind a prompt that has run to its end, if this is one: the usual case."""
        if self._fresh or self.beside:
            return False
        forward = self._adapter.forward(self._stack, arguments)
        track = self._tracks.get(forward.branch)
        if forward.width > 1 or _starts(forward) or forward.rows != self._rows or not (track and track.is_prompted):
            return False
        if self._call == OWN_LOOP:
            self._follow(forward)
        self._step(forward)
        return True

    # A step can be part of a graph; where a whole forward is compiled, its graph breaks here.
    @torch.compiler.disable  # type: ignore[untyped-decorator]  # torch does not type it
    def _plan_forward(self, arguments: Mapping[str, Any]) -> None:
        forward = self._adapter.forward(self._stack, arguments)
        forward = replace(forward, start=int(forward.start))
        self._begin_unannounced(forward)
        given = forward.width if self.beside else self._given(forward)
        self._several(forward, self._adapter.layout(self._stack, forward, arguments, given), given)
        self._end, self._cache = int(forward.start) + forward.width, forward.cache

    def _given(self, forward: Forward) -> int:
        """How many tokens of a sequence are its prompt: what was announced, or all of its first forward."""
        known = None if self._fresh else self._tracks.get(forward.branch)
        return known.given if known else self._call.prompt or int(forward.start) + forward.width

    def _begin_unannounced(self, forward: Forward) -> None:
        """A sequence of the user's own loop begins where the cache is empty."""
        if self._plan is None or (self._call == OWN_LOOP and not self._fresh and (self.beside or _starts(forward))):
            self.finish()
            self.begin(OWN_LOOP)
        elif self._call == OWN_LOOP and not self.beside and not self._fresh:
            self._follow(forward)

    def _follow(self, forward: Forward) -> None:
        # The user's own loop: its sequence is known by its cache, or by its length.
        if isinstance(forward.start, int):
            # A cache may have been cut, as assisted decoding does, or copied; never both.
            is_same = forward.start == self._end or (forward.cache is self._cache and forward.start < self._end)
            if not is_same:
                raise SteeringError(
                    f"the model was given a cache of {forward.start} tokens, but the sequence that is being steered "
                    f"has {self._end}: two sequences take turns here, and one session steers one at a time; finish one "
                    "before the next, or run them as one batch"
                )
            self._end, self._cache = forward.start + forward.width, forward.cache

    def _several(self, forward: Forward, layout: Layout, given: int) -> None:
        """A forward of a prompt, of a part of it, or of several steps at once."""
        is_new = self._fresh or self.beside or _starts(forward) or forward.rows != self._rows
        self._note_rows(forward)
        if is_new:
            self._tracks[forward.branch] = self._lay_out(forward, layout, given)
        self._track = track = self._tracks[forward.branch]
        track.origin, layout = layout.origin, track.note(layout, forward)
        drafted = not is_new and track.is_prompted
        self._has_drafts |= drafted
        steps = steps_of(forward, layout, beside=self.beside)
        if self._has_spans:
            layout, steps = spanned(layout, self._call.spans or ())
        track.pushes.prompt(layout, steps)
        self._now = self._usual = None
        self._judgement.saw(track.pushes.coefficients, each_row=self._has_spans)
        track.is_prompted = self.beside or int(forward.start) + forward.width >= track.given
        if self._are_prompted and not self._judgement.is_final and not self.beside:
            self._judge(None)
        is_more = not self._fresh and (self.beside or track.is_beside or not _starts(forward))
        start = (forward.branch or 0) * forward.rows
        self.meter.prompt(track.pushes.coefficients, steps, self._images, start=start, more=is_more, drafted=drafted)
        # Last: a prompt that is refused was none.
        self._fresh, self._awaits_edit = False, True

    def _note_rows(self, forward: Forward) -> None:
        self._rows = forward.rows
        branches = 1 if forward.branch is None else self._compiled().plan.branches
        self._images = forward.rows * branches + (self._images if self.beside and not self._fresh else 0)

    def _lay_out(self, forward: Forward, layout: Layout, given: int) -> Track:
        placed = self._compiled()
        pushes = Pushes(placed, self._adapter.rate)
        rows = sample_of_row(placed.plan, forward.rows, self._name_beside, self._call.all_see, branch=forward.branch)
        self._owners[forward.branch] = rows % placed.plan.samples
        pushes.lay_out(rows, layout.kinds.device, decodes=not self.beside and not self._has_spans)
        return Track(forward.branch, pushes, given, progress=self._progress(pushes, forward, given))

    def _progress(self, pushes: Pushes, forward: Forward, given: int) -> Progress | None:
        marks = self._adapter.marks if pushes.tells_thoughts and not self.beside else None
        return Progress(marks, forward, self._call, given + pushes.table.shape[1]) if marks else None

    @property
    def _has_spans(self) -> bool:
        return self._call.spans is not None and not self.beside

    @property
    def _are_prompted(self) -> bool:
        """Whether the prompt has run to its end in every branch."""
        tracks = self._tracks.values()
        expected = 1 if None in self._tracks else self._compiled().plan.branches
        return len(tracks) == expected and all(track.is_prompted for track in tracks)

    @property
    def _decode_table(self) -> Tensor:
        return side_by_side([track.pushes.possible() for track in self._tracks.values()])

    def _judge(self, reached: int | None) -> None:
        """Refuse a call in which an attribute steers nothing; `reached` are the steps of one that is over."""
        self._judgement.judge(
            self._compiled().plan,
            self._call,
            self._decode_table,
            self._track.pushes.coefficients.shape[2],
            first=self._track.given - self._track.origin,
            steps=self._call.steps or reached or self._adapter.max_steps,
            is_over=bool(reached),
        )

    def _step(self, forward: Forward) -> None:
        self._track = track = self._tracks[forward.branch]
        step = self._now = forward.start - track.origin
        are_thoughts = track.progress.step(forward) if track.progress else None
        track.pushes.step(step, self._others.places, are_thoughts)
        self._usual = None
        sums_alone = not self._others.places and not self._is_packed and track.pushes.is_on_one_device
        if sums_alone and isinstance(step, int) and self.meter.is_quiet(step):
            self._usual = step

    def _edit(self, place: int) -> Edit:
        # A step is noted where states are edited: the clock may tick outside a graph that was compiled without edits.
        def edit(hidden: Tensor) -> Tensor:
            if self._usual is not None:
                self.meter.known = self._usual
                return hidden + self._track.pushes.added[place]
            return self._edited(place, hidden)

        return edit

    def _edited(self, place: int, hidden: Tensor) -> Tensor:
        parts = self._places[place].parts
        if self._injected is not None:
            return self._with_injection(parts, hidden, self._injected)
        if self.paused:
            return hidden
        self._compiled()
        self._awaits_edit = False
        if len(hidden) != self._rows:  # a layer that puts the tokens of all rows into one, as OPT's MLP does
            self._is_packed = True
            return self._edited(place, hidden.reshape(self._rows, -1, hidden.shape[-1])).reshape(hidden.shape)
        if place == 0 and self._now is not None:
            self.meter.step(self._now)
        pushes = self._track.pushes
        edited = hidden + pushes.delta(place, hidden)
        for part in parts:
            is_other = part.index in self._others.places
            if is_other:
                other = self._others.edit(part.index, part.of(hidden), part.of(edited), pushes.amount(place))
                edited = _with(part, other, edited)
            if self.meter.measuring:
                after = part.of(edited) if is_other else None
                self.meter.measure(part.index, part.of(hidden), after, joined=self._track.is_beside)
        return edited

    def _with_injection(self, parts: Sequence[Part], hidden: Tensor, sizes: Mapping[Site, float]) -> Tensor:
        for part in parts:
            site = self.sites[part.index]
            self._injected_at.add(site)
            state = part.of(hidden)
            hidden = _with(part, state + sizes[site] * _alternating(state), hidden)
        return hidden

    def _compiled(self) -> PlacedPlan:
        if self._plan is None:
            raise SteeringError("a layer ran outside its stack's forward; call the model itself, not a layer of it")
        return self._plan

    @property
    def _name_beside(self) -> str | None:
        return self._stack if self.beside else None

    def _check_edited(self) -> None:
        if self._awaits_edit:
            raise SteeringError(
                f"the stack {self._stack!r} ran, but not the edits in it: the model ran code compiled before steering "
                "was attached; call torch.compiler.reset(), or compare with a steering of strength 0 instead of "
                "leaving the `with`"
            )


def _with(part: Part, state: Tensor, whole: Tensor) -> Tensor:
    """A state of a place with another one at one of its sites."""
    if state.shape == whole.shape:
        return state
    return torch.cat([whole[..., : part.start], state, whole[..., part.stop :]], dim=-1)


def _starts(forward: Forward) -> bool:
    """Whether the cache is known to be empty; a static cache does not tell without a synchronisation."""
    return isinstance(forward.start, int) and forward.start == 0


def _alternating(hidden: Tensor) -> Tensor:
    """1, -1, 1, ...: a vector that no layer norm takes out again, as it would a constant one."""
    signs = torch.ones(hidden.shape[-1], device=hidden.device, dtype=hidden.dtype)
    signs[1::2] = -1
    return signs
