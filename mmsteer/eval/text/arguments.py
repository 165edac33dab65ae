"""What stands after `=` in an instruction: nothing, a text, a number, several texts, or a text and a number."""

from collections.abc import Callable
from typing import TypeVar

from mmsteer.errors import EvalError, clip

DIGITS = 9  # of a whole number

Test = Callable[[str], bool]
Check = Callable[[str | None], Test]
"""From the argument (None where there is no `=`) to the test of an answer."""

Value = TypeVar("Value")


def whole_number(text: str) -> int | None:
    """The number that digits alone write; None for any other text, or for more than nine of them.

    >>> whole_number("20"), whole_number("-1"), whole_number("9" * 5000)
    (20, None, None)
    """
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= DIGITS else None


def flag(test: Test) -> Check:
    """A check without an argument, such as `no_comma`."""

    def check(argument: str | None) -> Test:
        if argument is not None:
            raise EvalError(f"it takes no argument, and {argument!r} was given")
        return test

    return check


def phrase(test: Callable[[str, str], bool]) -> Check:
    """A check with a text, such as `ends_with=Good luck!`.

    `test`: Whether an answer follows, given the text without white space around it.
    """
    return _check(_text, test)


def number(test: Callable[[str, int], bool]) -> Check:
    """A check with a whole number, such as `max_words=20`."""
    return _check(_whole, test)


def texts(test: Callable[[str, list[str]], bool]) -> Check:
    """A check with one or several texts, such as `keywords=sea|storm`."""
    return _check(lambda argument: [_text(part) for part in argument.split("|")], test)


def counted(test: Callable[[str, str, int], bool]) -> Check:
    """A check with a text and a whole number, such as `min_keyword=sea,3`."""
    return _check(_text_and_number, lambda answer, both: test(answer, *both))


def letter(test: Callable[[str, str, int], bool]) -> Check:
    """A check with one character and a whole number, such as `min_letter=e,3`."""

    def read(argument: str) -> tuple[str, int]:
        text, count = _text_and_number(argument)
        if len(text) > 1:
            raise EvalError(f"{text!r} after =; give one letter, a comma and a whole number, such as e,3")
        return text, count

    return _check(read, lambda answer, both: test(answer, *both))


def placed(test: Callable[[str, int, str, int], bool]) -> Check:
    """A check with a place, a text and a whole number, such as `paragraph_begins=2,then,4`."""

    def read(argument: str) -> tuple[int, str, int]:
        place, _, rest = argument.partition(",")
        return _whole(place.strip()), *_text_and_number(rest)

    return _check(read, lambda answer, three: test(answer, *three))


def one_of(allowed: tuple[str, ...], test: Callable[[str, str], bool]) -> Check:
    """A check with one of several words, such as `language=de`."""

    def read(argument: str) -> str:
        if argument not in allowed:
            raise EvalError(f"{argument!r} after =; choose from {', '.join(allowed)}")
        return argument

    return _check(read, test)


def _check(read: Callable[[str], Value], test: Callable[[str, Value], bool]) -> Check:
    def check(argument: str | None) -> Test:
        value = read((argument or "").strip())
        return lambda answer: test(answer, value)

    return check


def _text(argument: str) -> str:
    if not argument.strip():
        raise EvalError("give a text after =, and one between two |")
    return argument.strip()


def _whole(argument: str) -> int:
    count = whole_number(argument)
    if count is None:
        raise EvalError(f"{clip(argument)} after =; give a whole number of at most {DIGITS} digits, such as 20")
    return count


def _text_and_number(argument: str) -> tuple[str, int]:
    text, comma, count = argument.rpartition(",")
    if not comma:
        raise EvalError(f"{argument!r} after =; give a text, a comma and a whole number, such as sea,3")
    return _text(text), _whole(count.strip())
