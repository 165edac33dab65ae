"""Written schedules: `0.5*sine(4s) + fade-in(0s..2s).shift(1s)`.

    sum     = product (("+" | "-") product)*
    product = "-"? factor ("*" factor)*
    factor  = (number | name arguments | "(" sum ")") ("." method)*
    method  = "shift(" time ")" | "then(" sum "," time ")" | "reverse()"

Arguments stand in brackets; a single curve may go without, as in `fade-in 0..4s`.
"""

import math
from collections.abc import Callable
from typing import cast

from mmsteer.errors import ScheduleError
from mmsteer.schedules.curves import Breakpoints
from mmsteer.schedules.forms import FORMS, Form, Kind
from mmsteer.schedules.lexer import CONTEXT, Token, error, tokenize
from mmsteer.schedules.presets import MUSIC_RFM
from mmsteer.schedules.schedule import MAX_DEPTH, Constant, Product, Scaled, Schedule, Sum, crossfade
from mmsteer.schedules.timeline import Moment, Unit

METHODS = ("shift", "then", "reverse")
NAMES = (*FORMS, "points", "crossfade", *MUSIC_RFM)


def parse_schedule(text: str) -> Schedule:
    """Read a schedule from its written form, as `str` writes it or shorter.

    Args:
        text: For example `0.5*sine(4s)`, `points(0s:0, 1s:1, 4s:0)` or `fade-in 0..4s`.

    Raises:
        ScheduleError: The text is no schedule; the message points at the place.

    >>> str(parse_schedule("fade-in 0..4s"))
    'linear(0s..4s, 0, 1)'
    >>> parse_schedule("1 - sine(4s)") == crossfade(parse_schedule("sine(4s)"))
    True
    """
    return _Parser(text).parse()


