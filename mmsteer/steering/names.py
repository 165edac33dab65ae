"""Names of directions in steering lines: one with spaces or semicolons stands in double quotes."""

import re
from collections.abc import Mapping

from mmsteer.steering.tunes import expanded
from mmsteer.types import Direction

_QUOTED = re.compile(r'"([^"]+)"')
_MARK = re.compile('[;"]')
_SHOWN = str.maketrans({" ": "␣", "\t": "␣", ";": "；"})


def quoted(name: str) -> str:
    """A name as it is written in a line.

    >>> quoted("note:C"), quoted("object:traffic light")
    ('note:C', '"object:traffic light"')
    """
    return f'"{name}"' if re.search(r"[\s;]", name) else name


def unquoted(line: str, directions: Mapping[str, Direction]) -> tuple[str, Mapping[str, Direction]]:
    """A line in which every name is one word, and the directions by those words as well.

    `directions`: the directions that it may name.
    """
    words = {name: name.translate(_SHOWN) for name in _QUOTED.findall(line)}
    known = {word: directions[name] for name, word in words.items() if name in directions}
    return _QUOTED.sub(lambda match: words[match[1]], line), {**directions, **known}


def lines(text: str) -> list[str]:
    """The lines of a text of several, with semicolons between them; a tune becomes one for each of its pitch classes.

    Args:
        text: The text.

    Raises:
        MmsteerError: A tune in it cannot be read.

    >>> lines('note:C 0.1; "a;b" 0.2')
    ['note:C 0.1', '"a;b" 0.2']
    """
    ends, after = [], text.count('"')
    for mark in _MARK.finditer(text):
        after -= mark[0] == '"'
        if mark[0] == ";" and after % 2 == 0:
            ends.append(mark.start())
    parts = [text[start:stop] for start, stop in zip([0, *(at + 1 for at in ends)], [*ends, len(text)], strict=True)]
    return [one for line in parts if line.strip() for one in expanded(line.strip())]
