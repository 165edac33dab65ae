"""The rows of a batch while it runs: each ends by itself, and sends its words as they come."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import StoppingCriteria

from mmsteer.serving.job import Job, Made, Piece
from mmsteer.steering import Receipt

Write = Callable[[Tensor, Tensor], list[str]]
"""Writes tokens as text, given the prompts, (rows, tokens), and what was made, (rows, tokens)."""

_UNFINISHED = "\ufffd"
"""What stands for the bytes of a character whose last bytes are still to come."""


class Words:
    """The text of one answer as it grows.

    Attributes:
        ended: Whether a stop text came.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._sent = ""
        self.ended = False

    def more(self, text: str) -> str:
        """What can be sent of an answer that may go on.

        Args:
            text: All of it so far.
        """
        text = self.watch(text)
        # A stop text may have begun, and white space may become part of the next word.
        sure = (text if self.ended else text[: len(text) - self._begun(text)]).rstrip()
        if not sure.startswith(self._sent):
            return ""
        new, self._sent = sure[len(self._sent) :], sure
        return new

    def watch(self, text: str) -> str:
        """What is written for certain of an answer that may go on, up to the first stop text in it.

        Args:
            text: All of it so far.
        """
        return self.cut(text.rstrip(_UNFINISHED))

    def rest(self, text: str) -> str:
        """What is still to be sent of an answer that is whole.

        Args:
            text: All of it.
        """
        return self.cut(text)[len(self._sent) :]

    def cut(self, text: str) -> str:
        """An answer up to the first stop text in it.

        Args:
            text: All of it so far.
        """
        places = [place for stop in self._stops if (place := text.find(stop)) >= 0]
        self.ended = bool(places)
        return text[: min(places)] if places else text

    def _begun(self, text: str) -> int:
        """How many characters at the end may be the start of a stop text."""
        lengths = [size for stop in self._stops for size in range(1, len(stop)) if text.endswith(stop[:size])]
        return max(lengths, default=0)


class _Row:
    def __init__(self, job: Job, prompt: Tensor) -> None:
        self.job = job
        self.made: list[int] = []
        self.is_done = False
        self._prompt = prompt[None]
        self._words = Words(job.stops)

    def take(self, token: int, ends: Collection[int], write: Write) -> str | None:
        """Take the next token; why the answer ends with it, or None."""
        self.made.append(token)
        if self.job.is_cancelled:
            return "cancelled"
        if token in ends:
            return "stop"
        if self.job.streams:
            self._send(self._words.more(self._text(write)))
        elif self.job.stops:
            self._words.watch(self._text(write))
        if self._words.ended:
            return "stop"
        return "length" if len(self.made) >= self.job.tokens else None

    def rest(self, write: Write) -> str:
        return self._words.rest(self._text(write))

    def _text(self, write: Write) -> str:
        return write(self._prompt, torch.tensor([self.made]))[0]

    def _send(self, words: str) -> None:
        if words:
            self.job.put(Piece(words))


class Rows(StoppingCriteria):  # type: ignore[misc]  # transformers is untyped here
    """Watches a batch, token by token.

    Attributes:
        made: Tokens that were made for somebody.
    """

    def __init__(
        self, jobs: Sequence[Job], ends: Collection[int], write: Write, receipt: Callable[[int, int], Receipt]
    ) -> None:
        """Prepare to watch.

        Args:
            jobs: One a row.
            ends: Tokens that end an answer.
            write: Writes tokens as text.
            receipt: What was applied to a row in so many steps.
        """
        self.made = 0
        self._jobs, self._ends, self._write, self._receipt = jobs, ends, write, receipt
        self._rows: list[_Row] = []

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        """Which rows are done, (rows,) bool.

        Args:
            input_ids: Tokens so far, (rows, tokens).
            scores: Not read.
        """
        if not self._rows:
            self._rows = [_Row(job, ids) for job, ids in zip(self._jobs, input_ids[:, :-1].cpu(), strict=True)]
        for place, (row, token) in enumerate(zip(self._rows, input_ids[:, -1].tolist(), strict=True)):
            if not row.is_done:
                self._see(place, row, token)
        return torch.tensor([row.is_done for row in self._rows], device=input_ids.device)

    def _see(self, place: int, row: _Row, token: int) -> None:
        finish = row.take(token, self._ends, self._write)
        self.made += 1
        row.is_done = finish is not None
        if finish is None or finish == "cancelled":
            return
        steps = len(row.made)
        row.job.put(Made(row.rest(self._write), finish, steps, self._receipt(place, steps), len(self._rows)))
