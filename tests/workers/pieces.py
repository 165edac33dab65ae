"""Pieces that do next to nothing, or end the process that does them."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from mmsteer.errors import DataError
from mmsteer.workers import Held


def start():
    return Held(None, {"made in": os.getpid()})


def start_elsewhere():
    raise DataError("no folder here")


@dataclass(frozen=True)
class Square:
    number: int

    def do(self, held):
        return self.number**2, held.tasks["made in"]


@dataclass(frozen=True)
class Deadly(Square):
    """Kills its process as many times as it is told, counted in a folder."""

    folder: Path
    times: int

    def do(self, held):
        deaths = len(list(self.folder.iterdir()))
        if deaths < self.times:
            (self.folder / str(deaths)).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().do(held)

    def __str__(self):
        return f"piece {self.number}"


@dataclass(frozen=True)
class Wrong:
    def do(self, held):
        raise DataError("line 3 is wrong")
