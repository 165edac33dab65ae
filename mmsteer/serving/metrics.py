"""Counts of a server in Prometheus' text format."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from threading import Lock

SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
ROWS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Counter:
    """A number for each set of labels.

    Args:
        name: Of the series.
        about: What it counts.
        labels: Names of its labels.
        kind: `counter` or `gauge`.
    """

    def __init__(self, name: str, about: str, labels: Sequence[str] = (), kind: str = "counter") -> None:
        self._name, self._about, self._labels, self._kind = name, about, labels, kind
        self._values: dict[tuple[str, ...], float] = {} if labels else {(): 0.0}
        self._lock = Lock()

    def add(self, amount: float = 1.0, *labels: str) -> None:
        """Count.

        Args:
            amount: How many.
            *labels: Values of the labels.
        """
        with self._lock:
            self._values[labels] = self._values.get(labels, 0.0) + amount

    def lines(self) -> Iterator[str]:
        """The series as text."""
        yield from _head(self._name, self._about, self._kind)
        with self._lock:
            values = sorted(self._values.items())
        for labels, value in values:
            yield f"{self._name}{_labels(self._labels, labels)} {value:g}"


class Histogram:
    """How large values are.

    Args:
        name: Of the series.
        about: What it measures.
        bounds: Upper bounds of its buckets.
    """

    def __init__(self, name: str, about: str, bounds: Sequence[float]) -> None:
        self._name, self._about, self._bounds = name, about, bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        self._lock = Lock()

    def observe(self, value: float) -> None:
        """Count a value.

        Args:
            value: The value.
        """
        with self._lock:
            self._counts[bisect_left(self._bounds, value)] += 1
            self._sum += value

    @property
    def mean(self) -> float | None:
        """Of all values; None before the first."""
        with self._lock:
            count = sum(self._counts)
            return self._sum / count if count else None

    def lines(self) -> Iterator[str]:
        """The series as text."""
        yield from _head(self._name, self._about, "histogram")
        with self._lock:
            counts, total = list(self._counts), self._sum
        for place, bound in enumerate((*map("{:g}".format, self._bounds), "+Inf")):
            yield f'{self._name}_bucket{{le="{bound}"}} {sum(counts[: place + 1])}'
        yield f"{self._name}_sum {total:.6g}"
        yield f"{self._name}_count {sum(counts)}"


class Metrics:
    """What a server counts.

    Attributes:
        requests: By path and status.
        waiting: Answers in the queue.
        cancelled: Answers that nobody waited for.
        read: Tokens of prompts.
        made: Tokens of answers.
        rows: Of each batch.
        batch_seconds: Of each batch.
        first_seconds: From a request to its first words.
        request_seconds: From a request to its end.
    """

    def __init__(self) -> None:
        self.requests = Counter("mmsteer_requests_total", "Requests.", ("path", "status"))
        self.waiting = Counter("mmsteer_waiting", "Answers in the queue.", kind="gauge")
        self.cancelled = Counter("mmsteer_cancelled_total", "Answers that nobody waited for any more.")
        self.read = Counter("mmsteer_prompt_tokens_total", "Tokens of prompts.")
        self.made = Counter("mmsteer_generated_tokens_total", "Tokens of answers.")
        self.rows = Histogram("mmsteer_batch_rows", "Answers that share a batch.", ROWS)
        self.batch_seconds = Histogram("mmsteer_batch_seconds", "Duration of a batch.", SECONDS)
        self.first_seconds = Histogram("mmsteer_first_words_seconds", "From a request to its first words.", SECONDS)
        self.request_seconds = Histogram("mmsteer_request_seconds", "From a request to its end.", SECONDS)

    def text(self) -> str:
        """All series, in Prometheus' text format."""
        return "".join(f"{line}\n" for one in vars(self).values() for line in one.lines())


def _head(name: str, about: str, kind: str) -> Iterator[str]:
    yield f"# HELP {name} {about}"
    yield f"# TYPE {name} {kind}"


def _labels(names: Sequence[str], values: Sequence[str]) -> str:
    pairs = ",".join(f'{name}="{value}"' for name, value in zip(names, values, strict=True))
    return f"{{{pairs}}}" if pairs else ""
