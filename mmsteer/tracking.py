"""Numbers of training and of a search, sent to an experiment tracker while they are made."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from mmsteer.errors import TrackingError

MODULES = {"tensorboard": "torch.utils.tensorboard", "wandb": "wandb", "trackio": "trackio"}
INSTALL = {
    "tensorboard": "pip install 'mmsteer[tracking]'",
    "wandb": "pip install wandb",
    "trackio": "pip install trackio",
}
PROJECT = "mmsteer"


class Tracker(Protocol):
    """Takes numbers of one step after another; steps never go back within a run."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Send the numbers of one step.

        Args:
            step: From 0.
            values: Finite numbers by name.
        """

    def close(self) -> None:
        """Send what is left, and end the run."""


def check_trackers(names: Sequence[str]) -> None:
    """Import the packages of trackers, before anything is computed.

    Args:
        names: Keys of `MODULES`.

    Raises:
        TrackingError: A name is unknown, or its package is not installed.
    """
    for name in names:
        _module(name)


@contextmanager
def opened_trackers(
    names: Sequence[str], folder: Path, run: str, settings: Mapping[str, Any]
) -> Iterator[tuple[Tracker, ...]]:
    """Trackers by name, each once, which are closed at the end, also after an error.

    Args:
        names: Keys of `MODULES`.
        folder: Of the run; tensorboard's event files go to `tensorboard` in it.
        run: The name that wandb and trackio show, in the project `mmsteer`.
        settings: What wandb and trackio keep as the run's configuration.

    Yields:
        One tracker a name.

    Raises:
        TrackingError: A name is unknown, or its package is not installed.
    """
    with ExitStack() as stack:
        trackers = []
        for name in dict.fromkeys(names):
            tracker = _opened(name, folder, run, settings)
            stack.callback(tracker.close)
            trackers.append(tracker)
        yield tuple(trackers)


def _opened(name: str, folder: Path, run: str, settings: Mapping[str, Any]) -> Tracker:
    module = _module(name)
    if name == "tensorboard":
        return _EventFiles(module, folder / "tensorboard")
    module.init(project=PROJECT, name=run, config=dict(settings))
    return _Run(module)


def _module(name: str) -> ModuleType:
    if name not in MODULES:
        raise TrackingError(f"no tracker {name!r}; choose from {', '.join(MODULES)}")
    try:
        return import_module(MODULES[name])
    except ImportError as missing:
        raise TrackingError(
            f"--report-to {name}: its package cannot be imported ({missing}); {INSTALL[name]}, or leave it out"
        ) from None


class _EventFiles:
    def __init__(self, module: Any, folder: Path) -> None:
        self._module, self._folder = module, folder

    @cached_property
    def _writer(self) -> Any:
        # At the first step: before, the folder may be somebody else's.
        return self._module.SummaryWriter(str(self._folder))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        if "_writer" in vars(self):
            self._writer.close()


class _Run:
    """The run that is open in wandb or trackio, whose functions have the same names."""

    def __init__(self, module: Any) -> None:
        self._module = module

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._module.log(dict(values), step=step)

    def close(self) -> None:
        self._module.finish()
