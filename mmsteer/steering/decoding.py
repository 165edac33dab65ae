"""What every layer adds at the steps of decoding, laid out in advance where it changes from step to step."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

AHEAD = 4 * 2**20
"""Most bytes that are laid out at once: few enough to stay in a cache."""


class Decoding:
    """The steps of one call's decoding.

    A step whose coefficients are those of the step before costs nothing here, and one whose coefficients change a view
    of what was laid out for it and the steps around it. Inside a compiled step everything is looked up anew.

    `table`: coefficients, (layers or 1, steps, rows, columns).
    """

    def __init__(self, table: Tensor, bank: Tensor, widths: Sequence[int]) -> None:
        """Prepare the steps.

        Args:
            table: Coefficients, (layers or 1, steps, rows, columns).
            bank: What a coefficient of one adds, as `bank_of` lays it out.
            widths: Numbers in the state of each layer.
        """
        self.table = table
        self._bank, self._widths = bank, list(widths)
        self._are_alike = len(set(widths)) == 1
        self._runs = _runs(table)
        self._run: int | None = None
        self._added: Sequence[Tensor] = ()
        self._edits: Sequence[Tensor] = ()
        self._laid_out = range(0)

    def added(self, step: int | Tensor, dtype: torch.dtype) -> Sequence[Tensor]:
        """What each layer adds at a step, (rows, 1, width).

        `step`: index of the output step; past the end of the table it is the last one's.
        `dtype`: of the hidden states.
        """
        if isinstance(step, Tensor) or torch.compiler.is_compiling():
            return self.sums(self.at(step), dtype)
        place = self._place(step)
        if self._runs[place] != self._run:
            self._run = self._runs[place]
            if place not in self._laid_out:
                self._laid_out = range(place, self._end_of_change(place, dtype))
                self._edits = self._lay_out(self.table[:, place : self._laid_out.stop], dtype)
            self._added = self._of_layers(self._edits[place - self._laid_out.start])
        return self._added

    def sums(self, coefficients: Tensor, dtype: torch.dtype) -> Sequence[Tensor]:
        """What each layer adds by given coefficients, (rows, 1, width).

        `coefficients`: of one step, (layers or 1, 1, rows, columns).
        `dtype`: of the hidden states.
        """
        return self._of_layers(self._lay_out(coefficients, dtype)[0])

    def coefficients(self, step: int | Tensor) -> Tensor:
        """The coefficients of a step, (layers or 1, rows, 1, columns).

        `step`: index of the output step.
        """
        return self.at(step).transpose(1, 2)

    def at(self, step: int | Tensor, table: Tensor | None = None) -> Tensor:
        """The coefficients of a step, (layers or 1, 1, rows, columns).

        `step`: index of the output step.
        `table`: of which they are, where not of `table`.
        """
        of = self.table if table is None else table
        if isinstance(step, Tensor):
            return of.index_select(1, step.clamp(0, of.shape[1] - 1).reshape(1))
        place = self._place(step)
        return of[:, place : place + 1]

    def _place(self, step: int) -> int:
        return min(max(step, 0), self.table.shape[1] - 1)

    def _end_of_change(self, place: int, dtype: torch.dtype) -> int:
        """Up to where coefficients change at every step, as far as that is laid out."""
        each = self.table.shape[2] * self._bank[:, 0].numel() * dtype.itemsize
        # Twice as many as last time, so that little is laid out in vain where the output ends early.
        count = max(1, min(2 * len(self._laid_out), AHEAD // each))
        furthest, end = min(place + count, len(self._runs)), place + 1
        while end < furthest and self._runs[end] != self._runs[end - 1]:
            end += 1
        return end

    def _lay_out(self, coefficients: Tensor, dtype: torch.dtype) -> Sequence[Tensor]:
        """What all layers add at each of some steps, given (layers or 1, steps, rows, columns)."""
        alike, steps, rows, _ = coefficients.shape
        edits = torch.bmm(coefficients.flatten(1, 2), self._bank).to(dtype)
        if alike == 1:
            return edits.view(steps, rows, 1, -1).unbind(0)
        return edits.view(len(self._widths), steps, rows, 1, -1).unbind(1)

    def _of_layers(self, edits: Tensor) -> Sequence[Tensor]:
        if len(self.table) == 1:
            return edits.split(self._widths, dim=-1)
        whole = edits.unbind(0)
        return whole if self._are_alike else [one[..., :width] for one, width in zip(whole, self._widths, strict=True)]


def bank_of(vectors: Sequence[Tensor], table: Tensor) -> Tensor:
    """Vectors as `Decoding` multiplies them.

    `vectors`: what a coefficient of one adds, for each layer (columns, width).
    `table`: coefficients, (layers or 1, ...).

    Returns:
        The vectors, zero behind those of narrow layers, (layers, columns, widest); where the table does not tell layers
        apart, all layers side by side as one product, (1, columns, sum of the widths).
    """
    if len(table) == 1:
        return torch.cat(list(vectors), dim=-1).unsqueeze(0)
    widest = max(one.shape[-1] for one in vectors)
    return torch.stack([nn.functional.pad(one, (0, widest - one.shape[-1])) for one in vectors])


def of_steps(table: Tensor, first: int, end: int) -> Tensor:
    """The coefficients of some steps of decoding; past the end of the table, as of late codebooks, they are its last.

    `table`: coefficients, (layers or 1, steps, rows, columns); empty where no step follows the prompt.
    `first`: index of the first step.
    `end`: index behind the last.
    """
    last = table.shape[1] - 1
    places = torch.arange(first, max(first, end) if table.shape[1] else first, device=table.device)
    return table[:, places.clamp(max=last)]


def _runs(table: Tensor) -> list[int]:
    """For each step the number of its run: as long as coefficients stay as they are, nothing is looked up again."""
    changed = (table[:, 1:] != table[:, :-1]).flatten(2).any(-1).any(0)
    return [0, *changed.cumsum(0).tolist()]
