"""Steering as a `with` block around the user's own calls of the model."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from threading import RLock
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from torch import Tensor, nn

from mmsteer import hooks
from mmsteer.errors import SteeringError
from mmsteer.steering import canary
from mmsteer.steering.attribute import Steering
from mmsteer.steering.plan import planned_sites
from mmsteer.steering.receipt import GateReceipt, Receipt, SiteReceipt
from mmsteer.steering.stacks import steerings_of_stack
from mmsteer.steering.total import totals
from mmsteer.steering.units import stale_units
from mmsteer.types import COMPATIBILITIES, Adapter, Call, Identity, Site

if TYPE_CHECKING:
    from mmsteer.steering.driver import Driver

REFUSED = ("generate_batch", "init_continuous_batching", "continuous_batching_context_manager")
"""Ways to run a model that steering cannot follow."""

_STEERED: "WeakSet[nn.Module]" = WeakSet()
_CLAIMING = RLock()


class Session:
    """A model being steered; `receipt` says what was applied.

    One thread at a time: a call of `generate`, or a forward, waits for another thread's, and so does the end of the
    session.
    """

    def __init__(self, adapter: Adapter, steerings: Sequence[Steering], identity: Identity, compatibility: str) -> None:
        self._adapter = adapter
        self._identity = identity
        self._compatibility = compatibility
        self._steerings = tuple(steerings)
        self._drivers = _drivers(adapter, self._steerings)
        self._lock = RLock()
        self._is_open = False
        self._generating: Call | None = None

    def receipt(self) -> Receipt:
        """What was really applied so far, the call in progress not included."""
        with self._lock:
            if self._generating is None:
                self._finish()
            return self._receipt()

    def receipt_of(self, sample: int, steps: int) -> Receipt:
        """What was really applied to one sample in the call in progress, or in the last one.

        It is what the sample has alone, but for two things: gates are not told apart, and where an edit of any sample
        depends on the state, the site counts the steps that were measured.

        Args:
            sample: Index of its steering.
            steps: How many output steps of it count: a batch runs on to the end of its longest output.
        """
        with self._lock:
            return self._of_sample(sample, steps)

    def moved(self) -> dict[str, Tensor]:
        """How far each token of the last prompt was moved: norm of the change over norm of the state, (rows, tokens).

        By the names of the steered sites of the stack that makes the output.
        """
        with self._lock:
            driver = self._drivers.get(self._adapter.generator)
            call = driver.call() if driver else None
            if driver is None or call is None:
                return {}
            return {driver.names[place]: call.moved(place) for place in call.prompts}

    def _of_sample(self, sample: int, steps: int) -> Receipt:
        steering = self._steerings[sample]
        calls = [(driver.names, call) for driver in self._drivers.values() if (call := driver.call())]
        sites = {site: one for names, call in calls for site, one in call.sites(names, sample, steps).items()}
        return Receipt(
            tuple(map(str, steering.attributes)),
            sites,
            calls=1,
            rows=1,
            steps=steps,
            tokens=sum(call.tokens(sample, steps) for _, call in calls),
            compatibility=self._compatibility,
            totals=totals([steering]),
            stale=stale_units([steering], sites),
        )

    def _receipt(self) -> Receipt:
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
            self._compatibility,
            totals(self._steerings),
            stale_units(self._steerings, sites),
        )

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Install the hooks, prove that they reach the output, and take them out at the end, whatever happens."""
        with ExitStack() as exits:
            if self._drivers:
                self._attach(exits)
            yield
            with self._lock:
                self._end()

    def _attach(self, exits: ExitStack) -> None:
        model = self._adapter.model
        stacks = {stack: self._adapter.stack(stack) for stack in self._drivers}
        exits.enter_context(_alone([model, *stacks.values()]))
        state = canary.state_of(self._adapter, self._drivers, self._identity)
        # Taken out in the opposite order, when no thread is in the middle of a call.
        exits.callback(self._lock.release)
        exits.enter_context(hooks.one_at_a_time(model, self._lock, self._failed))
        for stack, driver in self._drivers.items():
            exits.enter_context(hooks.clock(stacks[stack], driver.tick))
            exits.enter_context(hooks.edits(driver.edits()))
        exits.enter_context(self._adapter.entries(self._generate))
        for method in REFUSED:
            if hasattr(model, method):
                exits.enter_context(hooks.around(model, method, _refused(method)))
        exits.callback(self._close)
        canary.show(self._adapter, self._drivers, state)
        self._is_open = True

    def _close(self) -> None:
        self._lock.acquire()
        self._is_open = False

    def _end(self) -> None:
        self._finish()
        if self._drivers and not any(driver.ran for driver in self._drivers.values()):
            raise SteeringError(
                f"nothing was steered: the stack {' or '.join(map(repr, self._drivers))} did not run inside the "
                "`with`; a model that was compiled before steering was attached runs without it: call "
                "torch.compiler.reset() first; and where there is nothing to run, do not steer"
            )

    @contextmanager
    def call(self, call: Call) -> Iterator[None]:
        """Tell the clock what is known of the forwards inside.

        Args:
            call: Branches, length and prompt of the sequence that is about to run.
        """
        with self._lock, ExitStack() as exits:
            self._finish()
            exits.callback(self._drop)
            for driver in self._drivers.values():
                driver.begin(call)
            yield
            self._finish()

    def _generate(self, generate: Callable[..., Any]) -> Callable[..., Any]:
        def steered(*args: Any, **kwargs: Any) -> Any:
            if not self._is_open:
                return generate(*args, **kwargs)
            arguments = hooks.by_name(generate, args, kwargs)
            with self._lock:
                self._check_open()
                if self._generating is not None:
                    return self._generate_inside(generate, arguments)
                return self._generate_steered(generate, arguments)

        return steered

    def _generate_steered(self, generate: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
        call = self._adapter.call(arguments)
        with self.call(call):
            self._generating = call
            try:
                output = generate(**arguments)
            finally:
                self._generating = None
            produced = self._adapter.produced(output, call)
            self._check_applied(produced, call)
            for driver in self._drivers.values():
                driver.made(produced)
        return output

    def _generate_inside(self, generate: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
        # A draft by the model's own first layers, or a custom loop.
        if getattr(arguments.get("generation_config"), "is_assistant", False):
            # What is drafted is judged by the steered model, so that a draft costs time at most.
            with self._paused():
                return generate(**arguments)
        if self._adapter.call(arguments) != self._generating:
            raise SteeringError(
                "generate was called inside generate, with another prompt or length; steering follows one sequence at "
                "a time: run the other one before or after"
            )
        return generate(**arguments)

    @contextmanager
    def _paused(self) -> Iterator[None]:
        for driver in self._drivers.values():
            driver.paused = True
        try:
            yield
        finally:
            for driver in self._drivers.values():
                driver.paused = False

    def _check_open(self) -> None:
        if not self._is_open:
            raise SteeringError("the `with` ended before this call of generate could begin; join the thread inside it")

    def _check_applied(self, produced: int, call: Call) -> None:
        for stack, driver in self._drivers.items():
            # What an image was seen as is in the cache that a call continues.
            if driver.beside and driver.idle and not (call.continues and driver.ran):
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

    def _finish(self) -> None:
        for driver in self._drivers.values():
            driver.finish()

    def _drop(self) -> None:
        for driver in self._drivers.values():
            driver.drop()

    def _failed(self) -> None:
        for driver in self._drivers.values():
            driver.failed()


@contextmanager
def steer(adapter: Adapter, steering: Steering | Sequence[Steering]) -> Iterator[Session]:
    """Steer a model inside the block, in the user's own calls of `generate` or of the model.

    Args:
        adapter: The model.
        steering: One steering for all samples, or one for each sample of the batch.

    Raises:
        SteeringError: The model cannot be steered as asked, is being steered already, or ran nothing that was steered,
            such as code that was compiled before.
        DirectionError: A direction was found in another model.
    """
    steerings = (steering,) if isinstance(steering, Steering) else tuple(steering)
    if not steerings:
        raise SteeringError("no steering was given; pass Steering() to leave samples as they are")
    identity = Identity(adapter)
    level = max((one.check(identity) for one in steerings), key=COMPATIBILITIES.index)
    session = Session(adapter, steerings, identity, level)
    with session.attached():
        yield session


@contextmanager
def _alone(modules: Sequence[nn.Module]) -> Iterator[None]:
    with _CLAIMING:
        if not _STEERED.isdisjoint(modules):
            raise SteeringError(
                "the model is being steered already: two sessions on one model would push into each other and count "
                "each other's calls; leave the first `with`, or put all attributes into one Steering"
            )
        _STEERED.update(modules)
    try:
        yield
    finally:
        _STEERED.difference_update(modules)


def _refused(method: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def refuse(*_: Any, **__: Any) -> Any:
        raise SteeringError(
            f"{method} batches continuously: it packs the tokens of several requests into one row, in a thread of its "
            "own, where steering cannot tell them apart; call generate with a padded batch"
        )

    return lambda _: refuse


def _drivers(adapter: Adapter, steerings: Sequence[Steering]) -> "dict[str, Driver]":
    from mmsteer.steering.driver import Driver  # brings torch's compiler, which reading a steering line does without

    stacks: dict[str, list[Site]] = {}
    for site in planned_sites(steerings, tuple(adapter.widths)):
        stacks.setdefault(site.stack, []).append(site)
    return {
        stack: Driver(adapter, stack, sites, steerings_of_stack(adapter, sites, steerings))
        for stack, sites in stacks.items()
    }
