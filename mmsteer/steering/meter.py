"""Counts and norms of what a driver applied, kept on the device until somebody asks."""

from collections.abc import Callable, Collection
from dataclasses import replace

import torch
from torch import Tensor

from mmsteer.steering.closed_call import ClosedCall, GivenTokens, Moment
from mmsteer.steering.ratios import Ratios
from mmsteer.steering.receipt import GateReceipt, SiteReceipt


class Meter:
    """The books of one stack.

    Norms cost a reduction a layer, so they are measured in the prompt's forward and at steps 1, 2, 4, 8 and so on, and
    never inside a compiled step. How far a sum of pushes moves a token, before rounding to the model's precision, is
    known from the tables: where nothing else edits a site, all steps are counted, each against the norm that its row
    had when it was last measured. Where an edit depends on the state, what it changes is measured too, and the measured
    steps alone are counted.

    Attributes:
        measuring: Whether this forward is measured.
        calls: Closed calls.
        rows: Batch rows of closed calls.
        steps: Output steps of closed calls.
        known: The last output step that the host knows of.
    """

    def __init__(self, sites: tuple[str, ...]) -> None:
        self.measuring = False
        self.calls = self.rows = self.steps = 0
        self._rows = 0
        self._sites = sites
        self._tokens = torch.zeros((), dtype=torch.long)
        self._asked: dict[int, Tensor] = {}
        self._closed: dict[int, Tensor] = {}
        self._ratios: dict[int, Ratios] = {}
        self._given: list[GivenTokens] = []
        self._prompts: dict[int, list[tuple[int, Moment]]] = {}
        self._moments: dict[int, list[Moment]] = {}
        self._measured: dict[int, int] = {}
        self._first = torch.zeros((), dtype=torch.long)
        self._reached: Tensor | None = None
        self.known = -1

    def prompt(
        self,
        coefficients: Tensor,
        steps: Tensor,
        rows: int,
        *,
        start: int = 0,
        more: bool = False,
        drafted: bool = False,
    ) -> None:
        """Note a forward of a prompt, or of several steps at once.

        Args:
            coefficients: (layers, rows, tokens, columns).
            steps: Index of the output step that each token predicts, (tokens,); (rows, tokens) where no step of
                decoding follows.
            rows: Of the whole call, so far.
            start: Index of the first row among those of all branches.
            more: Whether it adds to the earlier forwards of this call, as the next image or the next part of a prompt
                does, and does not run the same prompt again, as some models do.
            drafted: Whether it holds steps of decoding, of which some may be run again.
        """
        self.measuring = not drafted
        self._rows = rows
        if not more:
            # Anew, not in place: a tensor made in inference mode can be changed in it alone.
            self._asked = {place: torch.zeros_like(counts) for place, counts in self._asked.items()}
            self._given, self._prompts, self._moments = [], {}, {}
        last = steps.max()
        # Steps that are drafted are counted by how far the output gets.
        if not drafted:
            self._given.append(GivenTokens(coefficients, steps, start))
            self._first = last.clamp(min=0) + 1
        # Written in place where a step is compiled, which keeps counting; elsewhere the host knows the step.
        self._reached, self.known = last, -1

    def is_quiet(self, step: int) -> bool:
        """Whether there is nothing to do at a step of decoding but to set `known` to it.

        Args:
            step: Index of the output step.
        """
        return not torch.compiler.is_compiling() and not _is_power_of_two(step)

    def step(self, step: int | Tensor) -> None:
        """Note a step of decoding.

        Args:
            step: Index of the output step.
        """
        if isinstance(step, int) and not torch.compiler.is_compiling():
            self.known = step
            self.measuring = _is_power_of_two(step)
            return
        self.measuring = False
        if self._reached is not None:
            self._reached.fill_(step) if isinstance(step, int) else self._reached.copy_(step.reshape(()))

    def measure(self, place: int, before: Tensor, after: Tensor | None, *, joined: bool = False) -> None:
        """Note the states of one site, and how far they are changed.

        Args:
            place: Index of the site.
            before: Hidden state before the edit, (rows, tokens, width).
            after: And after it; None where the change is a sum of pushes, whose length is known.
            joined: Whether these are further rows of the moment that was measured last.
        """
        size = _norms(before.detach())
        change = None if after is None else _norms((after - before).detach())
        moment = Moment(max(self.known, 0), size, change)
        if self.known < 0:
            self._prompts.setdefault(place, []).append((len(self._given) - 1, moment))
        moments = self._moments.setdefault(place, [])
        moments.append(moments.pop().beside(moment) if joined else moment)
        self._measured[place] = self._measured.get(place, 0) + (not joined)

    def gate(self, place: int, asked: Tensor, is_open: Tensor) -> None:
        """Count the tokens that a gate lets through at a site, on the device.

        Args:
            place: Index of the site.
            asked: Tokens that the plan would steer, (rows, tokens, 1) bool.
            is_open: Tokens for which the gate opens, (rows, tokens, 1) bool.
        """
        if place not in self._asked:
            self._asked[place] = torch.zeros(2, dtype=torch.long, device=asked.device)
        # In place: a compiled step keeps counting.
        self._asked[place] += torch.stack([asked.sum(), (asked & is_open).sum()])

    def cut(self, steps: int) -> None:
        """Forget the steps of the current call past the end of its output.

        Args:
            steps: Output steps.
        """
        self._reached, self.known = torch.tensor(min(self.reached(), steps) - 1), -1

    def reached(self) -> int:
        """How many output steps the current call has run."""
        return max(int(self._reached), self.known) + 1 if self._reached is not None else 0

    def so_far(
        self,
        decode: Tensor,
        vectors: Tensor,
        others: Collection[int],
        owners: Tensor,
        sited: Callable[[Tensor], Tensor],
    ) -> ClosedCall:
        """The current call, as if it were over.

        Args:
            decode: The coefficients of decoding, (places or 1, steps, rows, columns).
            vectors: What a coefficient of one adds, (sites, columns, width).
            others: Sites, by index, that something else than a sum of pushes edits.
            owners: Index of the sample that each row belongs to, (rows,); 0 for all, where they are not told apart.
            sited: Makes coefficients of places those of sites.
        """
        first, steps = int(self._first), self.reached()
        # Copies: it stays as it is while the call goes on.
        prompts = {place: tuple(one) for place, one in self._prompts.items()}
        moments = {place: tuple(one) for place, one in self._moments.items()}
        given = [replace(one, coefficients=sited(one.coefficients)) for one in self._given]
        return ClosedCall(first, steps, sited(decode), vectors, others, owners, given, prompts, moments)

    def close(self, call: ClosedCall) -> None:
        """Add a finished call to the books.

        Args:
            call: What `so_far` gave.
        """
        changed = call.changed
        self._tokens = self._tokens.to(changed.device) + changed
        self.calls += 1
        self.rows += self._rows
        self.steps += call.steps
        for place, counts in self._asked.items():
            self._closed[place] = self._closed.get(place, 0) + counts.clone()
        self._asked = {place: torch.zeros_like(counts) for place, counts in self._asked.items()}
        for place in call.moments:
            if place not in self._ratios:
                self._ratios[place] = Ratios()
            call.count(place, self._ratios[place])
        self._given, self._prompts, self._moments = [], {}, {}

    @property
    def tokens(self) -> int:
        """Steered token positions, summed over rows of closed calls."""
        return int(self._tokens)

    def sites(self) -> dict[str, SiteReceipt]:
        """What is known of every site that changed."""
        found = {self._sites[place]: one.receipt(self._measured[place]) for place, one in self._ratios.items()}
        return {site: receipt for site, receipt in found.items() if receipt}

    def gates(self) -> dict[str, GateReceipt]:
        """What gates let through in closed calls, at every site that has one."""
        return {self._sites[place]: GateReceipt(*counts.tolist()) for place, counts in self._closed.items()}


def _norms(states: Tensor) -> Tensor:
    return torch.linalg.vector_norm(states.float(), dim=-1)


def _is_power_of_two(step: int) -> bool:
    return step > 0 and step & (step - 1) == 0
