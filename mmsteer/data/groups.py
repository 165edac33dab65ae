"""Samples of one source stay together."""

from collections.abc import Iterator, Sequence


def rows_of_parts(groups: Sequence[str], count: int) -> Iterator[list[int]]:
    """The rows of a few groups at a time.

    Yields:
        Rows of whole groups, in order of the groups' first appearance.
    """
    order = list(dict.fromkeys(groups))
    for start in range(0, len(order), count):
        some = set(order[start : start + count])
        yield [row for row, group in enumerate(groups) if group in some]
