"""Remedies in errors, in the words of the command that raised them: an argument of Python becomes its option."""

import re
from collections.abc import Collection, Sequence
from typing import Any

_ARGUMENT = re.compile(r"\b([a-z_]+)='([\w.:-]+)'")
_PLACED = re.compile(r"dictionary\.at\((?:Site\(\.\.\.\)|site, model)\)")
RECIPES = ("run", "plan", "recipes")
"""Commands whose settings stand in a recipe."""


def as_typed(message: str, command: Any, words: Sequence[str]) -> str:
    """A message with the options of a command in the place of Python's arguments.

    `words`: what was typed after `mmsteer`.
    """
    known = _options(command, words)
    if words and words[0] in RECIPES:
        return _ARGUMENT.sub(r"\1: \2", message)
    placed = _PLACED.sub("--site", message) if "--site" in known else message
    return _ARGUMENT.sub(lambda match: _option(match, known), placed)


def _option(match: re.Match[str], known: Collection[str]) -> str:
    name = "--" + match[1].replace("_", "-")
    return f"{name} {match[2]}" if name in known else match[0]


def _options(command: Any, words: Sequence[str]) -> set[str]:
    """The options of the command that was typed."""
    for word in words:
        command = getattr(command, "commands", {}).get(word, command)
    return {option for parameter in command.params for option in parameter.opts}
