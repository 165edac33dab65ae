"""Workers that are processes of this machine, each with a graphics card of its own where there are any."""

import os
import pickle
import signal
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_all_start_methods, get_context, parent_process
from multiprocessing.context import BaseContext
from threading import Thread
from typing import Any

from mmsteer.workers.pool import Pool, Served
from mmsteer.workers.protocol import Start

_CARDS = "CUDA_VISIBLE_DEVICES"


def processes(count: int, start: Start) -> Pool:
    """Workers of this machine.

    Args:
        count: How many.
        start: Makes what each has.
    """
    import torch

    threads, cards = torch.get_num_threads(), _cards(torch.cuda.device_count())
    given, context = pickle.dumps(start), _context(start)

    def begin(number: int) -> Process:
        return Process(context, given, threads, cards[number % len(cards)] if cards else None)

    return Pool(begin, count)


def _context(start: Start) -> BaseContext:
    """Processes begin anew: a fork of the driver would share its model, threads and locks.

    Where that can be, they are forks of one process that has imported what `start` needs, and nothing else.
    """
    if "forkserver" not in get_all_start_methods():
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload([getattr(start, "func", start).__module__])
    return context


def _cards(count: int) -> Sequence[str]:
    named = [one for one in os.environ.get(_CARDS, "").split(",") if one]
    return named or [str(card) for card in range(count)]


class Process:
    """One process.

    Args:
        context: How it begins.
        start: Makes what it has; a pickle.
        threads: For mathematics.
        card: Its graphics card; None for what the driver sees.
    """

    lost = BrokenProcessPool

    def __init__(self, context: BaseContext, start: bytes, threads: int, card: str | None) -> None:
        self._pool = ProcessPoolExecutor(1, context, initializer=_begin, initargs=(start, threads, card))

    def submit(self, piece: bytes) -> "Future[bytes]":
        """Begin a piece."""
        try:
            return self._pool.submit(_do, piece)
        except BrokenProcessPool as cause:  # it died while it had nothing to do
            failed: Future[bytes] = Future()
            failed.set_exception(cause)
            return failed

    def end(self) -> None:
        """Kill it."""
        for process in list((self._pool._processes or {}).values()):
            process.kill()
        self._pool.shutdown()


_served: Any = None
"""Of a worker's own process."""


def _begin(start: bytes, threads: int, card: str | None) -> None:
    global _served
    # The driver alone is stopped by the keyboard, and ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_driver, daemon=True).start()
    if card is not None:
        os.environ[_CARDS] = card
    _served = Served(pickle.loads(start), threads)


def _end_with_driver() -> None:
    driver = parent_process()
    assert driver is not None
    driver.join()
    os._exit(1)


def _do(piece: bytes) -> bytes:
    done: bytes = _served.do(piece)
    return done
