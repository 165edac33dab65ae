"""`--workers`: what to write, and what it opens."""

import re

from mmsteer.errors import WorkerError, clip
from mmsteer.workers.pool import Pool
from mmsteer.workers.protocol import Start

_TEXT = re.compile(r"(?P<processes>[1-9][0-9]{0,3})|(?:(?P<actors>[1-9][0-9]{0,3})@)?(?P<address>ray(?:://\S+)?)")


def opened(text: str, start: Start) -> Pool:
    """Workers, to be used in a `with` block.

    Args:
        text: A number of processes of this machine; or `ray`, `ray://host:port`, with a number and `@` before it.
        start: Makes what each has.

    Raises:
        WorkerError: The text says none of these.
    """
    found = _read(text)
    if found["processes"]:
        from mmsteer.workers.processes import processes

        return processes(int(found["processes"]), start)
    from mmsteer.workers.ray_cluster import actors

    return actors(found["address"], int(found["actors"]) if found["actors"] else None, start)


def check_workers(text: str) -> None:
    """Refuse what names no workers, before anything is loaded.

    Args:
        text: As for `opened`.

    Raises:
        WorkerError: The text says none of these.
    """
    _read(text)


def _read(text: str) -> re.Match[str]:
    found = _TEXT.fullmatch(text)
    if not found:
        raise WorkerError(
            f"cannot read the workers {clip(text)}; write a number of processes such as 4, ray://host:10001, or 4@ray "
            "for a cluster on this machine"
        )
    return found
