"""A flow through layers of which no dictionary is known: small ones are trained, and steering along it is measured."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import torch

from mmsteer.calibrate import calibrate
from mmsteer.latents.controls import random_features
from mmsteer.latents.effect_data import DOSED, EffectData
from mmsteer.latents.flow_steering import LayerSchedule, activate, constant, exponential, flow_directions, linear
from mmsteer.latents.token_states import selected_states
from mmsteer.sae import (
    Held,
    Shuffled,
    SparseDictionary,
    TopK,
    Training,
    Usage,
    feature_direction,
    train_dictionary,
    usage,
    with_thresholds,
)
from mmsteer.sae.flow import Flow, Node
from mmsteer.steering import Steering
from mmsteer.types import Adapter, Direction, Sample, Score, Site, random_direction

START = 0.1
"""Relative strength that the search for the dose starts from."""
SCHEDULES: Mapping[str, LayerSchedule] = MappingProxyType(
    {"constant": constant(START), "exponential": exponential(START), "linear": linear(START, end=0.2 * START)}
)


def small_dictionaries(
    adapter: Adapter,
    samples: Sequence[Sample],
    sites: Sequence[Site],
    *,
    features: int = 512,
    k: int = 16,
    steps: int = 400,
    say: Callable[[str], None] = lambda _: None,
) -> dict[Site, tuple[SparseDictionary, Usage]]:
    """Dictionaries of some sites with how they are used, each trained in seconds."""
    found = {}
    for site in sites:
        say(f"Training a small dictionary of {site}")
        states = torch.cat(selected_states(adapter, samples, site))
        # Dictionaries that start alike stay alike: of one seed, features match across layers by their numbers.
        plan = Training(features=features, steps=steps, rate=1e-3, warmup=50, dead_after=100_000, seed=1 + site.layer)
        source = Shuffled(Held(states), batch=min(1024, len(states)))
        trained = train_dictionary(source, TopK(k), plan, site=site, model=adapter.fingerprint, sketch=adapter.sketch)
        kept = with_thresholds(trained, states.split(4096))
        found[site] = kept, usage(kept, states.split(4096))
    return found


def steer_flow(
    data: EffectData,
    flow: Flow,
    dictionaries: Sequence[SparseDictionary],
    used: Mapping[Site, Usage],
    target: str,
    *,
    items: int = 16,
    kl: float = 0.5,
    seed: int = 0,
    say: Callable[[str], None] = lambda _: None,
) -> list[dict[str, str | int | float | Score]]:
    """What adding a feature in its own layer, or all along its flow, changes at one dose.

    Beside them stand a random feature of the same layer and a random direction.

    `target`: what is read, a name of the meter's.
    `kl`: the dose, in nats.
    """
    directions = flow_directions(flow, dictionaries, used)
    stream = {node: directions[node] for node in flow.stream}
    start = directions[flow.start]
    [home] = [one for one in dictionaries if one.site == flow.start.site]
    [feature] = random_features(used[flow.start.site], 1, without=[flow.start.feature], seed=seed)
    other = feature_direction(home, feature, used[flow.start.site])
    chosen: dict[str, tuple[Mapping[Node, Direction], LayerSchedule]] = {
        "one layer": ({flow.start: start}, constant(START)),
        **{f"flow, {name}": (stream, schedule) for name, schedule in SCHEDULES.items()},
        "random feature, one layer": ({flow.start: other}, constant(START)),
        "random direction, one layer": ({flow.start: random_direction(start, seed)}, constant(START)),
    }
    change = data.changes(data.test[:items], target)
    rows: list[dict[str, str | int | float | Score]] = []
    for name, (some, schedule) in chosen.items():
        say(f"Steering {name}")
        steering = Steering(activate(some, schedule))
        factor = calibrate(data.adapter, steering, data.ground[:DOSED], kl).factor
        score = change(steering.scaled(factor))
        rows.append({"steered": name, "layers": len(some), "strength": START * factor, f"change of {target}": score})
    return rows
