"""Steering vectors in the words of a dictionary, vectors for a wanted effect, and features through the layers.

    python benchmarks/feature_methods.py decompose|effects|flow [--out runs/feature-methods]

On the bundled music model, with small dictionaries that are trained on the spot: 512 features, 16 active, on 64
rendered clips. `effects` can be stopped and goes on where it was. Every clip is judged from its audio alone.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from report import Row, write_report
from torch import Tensor

import mmsteer
from mmsteer.adapters import MusicgenAdapter
from mmsteer.data.world import render_clip, sample_clip
from mmsteer.latents.effect_meters import music_meter
from mmsteer.latents.effect_rollouts import Rollouts, equal_dose, measure_effects
from mmsteer.latents.effects import Ground, fit_effects, probing_vectors
from mmsteer.latents.flow_steering import LayerSchedule, activate, constant, exponential, flow_directions, linear
from mmsteer.record import record
from mmsteer.report.flow import save_flow
from mmsteer.sae import (
    Held,
    Shuffled,
    SparseDictionary,
    TopK,
    Training,
    train_dictionary,
    usage,
    with_thresholds,
)
from mmsteer.sae.decomposition import decompose, diagnose
from mmsteer.sae.flow import Flow, Node, best_matches, feature_flow, origin
from mmsteer.steering import Attribute, Steering
from mmsteer.types import Direction, Sample, Site

SITE = Site("decoder", 3)
FLOW_SITES = (
    Site("decoder", 2),
    SITE,
    Site("decoder", 4),
    *(Site("decoder", 3, point) for point in ("attention", "mlp")),
)
CLIPS, SECONDS, GUIDANCE, KL = 64, 2.0, 3.0, 0.5
WORLD_SEED = 77
"""The model was trained on the world of seed 0."""


@dataclass(frozen=True, eq=False)
class Bench:
    """The model, what it reads, and what was learned from that."""

    adapter: MusicgenAdapter

    @cached_property
    def samples(self) -> list[Sample]:
        """Rendered clips with their prompts."""
        drawn = [sample_clip(np.random.default_rng([WORLD_SEED, index])) for index in range(CLIPS)]
        return [
            Sample(str(index), render_clip(clip, np.random.default_rng([WORLD_SEED, index])), clip.prompt)
            for index, clip in enumerate(drawn)
        ]

    @cached_property
    def states(self) -> Mapping[Site, Tensor]:
        """Every hidden state of the clips, (rows, width), at each site."""
        found = record(self.adapter, self.samples, FLOW_SITES, pool="tokens")
        return {site: value.flatten(0, 1)[value.flatten(0, 1).any(dim=1)] for site, value in found.values.items()}

    def dictionary(self, site: Site) -> SparseDictionary:
        """A small dictionary, trained in seconds."""
        states = self.states[site]
        found = train_dictionary(
            Shuffled(Held(states), batch=1024),
            TopK(16),
            # Dictionaries that start alike stay alike: of one seed, features match across layers by their numbers.
            Training(features=512, steps=400, rate=1e-3, warmup=50, dead_after=100_000, seed=FLOW_SITES.index(site)),
            site=site,
            model=self.adapter.fingerprint,
        )
        return with_thresholds(found, states.split(4096))

    def play(self, items: Sequence[tuple[str, int]]) -> list[np.ndarray]:
        """A clip for each prompt and seed."""
        prompts, seeds = zip(*items, strict=True)
        return self.adapter.generate(prompts, SECONDS, seeds, guidance=GUIDANCE)

    def items(self, first: int, last: int) -> list[tuple[str, int]]:
        """Prompts of the world with a seed each."""
        return [(sample_clip(np.random.default_rng([WORLD_SEED, 1, i])).prompt, 1000 + i) for i in range(first, last)]

    def rollouts(self, items: Sequence[tuple[str, int]], name: str) -> Rollouts:
        """Clips of these items, read for notes and register."""
        return Rollouts(self.adapter, items, self.play, music_meter(self.adapter.sample_rate), name, rows=64)

    @cached_property
    def dose(self) -> Callable[[Direction], Attribute]:
        """Equal divergence along rendered clips, for every direction."""
        return equal_dose(self.adapter, self.context, KL)

    @cached_property
    def context(self) -> list[Sample]:
        """What doses are measured along: the first seconds of a rendered clip."""
        first = self.samples[0]
        return [replace(first, content=first.content[: round(SECONDS * self.adapter.sample_rate)])]


def run_decompose(bench: Bench, out: Path) -> None:
    """The directions that ship for the model, as they are added at a tenth of the norm."""
    dictionary, states = bench.dictionary(SITE), bench.states[SITE]
    rows: list[Row] = []
    for name, direction in mmsteer.bundled_directions("music").items():
        vector = direction.vectors[SITE] * 0.1 * direction.stats[SITE].residual_norm
        found = {method: decompose(dictionary, vector, 8, method) for method in ("signed", "non_negative", "gradient")}
        diagnosis = diagnose(dictionary, vector, states)
        rows.append(
            {"direction": name}
            | {f"{method}, explained": decomposition.explained for method, decomposition in found.items()}
            | {"below zero": found["signed"].negative, "percentile": diagnosis.percentile}
            | {"overlap with zero": diagnosis.overlap, "recovered by the encoder": diagnosis.recovered}
        )
        if name == "note:C":
            print(found["signed"].table(), "\n")
            print(diagnosis.table(), "\n")
    control = torch.randn(dictionary.width, generator=torch.Generator().manual_seed(12345))
    rows.append({"direction": "random", "signed, explained": decompose(dictionary, control, 8).explained})
    print(write_report("decompose", {"Shipped directions, 8 features": rows}, out)[1].read_text())


def run_effects(bench: Bench, out: Path) -> None:
    """Vectors for the note C and for a high register, beside rows, random vectors and differences of means."""
    dictionary = bench.dictionary(SITE)
    ground = Ground(SITE, bench.adapter.fingerprint, bench.states[SITE])
    density = usage(dictionary, bench.states[SITE].split(4096)).density
    features = density.topk(64).indices.tolist()
    vectors = probing_vectors(ground, dictionary, features, 64, seed=0)
    rollouts = bench.rollouts(bench.items(0, 2), f"2 prompts, {SECONDS} s, {KL} nats")
    effects = measure_effects(rollouts, vectors, bench.dose, folder=out / "effects", progress=True)
    matrix = torch.stack([one.vectors[SITE] for one in vectors])
    model = fit_effects(matrix, effects.values, effects.names)
    print(f"ridge {model.ridge:g}, {model.vectors} vectors, {effects.unscored:.1%} of the readings do not say")
    rows: list[Row] = []
    shipped = mmsteer.bundled_directions("music")
    for target, name in {"note:C": "note:C", "register": "register:high"}.items():
        column = effects.names.index(target)
        best = max(range(len(features)), key=lambda i: float(effects.values[i, column].nan_to_num(-9e9)))
        candidates = {
            "SAE-TS": model.direction(ground, {target: 1.0}, f"sae-ts:{target}"),
            "SAE-TS, common effect left in": model.direction(ground, {target: 1.0}, f"sae-ts-plain:{target}", common=0),
            "best decoder row": vectors[best],
            "random": vectors[-1],
            "difference of means": ground.direction(name, shipped[name].vectors[SITE]),
        }
        tested = bench.rollouts(bench.items(100, 112), f"12 other prompts, {SECONDS} s, {KL} nats, {target}")
        found = measure_effects(
            tested, list(candidates.values()), bench.dose, folder=out / f"tested-{column}", progress=True
        )
        for (label, direction), change, strength in zip(
            candidates.items(), found.values[:, column], found.strengths, strict=True
        ):
            rows.append(
                {"target": target, "vector": label, "unsteered": float(found.plain[column]), "change": float(change)}
                | {"predicted": float(model.predict(direction.vectors[SITE][None])[0, column])}
                | {"strength": float(strength), "R² left out": float(model.r2[column])}
            )
    notes = (
        "change: mean over 12 prompts with the same seeds; share of voiced time for the note, MIDI notes for register",
    )
    print(write_report("effects", {f"Equal dose, {KL} nats": rows}, out, notes)[1].read_text())


def run_flow(bench: Bench, out: Path) -> None:
    """Features of three layers matched, the one that is most like the note C followed, and steered along."""
    dictionaries = {site: bench.dictionary(site) for site in FLOW_SITES}
    middle = dictionaries[SITE].decoder
    rows = list(_matched(dictionaries, middle))
    shuffled = torch.randn(middle.shape, generator=torch.Generator().manual_seed(12345))
    rows.append(
        {"match with": "random rows", "0.5 or more": float((best_matches(middle, shuffled)[1] >= 0.5).float().mean())}
    )
    note = mmsteer.bundled_directions("music")["note:C"].vectors[SITE]
    which, cosine = best_matches(note[None], middle)
    flow = feature_flow(dictionaries.values(), SITE, int(which[0, 0]))
    print(f"the feature most like note:C, cosine {float(cosine[0, 0]):.2f}:\n{flow.table()}\n")
    out.mkdir(parents=True, exist_ok=True)
    save_flow(flow, out / "flow.svg", f"The feature most like note C, {flow.start}")
    tables = {f"Features of {SITE}": rows, "Where they come from": [_origins(dictionaries)]}
    print(write_report("flow", tables, out)[1].read_text(), flush=True)
    steered = {"Steering along the flow": list(_steered(bench, flow, dictionaries))}
    print(write_report("flow", tables | steered, out)[1].read_text())


def _matched(dictionaries: Mapping[Site, SparseDictionary], middle: Tensor) -> Iterator[Row]:
    for site in FLOW_SITES:
        if site != SITE:
            cosines = best_matches(middle, dictionaries[site].decoder)[1]
            yield {
                "match with": str(site),
                "0.5 or more": float((cosines >= 0.5).float().mean()),
                "median cosine": float(cosines.median()),
            }


def _origins(dictionaries: Mapping[Site, SparseDictionary]) -> Row:
    middle = dictionaries[SITE].decoder
    sites = (Site("decoder", 2), Site("decoder", 3, "attention"), Site("decoder", 3, "mlp"))
    scores = torch.cat([best_matches(middle, dictionaries[site].decoder)[1] for site in sites], dim=1).tolist()
    named = [origin(*three) for three in scores]
    return {name: named.count(name) / len(named) for name in ("translated", "processed", "newborn", "unexplained")}


def _steered(bench: Bench, flow: Flow, dictionaries: Mapping[Site, SparseDictionary]) -> Iterator[Row]:
    used = {site: usage(dictionaries[site], bench.states[site].split(4096)) for site in dictionaries}
    directions = flow_directions(flow, dictionaries.values(), used)
    stream = {node: directions[node] for node in flow.stream}
    schedules: dict[str, tuple[dict[Node, Direction], LayerSchedule]] = {
        "one layer": ({flow.start: directions[flow.start]}, constant(0.1)),
        "flow, constant": (stream, constant(0.1)),
        "flow, exponential": (stream, exponential(0.1)),
        "flow, linear": (stream, linear(0.1, end=0.02)),
    }
    items = bench.items(100, 112)
    meter = music_meter(bench.adapter.sample_rate)
    context, column = bench.context, meter.names.index("note:C")
    rollouts = replace(bench.rollouts(items, "flow"), rows=len(items))
    plain = rollouts.read([Steering()])[0, :, column]
    for name, (chosen, schedule) in schedules.items():
        steering = Steering(activate(chosen, schedule))
        factor = mmsteer.calibrate(bench.adapter, steering, context, KL).factor
        change = (rollouts.read([steering.scaled(factor)])[0, :, column] - plain).nanmean()
        yield {
            "steered": name,
            "layers": len(chosen),
            "strength": 0.1 * factor,
            "change of the share of C": float(change),
        }


def main() -> None:
    """Run one of the three."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    runs = {"decompose": run_decompose, "effects": run_effects, "flow": run_flow}
    parser.add_argument("what", choices=runs)
    parser.add_argument("--out", type=Path, default=Path("runs/feature-methods"))
    chosen = parser.parse_args()
    runs[chosen.what](Bench(mmsteer.load("bundled:music")), chosen.out)


if __name__ == "__main__":
    main()
