"""A call of audiocraft while it runs: which window of a long output it is at, and which branch of guidance.

audiocraft makes what is longer than its model's window in several calls of the language model, each of which begins
with the end of the one before, and each of which starts its own positions at 0. With `two_step_cfg` a step is two
forwards, one for each branch.
"""

import functools
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from mmsteer.hooks import around, by_name
from mmsteer.types import Wrap


@dataclass(eq=False)
class Run:
    """One output in the making.

    Attributes:
        given: Tokens of the output that are given: the start token and an audio prompt.
        stride: Frames from the start of a window to the start of the next.
        window: Index of the window; -1 before the first.
        null: The conditions of the null branch, where branches run one after another.
    """

    given: int
    stride: int = 0
    window: int = -1
    null: Any = None

    @property
    def before(self) -> int:
        """Frames before the window."""
        return max(self.window, 0) * self.stride

    def branch(self, arguments: Mapping[str, Any]) -> int | None:
        """The branch that a forward runs; None where it runs all.

        `arguments`: of the language model's forward, by name.
        """
        return None if self.null is None else int(arguments["condition_tensors"] is self.null)


class Windows:
    """Follows the calls of one MusicGen, each thread its own."""

    def __init__(self, musicgen: Any) -> None:
        self._musicgen = musicgen
        self._threads = threading.local()

    @property
    def now(self) -> Run | None:
        """The call that runs in this thread."""
        return getattr(self._threads, "run", None)

    @contextmanager
    def entries(self, wrap: Wrap) -> Iterator[None]:
        """Stand around what all methods of MusicGen that generate come to, and the language model's own `generate`."""
        lm = self._musicgen.lm
        with (
            around(self._musicgen, "_generate_tokens", lambda inner: wrap(self._whole(inner))),
            around(lm, "generate", lambda inner: self._window(inner, wrap(self._alone(inner)))),
            around(lm, "_sample_next_token", self._branches),
        ):
            yield

    def _whole(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(inner)
        def generate(*args: Any, **kwargs: Any) -> Any:
            arguments = by_name(inner, args, kwargs)
            stride = int(self._musicgen.frame_rate * (self._musicgen.extend_stride or 0))
            with self._running(Run(1 + frames(arguments.get("prompt_tokens")), stride)):
                return inner(**arguments)

        return generate

    def _alone(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(inner)
        def generate(*args: Any, **kwargs: Any) -> Any:
            arguments = by_name(inner, args, kwargs)
            with self._running(Run(1 + frames(arguments.get("prompt")))):
                return inner(**arguments)

        return generate

    def _window(self, inner: Callable[..., Any], alone: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(inner)
        def generate(*args: Any, **kwargs: Any) -> Any:
            run = self.now
            if run is None:
                return alone(*args, **kwargs)
            run.window += 1
            return inner(*args, **kwargs)

        return generate

    def _branches(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(inner)
        def sample(sequence: Tensor, cfg_conditions: Any, *args: Any, **kwargs: Any) -> Any:
            if self.now is not None:
                self.now.null = cfg_conditions[1] if isinstance(cfg_conditions, tuple) else None
            return inner(sequence, cfg_conditions, *args, **kwargs)

        return sample

    @contextmanager
    def _running(self, run: Run) -> Iterator[None]:
        self._threads.run = run
        try:
            yield
        finally:
            self._threads.run = None


def frames(codes: Tensor | None) -> int:
    """Frames of codes, (rows, streams, frames); 0 for none."""
    return 0 if codes is None else int(codes.shape[-1])
