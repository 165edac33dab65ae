"""What waits for the model, and which of it runs next."""

import math
from collections.abc import Sequence
from threading import Condition
from time import monotonic

from mmsteer.errors import ServingError
from mmsteer.serving.job import Job
from mmsteer.serving.metrics import Metrics


class Queue:
    """Jobs in the order in which they came; a batch holds the oldest one and what can run with it.

    Args:
        length: Most jobs that wait.
        rows: Most jobs of a batch.
        wait_s: How long the oldest job waits for others.
        steps: Positions that the model has for a prompt and its answer.
        metrics: What is counted.
    """

    def __init__(self, length: int, rows: int, wait_s: float, steps: int, metrics: Metrics) -> None:
        self._length, self._rows, self._wait_s, self._steps, self._metrics = length, rows, wait_s, steps, metrics
        self._jobs: list[Job] = []
        self._changed = Condition()
        self._is_closed = False

    def put(self, jobs: Sequence[Job]) -> None:
        """Let jobs wait: all of them, or none.

        Args:
            jobs: Those of one request.

        Raises:
            ServingError: The queue is full, or the server is about to stop.
        """
        with self._changed:
            if self._is_closed:
                raise ServingError("the server stops", 503, code="server_stops")
            self._drop_cancelled()
            if len(self._jobs) + len(jobs) > self._length:
                raise ServingError(
                    f"{len(self._jobs)} answers wait, and at most {self._length} may; try again later",
                    429,
                    code="queue_full",
                    retry_after=self._retry_after(),
                )
            self._jobs += jobs
            self._metrics.waiting.add(len(jobs))
            self._changed.notify_all()

    def take(self) -> list[Job]:
        """The jobs of the next batch, as soon as there is one; nothing once the queue is closed."""
        with self._changed:
            while not self._is_closed:
                self._drop_cancelled()
                if self._jobs:
                    self._gather()
                    batch = self._alike()
                    if batch:
                        self._remove(batch)
                        return batch
                else:
                    self._changed.wait()
            return []

    def close(self) -> list[Job]:
        """End all waiting; the jobs that never ran."""
        with self._changed:
            self._is_closed = True
            left = list(self._jobs)
            self._remove(left)
            self._changed.notify_all()
            return left

    def _gather(self) -> None:
        """Wait until a batch is full, or the oldest job has waited long enough."""
        end = monotonic() + self._wait_s
        while not self._is_closed and len(self._alike()) < self._rows and (left := end - monotonic()) > 0:
            self._changed.wait(left)

    def _alike(self) -> list[Job]:
        batch: list[Job] = []
        for job in self._jobs:
            if len(batch) < self._rows and not job.is_cancelled and self._fits([*batch, job]):
                batch.append(job)
        return batch

    def _fits(self, jobs: Sequence[Job]) -> bool:
        # Prompts are padded to the longest, and the batch goes on to the end of the longest answer.
        longest = max(job.given for job in jobs) + max(job.tokens for job in jobs)
        return jobs[-1].kind == jobs[0].kind and (len(jobs) == 1 or longest <= self._steps)

    def _drop_cancelled(self) -> None:
        gone = [job for job in self._jobs if job.is_cancelled]
        self._metrics.cancelled.add(len(gone))
        self._remove(gone)

    def _remove(self, jobs: Sequence[Job]) -> None:
        gone = set(map(id, jobs))
        self._jobs = [job for job in self._jobs if id(job) not in gone]
        self._metrics.waiting.add(-len(jobs))

    def _retry_after(self) -> int:
        """Seconds after which what waits now has run, by the batches so far."""
        batches = math.ceil(len(self._jobs) / self._rows)
        return max(1, math.ceil(batches * (self._metrics.batch_seconds.mean or 1.0)))
