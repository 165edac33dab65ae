"""Several workers that take the pieces in turn; one that is lost is replaced, and its piece is done again."""

import pickle
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Any, Generic, Protocol

from mmsteer.errors import MmsteerError, WorkerError
from mmsteer.workers.protocol import AnyPiece, Held, Piece, Start, Workers

RETRIES = 3
"""Workers that a piece may lose before the next loss ends the work."""


class Worker(Protocol):
    """One process with a model of its own, somewhere; pieces and results come and go as pickles."""

    @property
    def lost(self) -> type[BaseException]:
        """How its futures fail where it has died."""

    def submit(self, piece: bytes) -> "Future[bytes]":
        """Begin a piece; one at a time. What comes back is that of `Served.do`."""

    def end(self) -> None:
        """Take the process away, whatever it does."""


class Pool(Workers):
    """Workers of one kind, which begin when they are first needed.

    `begin`: makes the worker of a number.
    `count`: how many there are.
    `leave`: called when all have ended.
    """

    apart = True

    def __init__(self, begin: Callable[[int], Worker], count: int, leave: Callable[[], None] = lambda: None) -> None:
        self._begin, self._count, self._leave = begin, count, leave
        self._workers: dict[int, Worker] = {}

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers.values():
            worker.end()
        self._leave()

    def map(self, pieces: Iterable[AnyPiece]) -> Iterator[tuple[AnyPiece, Any]]:
        """Each piece with its result, as soon as it is done.

        Yields:
            In any order.

        Raises:
            MmsteerError: A piece raised it; or a `WorkerError`: a piece has lost too many workers.
        """
        queue = _Queue(pieces)
        self._hand_out(queue)
        while queue.running:
            done = self._settled(queue)
            # Before results are written down, so that no worker waits for that.
            self._hand_out(queue)
            yield from ((piece, _result(future.result())) for piece, future in done)

    def _hand_out(self, queue: "_Queue[AnyPiece]") -> None:
        busy = {number for number, _ in queue.running.values()}
        for number in range(self._count):
            task = None if number in busy else queue.next()
            if task is not None:
                if number not in self._workers:
                    self._workers[number] = self._begin(number)
                queue.running[self._workers[number].submit(_sent(task.piece))] = number, task

    def _settled(self, queue: "_Queue[AnyPiece]") -> list[tuple[AnyPiece, "Future[bytes]"]]:
        """Pieces that are done; those whose workers were lost go back into the queue."""
        found = []
        for future in wait(queue.running, return_when=FIRST_COMPLETED).done:
            number, task = queue.running.pop(future)
            if isinstance(future.exception(), self._workers[number].lost):
                self._workers.pop(number).end()
                queue.repeat(task)
            else:
                found.append((task.piece, future))
        return found


@dataclass(eq=False)
class _Task(Generic[AnyPiece]):
    """A piece, and how many workers it has lost."""

    piece: AnyPiece
    lost: int = 0


class _Queue(Generic[AnyPiece]):
    """Pieces that wait, and those that are being done: for each future the worker's number and the task."""

    def __init__(self, pieces: Iterable[AnyPiece]) -> None:
        self.running: dict[Future[bytes], tuple[int, _Task[AnyPiece]]] = {}
        self._fresh, self._again = map(_Task, pieces), list[_Task[AnyPiece]]()

    def next(self) -> _Task[AnyPiece] | None:
        return self._again.pop() if self._again else next(self._fresh, None)

    def repeat(self, task: _Task[AnyPiece]) -> None:
        """Put a piece back.

        Raises:
            WorkerError: It was lost too often.
        """
        task.lost += 1
        if task.lost > RETRIES:
            raise WorkerError(
                f"{task.piece}: {task.lost} workers died at it, one after the other, for want of memory perhaps; take "
                "fewer workers or smaller batches, or run without workers to see why; what is finished is kept"
            )
        self._again.append(task)


class Served:
    """What runs in a worker's own process: pieces, on what `start` makes for the first of them.

    Args:
        start: Makes what pieces need.
        threads: For mathematics; the driver's, because sums run in another order with another number.
    """

    def __init__(self, start: Start, threads: int) -> None:
        self._start, self._threads = start, threads
        self._held: Held | None = None

    def do(self, piece: bytes) -> bytes:
        """True and a piece's result, or False and the error that was raised on purpose."""
        try:
            if self._held is None:
                self._held = self._begun()
            return pickle.dumps((True, pickle.loads(piece).do(self._held)))
        except MmsteerError as error:
            return pickle.dumps((False, error))

    def _begun(self) -> Held:
        import torch
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        torch.set_num_threads(self._threads)
        held = self._start()
        threadpool_limits(self._threads)
        return held


def _sent(piece: Piece) -> bytes:
    try:
        return pickle.dumps(piece)
    except (pickle.PicklingError, AttributeError, TypeError) as cause:
        raise WorkerError(
            f"{piece}: it cannot be sent to workers ({cause}); functions among data, rewards or scorers must be "
            "found by their module and name"
        ) from None


def _result(data: bytes) -> Any:
    done, outcome = pickle.loads(data)
    if not done:
        raise outcome
    return outcome
