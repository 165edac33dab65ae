"""The words of a written schedule, each with its place."""

import re
from dataclasses import dataclass
from typing import Literal

from mmsteer.errors import ScheduleError

# Longer than any curve a person draws; a file that was passed by mistake stops here.
MAX_TEXT = 200_000
CONTEXT = 30

_TOKEN = re.compile(
    r"(?P<symbol>\.\.|\.(?!\d)|[-+*(),:])"
    r"|(?P<number>(?:\d+(?:\.\d+)?|\.\d+)(?:e[+-]?\d+)?)\s*(?P<unit>(?:steps?|s)(?![a-z_])|%)?"
    r"|(?P<name>[a-z]+(?:[-_][a-z]+)*)"
)
_SPACE = re.compile(r"\s*")


@dataclass(frozen=True)
class Token:
    """One word of a schedule.

    `text`: as written; a number without its unit.
    `at`: Where it starts.
    `unit`: the unit of a number, or "".
    """

    kind: Literal["symbol", "number", "name", "end"]
    text: str
    at: int
    unit: str = ""

    @property
    def shown(self) -> str:
        """The word as an error message shows it."""
        return repr(self.text[:CONTEXT]) if self.text else "the end"


def tokenize(text: str) -> list[Token]:
    """Cut a schedule into words, the last of kind `end`.

    Raises:
        ScheduleError: The text is too long, or has a character that no schedule has.
    """
    if len(text) > MAX_TEXT:
        raise ScheduleError(f"a schedule of {len(text)} characters is too long; at most {MAX_TEXT} are read")
    tokens = []
    at = _skip(text, 0)
    while at < len(text):
        match = _match(text, at)
        tokens.append(_token(match))
        at = _skip(text, match.end())
    return [*tokens, Token("end", "", at)]


def error(text: str, at: int, problem: str) -> ScheduleError:
    """An error that points at its place in the text.

    `text`: the schedule.
    `problem`: what is wrong there, what is allowed, what to do.
    """
    start, stop = max(at - CONTEXT, 0), at + CONTEXT
    before, after = "..." if start else "", "..." if stop < len(text) else ""
    # Other white space than the blank would move the caret.
    excerpt = before + re.sub(r"\s", " ", text[start:stop]) + after
    return ScheduleError(f"cannot read the schedule: {problem}\n  {excerpt}\n  {' ' * (at - start + len(before))}^")


def _match(text: str, at: int) -> re.Match[str]:
    match = _TOKEN.match(text, at)
    if not match:
        raise error(text, at, f"{text[at]!r} has no meaning here")
    return match


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _token(match: re.Match[str]) -> Token:
    if match["number"]:
        unit = {"step": "steps"}.get(match["unit"], match["unit"] or "")
        return Token("number", match["number"], match.start(), unit)
    if match["name"]:
        return Token("name", match["name"], match.start())
    return Token("symbol", match["symbol"], match.start())
