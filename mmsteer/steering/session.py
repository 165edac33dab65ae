"""Steering as a `with` block around the user's own calls of the model."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from mmsteer import hooks
from mmsteer.errors import SteeringError
from mmsteer.steering.attribute import Steering
from mmsteer.steering.driver import Driver
from mmsteer.steering.plan import planned_sites
from mmsteer.steering.receipt import GateReceipt, Receipt, SiteReceipt
from mmsteer.steering.stacks import steerings_of_stack
from mmsteer.steering.total import totals
from mmsteer.steering.units import stale_units
from mmsteer.types import Adapter, Call, Site

QUIET, LOUD = 0.0, 1e3
"""Entries of the canary's vector: nothing, or large against any residual stream and small enough for half precision."""


class Session:
    """A model being steered; `receipt` says what was applied."""

    def __init__(self, adapter: Adapter, steerings: Sequence[Steering]) -> None:
        self._adapter = adapter
        self._steerings = tuple(steerings)
        self._drivers = _drivers(adapter, self._steerings)

    def receipt(self) -> Receipt:
        """What was really applied so far, the call in progress not included."""
        self._finish()
        meters = [driver.meter for driver in self._drivers.values()]
        generator = self._drivers.get(self._adapter.generator)
        # Rows and steps are those of the output; a vision tower counts images, and has no steps.
        books = [generator.meter] if generator else meters
        sites: dict[str, SiteReceipt] = {}
        gates: dict[str, GateReceipt] = {}
        for meter in meters:
            sites |= meter.sites()
            gates |= meter.gates()
        lines = dict.fromkeys(str(item) for steering in self._steerings for item in steering.attributes)
        return Receipt(
            tuple(lines),
            sites,
            max((meter.calls for meter in books), default=0),
            max((meter.rows for meter in books), default=0),
            max((meter.steps for meter in books), default=0),
            sum(meter.tokens for meter in meters),
            gates,
            totals(self._steerings),
            stale_units(self._steerings, sites),
        )

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Install the hooks, prove that they reach the output, and take them out at the end, whatever happens."""
        with ExitStack() as exits:
            for stack, driver in self._drivers.items():
                exits.enter_context(hooks.clock(self._adapter.stack(stack), driver.tick))
                exits.enter_context(hooks.edits(driver.edits()))
            exits.enter_context(hooks.around(self._adapter.model, "generate", self._generate))
            self._canary()
            yield
            self._finish()

    @contextmanager
    def call(self, call: Call) -> Iterator[None]:
        """Tell the clock what is known of the forwards inside.

        Args:
            call: Branches, length and prompt of the sequence that is about to run.
        """
        self._finish()
        for driver in self._drivers.values():
            driver.begin(call)
        yield
        self._finish()

    def _generate(self, generate: Callable[..., Any]) -> Callable[..., Any]:
        def steered(*args: Any, **kwargs: Any) -> Any:
            with self.call(self._adapter.call(kwargs)):
                output = generate(*args, **kwargs)
                self._check_applied(self._adapter.produced(output))
            return output

        return steered

    def _check_applied(self, produced: int) -> None:
        for stack, driver in self._drivers.items():
            if driver.beside and driver.idle:
                raise SteeringError(
                    f"the stack {stack!r} did not run in this call, so nothing was steered there: give every call what "
                    "the stack reads, such as an image, or leave its sites out"
                )
            if not driver.beside and driver.meter.reached() < produced:
                raise SteeringError(
                    f"the model produced {produced} steps but only {driver.meter.reached()} were steered: it ran code "
                    "compiled before steering was attached; call torch.compiler.reset(), or compare with a steering of "
                    "strength 0 instead of leaving the `with`"
                )

    def _canary(self) -> None:
        drivers = self._drivers.values()
        if not drivers:
            return
        for driver in drivers:
            driver.shout(QUIET)
        quiet = self._adapter.canary()
        still = [stack for stack, driver in self._drivers.items() if not driver.ticks]
        if still:
            raise SteeringError(f"the model did not run the module that is the clock of {', '.join(still)}")
        unheard = [str(site) for driver in drivers for site in driver.unheard]
        if unheard:
            raise SteeringError(f"the model did not run the modules of {', '.join(unheard)}; leave these sites out")
        unread = [str(site) for driver in drivers for site in self._unread(driver, quiet)]
        if unread:
            raise SteeringError(
                f"a large vector added at {', '.join(unread)} did not change the model's output: it reads nothing of "
                "these sites, as LLaVA reads no vision layer past its vision_feature_layer; leave them out"
            )
        for driver in drivers:
            driver.shout(None)

    def _unread(self, driver: Driver, quiet: torch.Tensor) -> list[Site]:
        """Sites of the deepest layers that the output does not depend on; what a layer passes on, later ones hear."""
        unread: list[Site] = []
        for layer in sorted({site.layer for site in driver.sites}, reverse=True):
            deepest = [site for site in driver.sites if site.layer == layer]
            driver.shout(LOUD, deepest)
            if not torch.equal(quiet, self._adapter.canary()):
                break
            unread = deepest + unread
        driver.shout(QUIET)
        return unread

    def _finish(self) -> None:
        for driver in self._drivers.values():
            driver.finish()


@contextmanager
def steer(adapter: Adapter, steering: Steering | Sequence[Steering]) -> Iterator[Session]:
    """Steer a model inside the block, in the user's own calls of `generate` or of the model.

    Args:
        adapter: The model.
        steering: One steering for all samples, or one for each sample of the batch.

    Raises:
        SteeringError: The model cannot be steered as asked, or compiled code passed the edits by.
        DirectionError: A direction was found in another model.
    """
    steerings = (steering,) if isinstance(steering, Steering) else tuple(steering)
    if not steerings:
        raise SteeringError("no steering was given; pass Steering() to leave samples as they are")
    for one in steerings:
        for item in one.attributes:
            item.check(adapter.fingerprint, adapter.widths)
    session = Session(adapter, steerings)
    with session.attached():
        yield session


def _drivers(adapter: Adapter, steerings: Sequence[Steering]) -> dict[str, Driver]:
    stacks: dict[str, list[Site]] = {}
    for site in planned_sites(steerings, adapter.sites):
        stacks.setdefault(site.stack, []).append(site)
    return {
        stack: Driver(adapter, stack, sites, steerings_of_stack(adapter, sites, steerings))
        for stack, sites in stacks.items()
    }
