"""A server, put together."""

from mmsteer.adapters import LanguageModelAdapter
from mmsteer.serving.admission import Admission, Catalog, Limits
from mmsteer.serving.app import Server
from mmsteer.serving.batcher import Batcher
from mmsteer.serving.metrics import Metrics
from mmsteer.serving.queue import Queue


def assemble(
    adapter: LanguageModelAdapter, catalog: Catalog, limits: Limits, batching: tuple[int, float, int], body: int
) -> Server:
    """A server of a model, not yet begun.

    Args:
        adapter: The model; nobody else may run it from now on.
        catalog: What can be asked for.
        limits: And how much of it.
        batching: Most rows of a batch, seconds that the oldest request waits for others, and most answers that wait.
        body: Most bytes of a request.
    """
    rows, wait_s, length = batching
    metrics = Metrics()
    queue = Queue(length, rows, wait_s, adapter.max_steps, metrics)
    return Server(catalog, Admission(adapter, catalog, limits), queue, Batcher(adapter, queue, metrics), metrics, body)