class _Parser:
    """Recursive descent over the words of one text, of bounded depth."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = tokenize(text)
        self.at = 0
        self.depth = 0

    def parse(self) -> Schedule:
        schedule = self.sum()
        if self.next.kind != "end":
            raise self.error("nothing is expected after a whole schedule but + - * or .")
        return schedule

    @property
    def next(self) -> Token:
        return self.tokens[self.at]

    def take(self) -> Token:
        token = self.next
        self.at += token.kind != "end"
        return token

    def sees(self, symbol: str) -> bool:
        return self.next.kind == "symbol" and self.next.text == symbol

    def accept(self, symbol: str) -> bool:
        seen = self.sees(symbol)
        self.at += seen
        return seen

    def expect(self, symbol: str) -> None:
        if not self.accept(symbol):
            raise self.error(f"expected {symbol!r}, found {self.next.shown}")

    def error(self, problem: str, token: Token | None = None) -> ScheduleError:
        return error(self.text, (token or self.next).at, problem)

    def built(self, token: Token, build: Callable[..., Schedule], *args: object, **named: object) -> Schedule:
        """Make a schedule; what its constructor refuses is reported at its place."""
        try:
            return build(*args, **named)
        except ScheduleError as cause:
            raise self.error(str(cause), token) from None

    def nested(self, token: Token) -> Schedule:
        """A sum inside brackets."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.error(f"more than {MAX_DEPTH} brackets inside one another", token)
        inner = self.sum()
        self.depth -= 1
        return inner

    def sum(self) -> Schedule:
        token = self.next
        terms = [self.product()]
        while self.sees("+") or self.sees("-"):
            terms.append(self.product(minus=self.take().text == "-"))
        return terms[0] if len(terms) == 1 else self.built(token, Sum, tuple(terms))

    def product(self, minus: bool = False) -> Schedule:
        token = self.next
        negative = minus != self.accept("-")
        numbers: list[float] = []
        factors: list[Schedule] = []
        while True:
            factor = self.factor()
            if isinstance(factor, Schedule):
                factors.append(factor)
            else:
                numbers.append(factor)
            if not self.accept("*"):
                break
        coefficient = math.prod(numbers) * (-1 if negative else 1)
        if not factors:
            return self.built(token, Constant, coefficient)
        inner = factors[0] if len(factors) == 1 else self.built(token, Product, tuple(factors))
        return self.built(token, Scaled, coefficient, inner) if numbers or negative else inner

    def factor(self) -> Schedule | float:
        token = self.take()
        if token.kind == "number":
            return self.plain(token)
        if token.kind == "name":
            schedule = self.named(token)
        elif token.text == "(":
            schedule = self.nested(token)
            self.expect(")")
        else:
            raise self.error(f"expected a curve, found {token.shown}; choose from {', '.join(NAMES)}", token)
        while self.sees("."):
            schedule = self.method(schedule)
        return schedule

    def method(self, schedule: Schedule) -> Schedule:
        self.expect(".")
        token = self.take()
        if token.text not in METHODS:
            raise self.error(f"no operation {token.shown}; choose from {', '.join(METHODS)}", token)
        self.expect("(")
        args: list[object] = []
        if token.text == "then":
            args.append(self.nested(token))
            self.expect(",")
        if token.text != "reverse":
            args.append(self.moment())
        self.expect(")")
        return self.built(token, getattr(schedule, token.text), *args)

    def named(self, token: Token) -> Schedule:
        if token.text in MUSIC_RFM:
            return MUSIC_RFM[token.text]
        if token.text not in NAMES:
            raise self.error(f"no curve {token.shown}; choose from {', '.join(NAMES)}", token)
        bracket = self.accept("(")
        if token.text == "points":
            schedule = self.points(token)
        elif token.text == "crossfade":
            schedule = self.built(token, crossfade, self.nested(token))
        else:
            schedule = self.call(token, FORMS[token.text], bracket)
        if bracket:
            self.expect(")")
        return schedule

    def points(self, token: Token) -> Schedule:
        points = [self.point()]
        while self.accept(","):
            points.append(self.point())
        return self.built(token, Breakpoints, tuple(points))

    def point(self) -> tuple[Moment, float]:
        moment = self.moment()
        self.expect(":")
        return moment, self.number()

    def call(self, token: Token, form: Form, bracket: bool) -> Schedule:
        # Without brackets a name may stand alone: `fade-in - 0.5` subtracts.
        given = self.next.kind == "number" or (bracket and not self.sees(")"))
        named: dict[str, object] = self.range() if given and form.range != "no" else {}
        if form.range == "must" and not named:
            raise self.error(f"expected a range of time first, as in {form.example}")
        more = self.accept(",") if named else given
        for name, kind in form.arguments.items():
            if not more:
                break
            named[name] = self.argument(kind, form)
            more = self.accept(",")
        if more or any(name not in named for name in list(form.arguments)[: form.required]):
            raise self.error(f"the arguments of {token.text!r} do not fit; write it as {form.example}", token)
        return self.built(token, form.build, **named)

    def range(self) -> dict[str, object]:
        """A range such as `0s..4s` if one comes next; a start without a unit takes that of the stop."""
        ahead = self.at + self.sees("-")
        if self.tokens[min(ahead + 1, len(self.tokens) - 1)].text != "..":
            return {}
        first = self.tokens[ahead]
        sign = -1 if self.accept("-") else 1
        self.take()
        self.expect("..")
        stop = self.moment()
        return {"start": self.to_moment(first, sign, first.unit or stop.unit), "stop": stop}

    def argument(self, kind: Kind, form: Form) -> object:
        if kind == "moment":
            return self.moment()
        if kind == "number":
            return self.number()
        token = self.take()
        if kind == "word" and token.kind == "name":
            return token.text[:CONTEXT]
        # Longer digits are no seed, and int() refuses thousands of them with an error of its own.
        if kind == "whole" and token.kind == "number" and token.text.isdecimal() and len(token.text) <= 20:
            return int(token.text)
        what = "a word" if kind == "word" else "a whole number"
        raise self.error(f"expected {what}, found {token.shown}; write it as {form.example}", token)

    def moment(self) -> Moment:
        sign = -1 if self.accept("-") else 1
        token = self.take()
        return self.to_moment(token, sign, token.unit)

    def to_moment(self, token: Token, sign: int, unit: str) -> Moment:
        if token.kind != "number":
            raise self.error("expected a time such as 2s, 100steps or 50%", token)
        if not unit:
            digits = token.text[:CONTEXT]
            raise self.error(f"a time needs a unit: write {digits}s, {digits}steps or {digits}%", token)
        return Moment(sign * self.finite(token), cast(Unit, unit))

    def number(self) -> float:
        sign = -1 if self.accept("-") else 1
        return sign * self.plain(self.take())

    def plain(self, token: Token) -> float:
        if token.kind != "number":
            raise self.error(f"expected a number, found {token.shown}", token)
        if token.unit:
            raise self.error(f"a strength has no unit, but {token.text[:CONTEXT]}{token.unit} is a time", token)
        return self.finite(token)

    def finite(self, token: Token) -> float:
        value = float(token.text)
        if not math.isfinite(value):
            raise self.error("the number is too large", token)
        return value
