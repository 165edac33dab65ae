"""Proof that a model runs the sites that are steered, and reads what is added there: one small forward or two.

What it shows depends on the model alone, its weights, settings, code and hooks, and not on the directions; so it is
shown once for each set of sites, and again when any of that has changed.
"""

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, ref

import torch
from torch import nn

from mmsteer import hooks
from mmsteer.errors import SteeringError
from mmsteer.types import Adapter, Identity, Site

if TYPE_CHECKING:
    from mmsteer.steering.driver import Driver

NOTHING, HUGE = 0.0, 1e3
"""Entries of the vector: nothing, or large against any residual stream and small enough for half precision."""

_SHOWN: "WeakKeyDictionary[nn.Module, dict[tuple[Site, ...], Hashable]]" = WeakKeyDictionary()
"""For each model and its sites, what it was when they were shown to be read."""


def state_of(adapter: Adapter, drivers: Mapping[str, "Driver"], identity: Identity) -> Hashable:
    """What the proof depends on, before steering is attached.

    Args:
        adapter: The model.
        drivers: Of its stacks.
        identity: Of its weights.
    """
    written = getattr(getattr(adapter.model, "config", None), "to_dict", None)
    settings = str(written()) if written else None
    clocks = tuple(ref(adapter.stack(stack)) for stack in drivers)
    edited = tuple(ref(adapter.port(site).module) for driver in drivers.values() for site in driver.sites)
    return identity.fingerprint, settings, clocks, edited, tuple(map(_code, adapter.model.modules()))


def _code(module: nn.Module) -> Hashable:
    """What a module runs: itself, what it was compiled to, a forward of its own, and the hooks around it."""
    # The keys are numbers that PyTorch never gives twice; an address may be another hook's later.
    hooked = *module._forward_hooks, *module._forward_pre_hooks
    return ref(module), id(module._compiled_call_impl), id(vars(module).get("forward")), hooked


def show(adapter: Adapter, drivers: Mapping[str, "Driver"], state: Hashable) -> None:
    """Prove, if it was not done before, that the hooks reach the output.

    Args:
        adapter: The model.
        drivers: Of its stacks, attached.
        state: What `state_of` gave before they were.

    Raises:
        SteeringError: A site does not run, or the output does not depend on it.
    """
    sites = tuple(site for driver in drivers.values() for site in driver.sites)
    shown = _SHOWN.setdefault(adapter.model, {})
    if shown.get(sites) == state:
        return
    with hooks.evaluating(adapter.model):
        _prove(adapter, drivers)
    shown[sites] = state


def _prove(adapter: Adapter, drivers: Mapping[str, "Driver"]) -> None:
    for driver in drivers.values():
        driver.inject(NOTHING)
    quiet = adapter.canary()
    still = [stack for stack, driver in drivers.items() if not driver.ticks]
    if still:
        raise SteeringError(f"the model did not run the module that is the clock of {', '.join(still)}")
    not_run = [str(site) for driver in drivers.values() for site in driver.not_run]
    if not_run:
        raise SteeringError(f"the model did not run the modules of {', '.join(not_run)}; leave these sites out")
    unread = [str(site) for driver in drivers.values() for site in _unread(adapter, driver, quiet)]
    if unread:
        raise SteeringError(
            f"a large vector added at {', '.join(unread)} did not change the model's output: it reads nothing of "
            "these sites, as LLaVA reads no vision layer past its vision_feature_layer; leave them out"
        )
    for driver in drivers.values():
        driver.inject(None)


def _unread(adapter: Adapter, driver: "Driver", quiet: torch.Tensor) -> list[Site]:
    """Sites of the deepest layers that the output does not depend on; what a layer passes on, later ones read."""
    unread: list[Site] = []
    for layer in sorted({site.layer for site in driver.sites}, reverse=True):
        deepest = [site for site in driver.sites if site.layer == layer]
        driver.inject(HUGE, deepest)
        if not torch.equal(quiet, adapter.canary()):
            break
        unread = deepest + unread
    driver.inject(NOTHING)
    return unread
