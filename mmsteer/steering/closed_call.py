"""What is known of a call that is over, row by row: receipts of single samples are made from it when asked for."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from mmsteer.steering.decoding import of_steps
from mmsteer.steering.ratios import Ratios, push_lengths, ratios_of
from mmsteer.steering.receipt import SiteReceipt


@dataclass(frozen=True, eq=False)
class Moment:
    """What was measured of a site in a forward.

    Attributes:
        step: Index of the output step that its last token predicts; 0 for a prompt.
        size: Norm of each token, (rows, tokens).
        change: Norm of its change, (rows, tokens); None where that is known from coefficients.
    """

    step: int
    size: Tensor
    change: Tensor | None

    def beside(self, other: "Moment") -> "Moment":
        """The last tokens of this moment with the rows of another branch behind its own.

        Args:
            other: The same step of that branch.
        """
        size = torch.cat([self.size[:, -1:], other.size[:, -1:]])
        if self.change is None or other.change is None:
            return Moment(self.step, size, None)
        return Moment(self.step, size, torch.cat([self.change[:, -1:], other.change[:, -1:]]))


@dataclass(frozen=True, eq=False)
class GivenTokens:
    """What was known of a forward of the prompt before it ran.

    Attributes:
        coefficients: Of its tokens, (layers or 1, rows, tokens, columns).
        steps: Index of the output step that each token predicts, (tokens,), or (rows, tokens).
        start: Index of its first row among those of all branches, which may run one after another.
    """

    coefficients: Tensor
    steps: Tensor
    start: int

    def steered(self, steps: int) -> Tensor:
        """Which of its tokens have a coefficient that is not zero, (rows, tokens) bool.

        Args:
            steps: Output steps to count: those of drafts may have been run again, or are not taken.
        """
        return _steered(self.coefficients) & (self.steps < steps)


@dataclass(frozen=True, eq=False)
class ClosedCall:
    """One call of one stack.

    Attributes:
        first: The first step behind the prompt.
        steps: Output steps.
        decode: The coefficients of decoding, (layers, steps, rows, columns).
        vectors: What a coefficient of one adds, (layers, columns, width).
        others: Sites, by index, that something else than a sum of pushes edits.
        owners: Index of the sample that each row belongs to, (rows,); 0 for all, where samples are not told apart.
        given: The forwards of the prompt.
        prompts: What was measured in them, each with the index of its forward, by index of the site.
        moments: What was measured in all forwards, by index of the site; the last tokens count.
    """

    first: int
    steps: int
    decode: Tensor
    vectors: Tensor
    others: Collection[int]
    owners: Tensor
    given: Sequence[GivenTokens]
    prompts: Mapping[int, Sequence[tuple[int, Moment]]]
    moments: Mapping[int, Sequence[Moment]]

    def sites(self, names: Sequence[str], sample: int, steps: int) -> dict[str, SiteReceipt]:
        """What is known of one sample, at every site that changed.

        Args:
            names: Of the sites.
            sample: Its index.
            steps: Output steps to count.
        """
        found: dict[str, SiteReceipt] = {}
        for place, moments in self.moments.items():
            ratios = Ratios()
            self.count(place, ratios, self.rows_of(sample), steps)
            receipt = ratios.receipt(len(moments))
            if receipt:
                found[names[place]] = receipt
        return found

    def count(self, place: int, into: Ratios, rows: Tensor | None = None, steps: int | None = None) -> None:
        """Add the tokens of a site to what is known of its ratios.

        Args:
            place: Index of the site.
            into: Where to add them.
            rows: Which rows; None for all.
            steps: Output steps to count; None for all.
        """
        for _, moved, size in self._prompt(place, rows):
            into.add(moved, size)
        end = self.steps if steps is None else min(steps, self.steps)
        if place in self.others:
            decoded = [(one.change, one.size) for one in self.moments[place] if 0 < one.step < end]
            into.sampled |= end - self.first > len(decoded)
            for change, size in decoded:
                assert change is not None  # where something else than a sum edits, changes are measured
                into.add(_of(rows, change[:, -1], 0), _of(rows, size[:, -1], 0))
        elif end > self.first:
            pushed, sizes = self._pushed[place, : end - self.first], self._sizes(place)[: end - self.first]
            into.add(_of(rows, pushed, 1), _of(rows, sizes, 1))

    def moved(self, place: int) -> Tensor:
        """How far each token of the prompt was moved at a site, over the norm of its state, (rows, tokens).

        Args:
            place: Index of the site.
        """
        branches: dict[int, list[Tensor]] = {}
        for start, change, size in self._prompt(place):
            branches.setdefault(start, []).append(ratios_of(change, size))
        return torch.cat([torch.cat(parts, dim=1) for parts in branches.values()])

    @property
    def changed(self) -> Tensor:
        """How many tokens have a coefficient that is not zero, on the device."""
        given = torch.stack([one.steered(self.steps).sum() for one in self.given]).sum()
        return given + _steered(of_steps(self.decode, self.first, self.steps)).sum()

    def rows_of(self, sample: int) -> Tensor | None:
        """The rows of one sample; None, for all, where samples are not told apart.

        Args:
            sample: Its index.
        """
        return torch.nonzero(self.owners == sample).flatten() if self.owners.any() else None

    def tokens(self, sample: int, steps: int) -> int:
        """How many tokens of one sample were changed.

        Args:
            sample: Its index.
            steps: Output steps to count.
        """
        rows = self.rows_of(sample)
        device = self.decode.device
        forwards = [[(change > 0).to(device) for _, change, _ in self._prompt(place, rows)] for place in self.prompts]
        given = sum(int(torch.stack(parts).any(0).sum()) for parts in zip(*forwards, strict=True))
        later = of_steps(self.decode, self.first, steps)
        return given + int(_steered(_of(rows, later, 2)).sum())

    @cached_property
    def _run(self) -> Tensor:
        return torch.arange(self.first, self.steps, device=self.decode.device)

    @cached_property
    def _pushed(self) -> Tensor:
        """How far each token was pushed, (sites, steps, rows)."""
        return push_lengths(of_steps(self.decode, self.first, self.steps), self.vectors)

    @cached_property
    def _pushed_prompts(self) -> list[tuple[Tensor, ...]]:
        """How far each token was pushed in each forward of the prompt, (rows, tokens) a site."""
        tables = [one.coefficients.transpose(1, 2) for one in self.given]
        return [push_lengths(table, self.vectors).transpose(1, 2).unbind() for table in tables]

    def _prompt(self, place: int, rows: Tensor | None = None) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Of each forward of the prompt its first row, and how far tokens were moved at a site and their norms.

        `rows`: which rows; None for all. Both are (rows of the forward among them, tokens).
        """
        for forward, moment in self.prompts[place]:
            start = self.given[forward].start
            change = self._pushed_prompts[forward][place] if moment.change is None else moment.change
            mine = None if rows is None else rows[(rows >= start) & (rows < start + len(change))] - start
            yield start, _of(mine, change, 0), _of(mine, moment.size.to(change.device), 0)

    def _sizes(self, place: int) -> Tensor:
        """The norm that each row had when it was last measured, (steps, rows)."""
        moments = sorted(self.moments[place], key=lambda moment: moment.step)
        measured = torch.stack([moment.size[:, -1].to(self._run.device) for moment in moments])
        steps = torch.tensor([moment.step for moment in moments], device=self._run.device)
        return measured[(torch.bucketize(self._run, steps, right=True) - 1).clamp(min=0)]


def _steered(coefficients: Tensor) -> Tensor:
    """Where some layer has a coefficient that is not zero; without the first and the last dimension."""
    return (coefficients != 0).any(-1).any(0)


def _of(rows: Tensor | None, values: Tensor, dimension: int) -> Tensor:
    return values if rows is None else values.index_select(dimension, rows.to(values.device))
