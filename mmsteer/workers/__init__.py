"""Who does the pieces of a piece of work: this process, processes beside it, or the actors of a Ray cluster."""

from mmsteer.workers.opening import check_workers, opened
from mmsteer.workers.protocol import Held, Here, Piece, Start, Workers

__all__ = ["Held", "Here", "Piece", "Start", "Workers", "check_workers", "opened"]
