"""One thread that runs the model: a batch at a time, each row steered as its request asks."""

import logging
from collections.abc import Collection, Sequence
from threading import Thread
from time import monotonic

from mmsteer.adapters import LanguageModelAdapter
from mmsteer.errors import MmsteerError, ServingError
from mmsteer.serving.job import Failed, Job
from mmsteer.serving.metrics import Metrics
from mmsteer.serving.queue import Queue
from mmsteer.serving.rows import Rows
from mmsteer.steering import steer

_LOG = logging.getLogger(__name__)


class Batcher:
    """Runs what waits.

    Args:
        adapter: The model; nobody else may run it, or use its processor.
        queue: What waits.
        metrics: What is counted.
    """

    def __init__(self, adapter: LanguageModelAdapter, queue: Queue, metrics: Metrics) -> None:
        self._adapter, self._queue, self._metrics = adapter, queue, metrics
        self._ends = _ends(adapter)
        self._running: list[Job] = []
        self._thread = Thread(target=self._serve, name="batcher", daemon=True)

    @property
    def is_alive(self) -> bool:
        """Whether requests are answered."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Stop after the token that is being made; what is not answered fails."""
        _fail(self._queue.close(), ServingError("the server stops", 503, code="server_stops"))
        running = list(self._running)
        for job in running:
            job.is_cancelled = True
        self._thread.join()
        _fail(running, ServingError("the server stops", 503, code="server_stops"))

    def _serve(self) -> None:
        try:
            while batch := self._queue.take():
                self._running = batch
                self._answer(batch)
                self._running = []
        finally:
            broken = ServingError("the server stops: its model cannot run any more", 503, code="server_stops")
            _fail([*self._running, *self._queue.close()], broken)

    def _answer(self, jobs: Sequence[Job]) -> None:
        start, alone = monotonic(), list[Job]()
        try:
            self._run(jobs)
        except MmsteerError as error:
            alone = self._apart(jobs, error)
        except Exception as error:  # torch's and transformers' own, of any class: these requests fail, not the server
            _LOG.exception("a batch of %d failed", len(jobs))
            _fail(jobs, ServingError(f"the model failed: {type(error).__name__}: {error}", 500, code="model_failed"))
        if alone:
            for job in alone:
                self._answer([job])
            return
        waiting = [job for job in jobs if not job.is_cancelled]
        _fail(waiting, ServingError("the model ended before the answer did", 500, code="model_failed"))
        self._metrics.rows.observe(len(jobs))
        self._metrics.batch_seconds.observe(monotonic() - start)
        self._metrics.cancelled.add(sum(job.is_cancelled for job in jobs))

    def _apart(self, jobs: Sequence[Job], error: MmsteerError) -> list[Job]:
        """Refuse what cannot be steered as asked; what is to be run again, each in a batch of its own."""
        alone = [job for job in jobs if not job.has_begun] if len(jobs) > 1 else []
        _fail([job for job in jobs if job not in alone], error)
        return alone

    def _run(self, jobs: Sequence[Job]) -> None:
        steerings = [job.steering for job in jobs]
        longest = max(jobs, key=lambda job: job.tokens)
        with steer(self._adapter, steerings) as session:
            rows = Rows(jobs, self._ends, self._adapter.written, session.receipt_of)
            samples, seeds = [job.sample for job in jobs], [job.seed for job in jobs]
            try:
                self._adapter.generate(samples, longest.sampling, seeds, stopping=[rows])
            finally:
                self._metrics.made.add(rows.made)


def _fail(jobs: Sequence[Job], error: MmsteerError) -> None:
    for job in jobs:
        if not job.is_over:
            job.put(Failed(error))


def _ends(adapter: LanguageModelAdapter) -> Collection[int]:
    """The tokens that end an answer, as `generate` takes them."""
    ends = adapter.model.generation_config.eos_token_id
    if ends is None:
        return frozenset()
    return frozenset([ends] if isinstance(ends, int) else ends)
