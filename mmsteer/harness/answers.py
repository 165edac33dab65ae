"""Which tokens of a padded batch are whose prompt, where a harness passes on the tokens alone."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from mmsteer.errors import SteeringError

Request = tuple[Any, Sequence[int], Sequence[int]]
"""Whatever the harness knows it by, the tokens of the context, and those of the answer."""

Span = tuple[int, int]
"""How many tokens of a row are its prompt's, and how many are no padding."""


class Answers:
    """Finds the request that each row of a batch was made from.

    A row is context and answer but for its last token, cut to the longest input from the left, then zeros.
    """

    def __init__(self, requests: Sequence[Request], longest: int) -> None:
        self._longest = longest
        self._given: dict[tuple[int, ...], int] = {}
        for request in requests:
            tokens, given = self._row(request)
            self._given[tokens] = given

    def spans(self, rows: Tensor) -> tuple[Span, ...]:
        """The span of each row.

        Args:
            rows: Tokens, padded on the right with zeros, (rows, tokens).
        """
        return tuple(self._span(row) for row in rows.tolist())

    def apart(self, requests: Sequence[Request]) -> list[list[int]]:
        """Indices of requests in as few parts as there are prompts of different lengths in the same tokens.

        Args:
            requests: Requests.
        """
        parts: list[list[int]] = []
        places: dict[tuple[int, ...], dict[int, int]] = {}
        for index, request in enumerate(requests):
            tokens, given = self._row(request)
            known = places.setdefault(tokens, {})
            part = known.setdefault(given, len(known))
            parts.extend([] for _ in range(len(parts), part + 1))
            parts[part].append(index)
        return parts

    def _row(self, request: Request) -> tuple[tuple[int, ...], int]:
        _, context, answer = request
        tokens = (*context, *answer)[-(self._longest + 1) :][:-1]
        return tokens, len(tokens) - len(answer) + 1

    def _span(self, row: list[int]) -> Span:
        # The longest first, as a harness sorts them: a token of a request may be 0, too.
        for end in range(len(row), 0, -1):
            given = self._given.get(tuple(row[:end]))
            if given is not None:
                return given, end
            if row[end - 1]:
                break
        raise SteeringError(
            "a row of the harness's batch is none of its requests, so where its answer begins is not known; this "
            "version of the harness lays out batches in another way"
        )
