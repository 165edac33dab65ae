"""One steered stack of layers: its clock, its tables, its edits.

The clock ticks once per forward of the stack and takes the time from the cache. A prompt's forward decides what every
row and token is; each later step is one addition in each layer, of what `Decoding` has laid out. A stack beside the one
that makes the output, such as a vision tower, knows no time: all its forwards are prompts, at output step 0.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from mmsteer.errors import PositionsError, SteeringError
from mmsteer.hooks import Edit
from mmsteer.schedules import Timeline
from mmsteer.steering.attribute import Attribute, Steering
from mmsteer.steering.decoding import Decoding, bank_of
from mmsteer.steering.limits import Limits
from mmsteer.steering.meter import Meter
from mmsteer.steering.operators import TARGETED
from mmsteer.steering.others import Others
from mmsteer.steering.plan import Plan, compile_plan
from mmsteer.steering.track import Track, decode_table
from mmsteer.types import Adapter, Call, Forward, Kind, Layout, Positions, Site, Tokens

OWN_LOOP = Call()
"""A sequence that runs outside `generate`: nothing is known of it in advance."""


class Driver:
    """Steers the sites of one stack while it runs.

    Attributes:
        meter: Counts and norms of what was applied.
        sites: The sites it edits, in the order of the layers.
        beside: Whether the stack is not the one that makes the output.
        ticks: Whether its clock ticked while shouting.
        ran: Whether a forward of the stack was steered since the hooks were installed.
        paused: Whether its forwards are another sequence's, such as a draft, and left alone.
    """

    def __init__(self, adapter: Adapter, stack: str, sites: Sequence[Site], steerings: Sequence[Steering]) -> None:
        self.meter = Meter(tuple(map(str, sites)))
        self.sites = tuple(sites)
        self.beside = stack != adapter.generator
        self.ticks = self.ran = self.paused = False
        self._adapter = adapter
        self._stack = stack
        self._steerings = tuple(steerings)
        self._loud: Mapping[Site, float] | None = None
        self._heard: set[Site] = set()
        self._plan: Plan | None = None
        self._call = OWN_LOOP
        self._fresh = True
        self._rows = self._images = self._end = 0
        self._tracks: dict[int | None, Track] = {}
        self._track: Track | None = None
        self._cache: Any = None
        # Columns that steered something: in this call, and in any.
        self._steered: Tensor | None = None
        self._ever: Tensor | None = None
        self._is_judged = self._has_drafts = self._awaits_edit = self._is_packed = False
        self._deltas: Sequence[Tensor] = ()
        self._dtype = torch.float32
        self._now: int | Tensor | None = None
        # The step that runs, where there is nothing to do but to add, on one device: nearly always.
        self._usual: int | None = None

    def edits(self) -> Mapping[Any, Edit]:
        """An edit for the module of every site."""
        return {self._adapter.module(site): self._edit(place) for place, site in enumerate(self.sites)}

    # A prompt is planned outside of any graph; only its steps are compiled.
    @torch.compiler.disable  # type: ignore[untyped-decorator]
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
        self._check_schedules(timeline)
        self._call = call
        self._plan = compile_plan(self._steerings, self.sites, timeline, 1 if self.beside else call.branches)
        self._limits = Limits(self._plan)
        self._placed: dict[torch.device, Tensor] = {}
        self._wide: Tensor | None = None
        # What rests all through a call is left out: gradients, too, are those of the model alone.
        others = [other for other in self._plan.others if self._plan.table[..., other.column].any()]
        self._others = Others(others, self._stack, self.meter)
        self._steered, self._is_judged, self._has_drafts, self._awaits_edit = None, False, False, False
        self._fresh, self._tracks, self._track = True, {}, None

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
            if not self._is_judged:
                self._judge(self.meter.reached())
            table = decode_table([*self._tracks.values()])
            self.meter.close(table, self._plan.vectors, self._others.places)
        self.drop()

    def drop(self) -> None:
        """Forget the call in progress, if there is one: it is in no book."""
        if self._steered is not None:
            self._ever = self._steered | (self._steered if self._ever is None else self._ever)
        self._plan, self._fresh, self._usual, self._cache = None, True, None, None
        self._tracks, self._track = {}, None
        self._steered, self._awaits_edit = None, False

    def tick(self, arguments: Mapping[str, Any]) -> None:
        """Find out what this forward is and look up its coefficients.

        Args:
            arguments: Of the stack's forward, by name.
        """
        if self._loud is not None:
            self.ticks = True
            return
        if self.paused:
            return
        if not torch.compiler.is_compiling():
            self._check_edited()
        self.ran = True
        if not self._is_step(arguments):
            self._plan_forward(arguments)

    def shout(self, size: float | None, sites: Collection[Site] = ()) -> None:
        """Add one vector of a given size at some sites, and nothing elsewhere, in place of the plan, or stop doing so.

        Args:
            size: What each entry measures; None to stop.
            sites: Where.
        """
        self._loud = None if size is None else {site: size * (site in sites) for site in self.sites}

    def failed(self) -> None:
        """Note that a forward raised, wherever it was."""
        self._awaits_edit = False

    @property
    def unheard(self) -> list[Site]:
        """Sites whose module did not run while shouting."""
        return [site for site in self.sites if site not in self._heard]

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
        plan = self._compiled()
        is_new = self._fresh or self.beside or _starts(forward) or forward.rows != self._rows
        self._note_rows(forward)
        if is_new:
            self._tracks[forward.branch] = self._lay_out(plan, layout.kinds.device, forward.branch, given)
        self._track = track = self._tracks[forward.branch]
        track.origin = layout.origin
        drafted = not is_new and track.is_prompted
        self._has_drafts |= drafted
        steps = self._steps(forward, layout)
        mask = _masks(plan.selections, Tokens(layout.kinds, steps, self._adapter.rate))
        # (layers, rows, tokens, columns)
        self._coefficients = track.table[:, steps.clamp(0, track.table.shape[1] - 1)].transpose(1, 2) * mask
        self._deltas = ()
        self._now = self._usual = None
        steered = (self._coefficients != 0).flatten(0, 2).any(0)
        self._steered = steered if self._steered is None else self._steered | steered
        track.is_prompted = self.beside or int(forward.start) + forward.width >= track.given
        if self._are_prompted and not self._is_judged and not self.beside:
            self._judge(None)
        is_more = not self._fresh and (self.beside or track.is_beside or not _starts(forward))
        self.meter.prompt(self._coefficients, steps, self._images, more=is_more, drafted=drafted)
        # Last: a prompt that is refused was none.
        self._fresh, self._awaits_edit = False, True

    def _note_rows(self, forward: Forward) -> None:
        self._rows = forward.rows
        branches = 1 if forward.branch is None else self._compiled().branches
        self._images = forward.rows * branches + (self._images if self.beside and not self._fresh else 0)

    @property
    def _are_prompted(self) -> bool:
        """Whether the prompt has run to its end in every branch."""
        tracks = self._tracks.values()
        expected = 1 if None in self._tracks else self._compiled().branches
        return len(tracks) == expected and all(track.is_prompted for track in tracks)

    def _lay_out(self, plan: Plan, device: torch.device, branch: int | None, given: int) -> Track:
        """Give each row its coefficients; made here, so that the first compiled step finds what the later ones do."""
        table = plan.table.to(device).index_select(2, self._sample_of_row(self._rows, branch).to(device))
        steps = table.shape[1]
        decode = table[:, :0] if self.beside else table * self._later(steps, device)
        return Track(branch, table, Decoding(decode, self._bank(device), len(self.sites)), given)

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
        self._track = track = self._tracks[forward.branch]
        step = self._now = forward.start - track.origin
        self._deltas = track.decoding.added(step, self._dtype)
        if self._others.places:
            self._coefficients = track.decoding.coefficients(step)
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
        if self.paused:
            return hidden
        self._compiled()
        self._awaits_edit = False
        if len(hidden) != self._rows:  # a layer that puts the tokens of all rows into one, as OPT's MLP does
            self._is_packed = True
            return self._edited(place, hidden.reshape(self._rows, -1, hidden.shape[-1])).reshape(hidden.shape)
        if place == 0 and self._now is not None:
            self.meter.step(self._now)
        edited = hidden + self._delta(place, hidden)
        if place in self._others.places:
            edited = self._others.edit(place, hidden, edited, self._amount(place))
        if self.meter.measuring:
            self.meter.measure(place, hidden, edited, joined=self._track is not None and self._track.is_beside)
        return edited

    def _delta(self, place: int, hidden: Tensor) -> Tensor:
        if self._deltas:
            return self._deltas[place].to(hidden.device, non_blocking=True)
        self._dtype = hidden.dtype
        self._limits.check(hidden.dtype)
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
        relative = [item.schedule for item in self._items if item.schedule.needs_length]
        if relative and call.steps is None:
            raise SteeringError(
                f"the schedule '{relative[0]}' depends on the length of the output, which is not known here; "
                "pass max_new_tokens to generate, or write the schedule from the start, in seconds or steps"
            )

    def _check_schedules(self, timeline: Timeline) -> None:
        # In an output of one step, such as a one-word answer, an attribute may rest while another steers.
        meant = [item for item in self._items if _is_meant(item, timeline)]
        silent = [item for item in meant if not item.schedule.values(timeline).any()]
        if silent and (timeline.steps > 1 or len(silent) == len(meant)):
            raise SteeringError(
                f"the schedule '{silent[0].schedule}' is 0 at each of the {timeline.steps} steps of this output, so "
                f"{silent[0].direction.name!r} would steer nothing; let it act within the output, or leave it out"
            )

    @property
    def _items(self) -> list[Attribute]:
        return [item for one in self._steerings for item in one.attributes]

    def _check_samples(self, call: Call) -> None:
        # Rows alone do not tell: beams and return sequences of a sample share its steering.
        if not self.beside and call.samples and len(self._steerings) not in (1, call.samples):
            raise SteeringError(
                f"the steering is for {len(self._steerings)} samples, generate was given {call.samples}; give one "
                "steering for each sample, or a single one for all"
            )

    def _check_first(self, timeline: Timeline) -> None:
        # A stack beside the output lives at step 0: what a schedule says of later steps would be silence.
        for schedule in [item.schedule for item in self._items if self.beside]:
            values = schedule.values(timeline)
            if values.any() and not values[:, 0].any():
                raise SteeringError(
                    f"the schedule '{schedule}' is 0 at step 0, when the stack {self._stack!r} runs, so nothing would "
                    "be steered there; leave its sites out, or start the schedule above 0"
                )

    def _sample_of_row(self, rows: int, branch: int | None) -> Tensor:
        # The row of the table that each row of the batch takes.
        plan = self._compiled()
        # With as many rows as samples, one each has one only if each has any.
        if self.beside and plan.samples > 1 and (plan.samples != rows or self._call.all_see is False):
            raise SteeringError(
                f"the steering is for {plan.samples} samples, the stack {self._stack!r} runs {rows} rows, and which of "
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

    def _judge(self, reached: int | None) -> None:
        """Refuse a call in which an attribute steers nothing, as soon as that is certain.

        Args:
            reached: How many steps a finished call ran; None while it runs.
        """
        steps = self._call.steps or reached or self._adapter.max_steps
        # Whoever sets no limit may stop at any step.
        self._is_judged = self._call.steps is not None
        later = (decode_table([*self._tracks.values()])[:, 1:steps] != 0).flatten(0, 2).any(0)
        known = later if self._steered is None else later | self._steered
        # What decoding steers counts where it is certain to run.
        self._steered = known if self._is_judged or reached else self._steered
        scheduled = (self._compiled().table != 0).flatten(0, 2).any(0)
        empty = torch.nonzero(scheduled & ~known.cpu()).flatten().tolist()
        for column in empty:
            self._refuse(column, some=len(empty) < int(scheduled.sum()))

    def _refuse(self, column: int, *, some: bool) -> None:
        # An empty selection is an error, never silence. Where one word is the whole output, an attribute that is for
        # longer ones may rest as long as another steers; and what a cache holds was steered when it was made.
        is_cached = self._call.continues and self._ever is not None and bool(self._ever[column])
        if is_cached or (self._call.steps == 1 and some):
            return
        raise PositionsError(
            f"the positions '{self._compiled().selections[column]}' select none of the {self._coefficients.shape[2]} "
            "tokens of this prompt and none of the tokens that follow, at which the schedule is not 0"
            f"{_ONE_STEP if self._call.steps == 1 else ''}"
        )

    def _check_edited(self) -> None:
        if self._awaits_edit:
            raise SteeringError(
                f"the stack {self._stack!r} ran, but not the edits in it: the model ran code compiled before steering "
                "was attached; call torch.compiler.reset(), or compare with a steering of strength 0 instead of "
                "leaving the `with`"
            )


_ONE_STEP = ": it makes one step, which the last token of the prompt predicts; add '| last'"


def _is_meant(item: Attribute, timeline: Timeline) -> bool:
    """Whether an attribute is to do something: neither its strength nor its schedule is 0 whatever happens."""
    is_off = item.schedule.is_flat and not item.schedule.values(timeline).any()
    return not is_off and (item.strength != 0 or item.operator in TARGETED)


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
