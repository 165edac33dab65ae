"""Workers that are actors of a Ray cluster, each with a graphics card of its own where there are any."""

from concurrent.futures import Future
from math import ceil
from typing import Any

from mmsteer.errors import WorkerError
from mmsteer.workers.pool import Pool, Served
from mmsteer.workers.protocol import Start

LOCAL = "ray"
"""The address of a cluster of its own on this machine."""


def actors(address: str, count: int | None, start: Start) -> Pool:
    """Workers of a cluster.

    Args:
        address: `ray://host:port`, or `ray` for a new cluster on this machine that ends with this process.
        count: How many, which share cards evenly where there are more; None for one a card, or one a core where there
            are none.
        start: Makes what each has.

    Raises:
        WorkerError: Ray is not installed, or there is no cluster.
    """
    import torch

    ray = _connected(address, count)
    there = ray.cluster_resources()
    what = "num_gpus" if there.get("GPU") else "num_cpus"
    fits = max(1, int(there.get("GPU") or there["CPU"]))
    count, threads = count or fits, torch.get_num_threads()
    actor = ray.remote(**{what: 1 / ceil(count / fits)})(Served)
    return Pool(lambda number: _Actor(ray, actor.remote(start, threads)), count, ray.shutdown)


def _connected(address: str, count: int | None) -> Any:
    try:
        import ray
    except ImportError:
        raise WorkerError('workers of a cluster need Ray; install it with: pip install "mmsteer[cluster]"') from None
    # Words of Ray's own are of no use here; its errors are passed on.
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    own = {"address": "local", "num_cpus": count, "include_dashboard": False}
    try:
        ray.init(**quiet, **(own if address == LOCAL else {"address": address}))
    except (ConnectionError, OSError, RuntimeError, ValueError) as cause:
        raise WorkerError(f"{address}: no Ray cluster answers there ({cause})") from None
    return ray


class _Actor:
    """One actor; Ray never starts it again by itself, so that no piece is done twice unseen."""

    def __init__(self, ray: Any, actor: Any) -> None:
        self._ray, self._actor = ray, actor
        self.lost = ray.exceptions.RayActorError

    def submit(self, piece: bytes) -> "Future[bytes]":
        future: Future[bytes] = self._actor.do.remote(piece).future()
        return future

    def end(self) -> None:
        self._ray.kill(self._actor)
