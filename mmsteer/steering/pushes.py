"""What one call adds at each place: by coefficients in a prompt, laid out in advance in decoding."""

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from mmsteer.steering.decoding import Decoding
from mmsteer.steering.placed import PlacedPlan
from mmsteer.types import Forward, Kind, Layout, Positions, Tokens, tells_thoughts


class Pushes:
    """The coefficients and sums of one call on one stack.

    Attributes:
        table: Coefficients, (places or 1, steps, rows, columns).
        decoding: The steps behind the prompt; those of the answer, where thoughts are told from it.
        tells_thoughts: Whether they are.
        coefficients: Of the forward that runs, (places or 1, rows, tokens, columns).
        added: What each place adds in the step that runs; empty in a prompt.
    """

    table: Tensor
    decoding: Decoding
    coefficients: Tensor

    def __init__(self, placed: PlacedPlan, rate: float | None) -> None:
        self.added: Sequence[Tensor] = ()
        self._placed, self._plan, self._rate = placed, placed.plan, rate
        self.tells_thoughts = any(map(tells_thoughts, self._plan.selections))
        self._thinking: Tensor | None = None
        self._amounts: Sequence[Tensor] = ()
        self._dtype = torch.float32
        self._checked: torch.dtype | None = None

    @property
    def is_on_one_device(self) -> bool:
        """Whether all layers that were steered so far are on one device."""
        return self._placed.is_on_one_device

    def lay_out(self, sample_of_row: Tensor, device: torch.device, *, decodes: bool) -> None:
        """Give each row its coefficients; before the first compiled step, so that it finds what the later ones do.

        Args:
            sample_of_row: The row of the plan's table that each row of the batch takes.
            device: Where the rows are.
            decodes: Whether steps follow the prompt.
        """
        self.table = self._plan.table.to(device).index_select(2, sample_of_row.to(device))
        decode = self.table * self._later(device, Kind.ANSWER) if decodes else self.table[:, :0]
        if self.tells_thoughts and decodes:
            self._thinking = self.table * self._later(device, Kind.THINKING)
        self.decoding = Decoding(decode, self._placed.bank(device), [place.width for place in self._placed.places])

    def prompt(self, layout: Layout, steps: Tensor) -> None:
        """Take the coefficients of a prompt, or of several steps at once.

        Args:
            layout: What its tokens are.
            steps: The output step of each, (tokens,), or (rows, tokens).
        """
        mask = _masks(self._plan.selections, Tokens(layout.kinds, steps, self._rate))
        # (places, rows, tokens, columns)
        self._take(self._of_steps(steps.clamp(0, self.table.shape[1] - 1)) * mask)
        self.added = ()

    def _of_steps(self, steps: Tensor) -> Tensor:
        if steps.ndim == 1:
            return self.table[:, steps].transpose(1, 2)
        return self.table[:, steps, torch.arange(len(steps), device=steps.device)[:, None]]

    def step(self, step: int | Tensor, others: Collection[int], are_thoughts: Tensor | None = None) -> None:
        """Take what a step of decoding adds.

        Args:
            step: The output step.
            others: Sites, by index, that need the coefficients as well.
            are_thoughts: Which rows think, (rows, 1) bool, where thoughts are told from answers.
        """
        if are_thoughts is not None and self._thinking is not None:
            of_thoughts = self.decoding.at(step, self._thinking)
            chosen = torch.where(are_thoughts.to(of_thoughts.device), of_thoughts, self.decoding.at(step))
            self.added = self.decoding.sums(chosen, self._dtype)
            self._take(chosen.transpose(1, 2))
            return
        self.added = self.decoding.added(step, self._dtype)
        if others:
            self._take(self.decoding.coefficients(step))

    def _take(self, coefficients: Tensor) -> None:
        self.coefficients, self._amounts = coefficients, coefficients.unbind()

    def possible(self) -> Tensor:
        """Coefficients of decoding, wherever thoughts end, (places or 1, steps, rows, columns)."""
        answer = self.decoding.table
        return answer if self._thinking is None else torch.where(answer != 0, answer, self._thinking)

    def applied(self, are_thoughts: Tensor | None) -> Tensor:
        """Coefficients of decoding as they were, (places or 1, steps, rows, columns).

        Args:
            are_thoughts: Which tokens were thoughts, (steps, rows) bool, where they are told from answers.
        """
        answer = self.decoding.table
        if are_thoughts is None or self._thinking is None:
            return answer
        return torch.where(are_thoughts[..., None].to(answer.device), self._thinking, answer)

    def delta(self, place: int, hidden: Tensor) -> Tensor:
        """What is added to a state, in this forward.

        Args:
            place: Index of the place.
            hidden: The state, (rows, tokens, width).
        """
        if self.added:
            return self.added[place].to(hidden.device, non_blocking=True)
        if hidden.dtype != self._checked:
            self._placed.limits.check(hidden.dtype)
            self._dtype = self._checked = hidden.dtype
        amount, vectors = self.amount(place).to(hidden.device), self._placed.vectors(hidden.device)[place]
        # Nearly always there is one vector, and a product of numbers costs less than one of matrices.
        delta = amount * vectors if len(vectors) == 1 else amount @ vectors
        return delta.to(hidden.dtype)

    def amount(self, place: int) -> Tensor:
        """This forward's coefficients at a place, (rows, tokens, columns).

        Args:
            place: Index of the place.
        """
        return self._amounts[place if len(self._amounts) > 1 else 0]

    def _later(self, device: torch.device, part: Kind) -> Tensor:
        """What the positions say of generated tokens in one part of the output, (1, steps, 1, columns)."""
        steps = self.table.shape[1]
        kinds = torch.full((1, steps), int(Kind.GENERATED | Kind.TEXT | part), device=device)
        masks = _masks(self._plan.selections, Tokens(kinds, torch.arange(steps, device=device), self._rate))
        return masks[0, :, None].unsqueeze(0)


def steps_of(forward: Forward, layout: Layout, *, beside: bool) -> Tensor:
    """The output step of each token of a forward, (tokens,).

    Args:
        forward: The forward.
        layout: What its tokens are.
        beside: Whether the stack is not the one that makes the output: all happens at step 0.
    """
    tokens = torch.arange(forward.width, device=layout.kinds.device)
    return torch.zeros_like(tokens) if beside else int(forward.start) + tokens - layout.origin


def _masks(selections: Sequence[Positions], tokens: Tokens) -> Tensor:
    """Which tokens each column steers, (rows, tokens, columns) bool."""
    return torch.stack([selection.mask(tokens) for selection in selections], dim=-1)
