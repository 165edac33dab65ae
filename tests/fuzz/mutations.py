"""Inputs made hostile, from a seed: damaged bytes, strange values in JSON, strange pieces in lines of text."""

import json
import os
import random
import time
from collections.abc import Iterator
from typing import Any

SECONDS = float(os.environ.get("FUZZ_SECONDS", "5"))
"""How long each class of input is tried."""
SEED = int(os.environ.get("FUZZ_SEED", "0"))

VALUES = (
    *(None, True, -1, 0, 1.5, 2**31, 10**30, 1e300, "", "x" * 3000, "\u2028", "\x00", "../../etc", "9" * 400),
    *([], {}, [1], {"a": 1}, [[[]]], ["x"] * 50),
)
PIECES = (
    *(
        "9" * 5000,
        " " * 5000,
        "[" * 5000,
        "{" * 5000,
        "\x00",
        "\ud7ff",
        "\U000e0001",
        "NaN",
        "1e999",
        "-",
        ".",
        "..",
        "²",
    ),
    *(
        '"',
        "\\",
        "\n",
        "\r",
        "\u2028",
        ":",
        ";",
        ",",
        "*",
        "%",
        "{x}",
        "0-99999999999",
        "&a [*a]",
        "!!python/object:os",
    ),
)


def cases(seconds: float = SECONDS) -> Iterator[random.Random]:
    """Sources of chance, one a case, until the time is up; at least twenty, so that a slow machine tests as well.

    Args:
        seconds: The time.
    """
    stop, number = time.monotonic() + seconds, 0
    while time.monotonic() < stop or number < 20:
        yield random.Random(f"{SEED}/{number}")
        number += 1


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Bytes that were cut, flipped, doubled or overwritten.

    Args:
        data: Whole bytes.
        rng: Source of chance.
    """
    start, stop = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    kind = rng.randrange(5)
    if kind == 0:
        return data[:start]
    if kind == 1:
        return data[:start] + data[stop:]
    if kind == 2:
        return data[:stop] + data[start:]
    if kind == 3:
        return data[:start] + rng.choice(PIECES).encode() + data[stop:]
    flipped = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        if flipped:
            flipped[rng.randrange(len(flipped))] = rng.randrange(256)
    return bytes(flipped)


def strange(value: Any, rng: random.Random) -> Any:
    """JSON with one of its parts replaced.

    Args:
        value: Plain data.
        rng: Source of chance.
    """
    parts = list(value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ())
    if not parts or rng.random() < 0.2:
        return rng.choice(VALUES)
    key, part = rng.choice(parts)
    changed = dict(value) if isinstance(value, dict) else list(value)
    changed[key] = strange(part, rng)
    return changed


def strange_file(data: bytes, rng: random.Random) -> bytes:
    """A file that is damaged, or one of JSON or JSON lines in which a part is replaced.

    Args:
        data: The whole file.
        rng: Source of chance.
    """
    for replaced in () if rng.random() < 0.5 else (_strange_json, _strange_line):
        try:
            return replaced(data, rng)
        except ValueError:
            continue
    return damaged(data, rng)


def _strange_json(data: bytes, rng: random.Random) -> bytes:
    return json.dumps(strange(json.loads(data), rng)).encode()


def _strange_line(data: bytes, rng: random.Random) -> bytes:
    lines = data.split(b"\n")
    at = rng.randrange(max(len(lines) - 1, 1))
    lines[at] = _strange_json(lines[at], rng)
    return b"\n".join(lines)


def strange_text(text: str, rng: random.Random) -> str:
    """A line with pieces of it replaced, doubled or left out.

    Args:
        text: The line.
        rng: Source of chance.
    """
    for _ in range(rng.randint(1, 3)):
        start, stop = sorted(rng.randrange(len(text) + 1) for _ in range(2))
        text = text[:start] + rng.choice((*PIECES, text[start:stop] * 2, "")) + text[stop:]
    return text
