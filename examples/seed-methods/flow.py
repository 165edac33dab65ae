"""Features followed through layers by their decoder rows, removed and added (Laptev et al. 2025, arXiv:2502.03032)."""

from collections.abc import Callable, Mapping, Sequence

import torch
from shared import SEED, Result, Study, json_of, means
from torch import Tensor

from mmsteer.calibrate import calibrate
from mmsteer.errors import SteeringError
from mmsteer.latents.effect_meters import feature_meter
from mmsteer.latents.flow_steering import activate, constant, deactivate, flow_directions
from mmsteer.latents.score_study import draw_features
from mmsteer.latents.token_states import layer_states
from mmsteer.latents.trials import sampled
from mmsteer.sae import SparseDictionary, Usage
from mmsteer.sae.flow import Node, best_matches, feature_flow
from mmsteer.steering import Steering, steer
from mmsteer.types import Positions, Sample, Sampling, mean_score

LAYERS = ("text.12", "text.13", "text.14", "text.15", "text.16")
BATCH, CANDIDATES, EVERY = 16, 4, Positions("all")
KL = 0.3


def run(study: Study) -> Result:
    """How often features of the last layer end when what flows into them is removed, and what adding flows does."""
    bound = study.at(*LAYERS)
    texts = study.texts(study.some(128, 8), 40)
    peaks = _Peaks(study, bound, texts)
    targets = peaks.targets(study.some(120, 3))
    return {
        "features": len(targets),
        "removed in the layer before": _removed(study, bound, peaks, targets),
        "removed in several layers": _several(study, bound, peaks, targets),
        "added": _added(study, bound, targets),
    }


class _Peaks:
    """Activations of every dictionary at every token of some texts, and where features of the last layer peak."""

    def __init__(self, study: Study, bound: Sequence[tuple[SparseDictionary, Usage]], texts: Sequence[Sample]) -> None:
        sites = [one.located(study.adapter) for one, _ in bound]
        self.study, self.bound, self.texts = study, bound, texts
        self.z = [
            [dictionary.encode(one.states[one.chosen(EVERY)]) for one, (dictionary, _) in zip(read, bound, strict=True)]
            for read in layer_states(study.adapter, texts, sites)
        ]
        self.top = torch.stack([z[-1][1:].amax(dim=0) for z in self.z])

    def side(self, validation: bool) -> Tensor:
        """The text in which each feature peaks, among those to choose by or those to test on."""
        places = torch.arange(len(self.texts))
        chosen = places[places % 2 == (0 if validation else 1)]
        return chosen[self.top[chosen].argmax(dim=0)]

    def targets(self, count: int) -> list[int]:
        """Features of the last layer that are active in texts of both sides."""
        both = [self.top[self.side(side), torch.arange(self.top.shape[1])] > 0 for side in (True, False)]
        alive = torch.nonzero(both[0] & both[1]).flatten().tolist()
        drawn = draw_features(self.bound[-1][1], 10**6, SEED)
        known = [one for one in alive if one in set(drawn)]
        order = torch.randperm(len(known), generator=torch.Generator().manual_seed(SEED))
        return [known[at] for at in order[:count].tolist()]

    def left(self, targets: Sequence[int], steerings: Sequence[Steering], *, validation: bool) -> list[float]:
        """The share of each target's activation that is left over the tokens of its text in which it is active."""
        places = self.side(validation)[torch.tensor(targets)].tolist()
        site, dictionary = self.bound[-1][0].located(self.study.adapter), self.bound[-1][0]
        texts = [self.texts[at] for at in places]
        read = layer_states(self.study.adapter, texts, [site], batch=BATCH, steerings=steerings)
        after = [
            dictionary.encode(one.states[one.chosen(EVERY)])[1:, target]
            for [one], target in zip(read, targets, strict=True)
        ]
        before = [self.z[at][-1][1:, target] for at, target in zip(places, targets, strict=True)]
        return [float((a * (b > 0)).sum() / b.sum()) for a, b in zip(after, before, strict=True)]

    def active(self, target: int, layer: int, seed: int, *, without: int) -> list[int]:
        """Random features of a layer that are active where the target peaks, in the text to choose by."""
        at = int(self.side(True)[target])
        token = int(self.z[at][-1][1:, target].argmax()) + 1
        known = [one for one in torch.nonzero(self.z[at][layer][token]).flatten().tolist() if one != without]
        order = torch.randperm(len(known), generator=torch.Generator().manual_seed(seed))
        return [known[place] for place in order[:CANDIDATES].tolist()]


def _removal(bound: Sequence[tuple[SparseDictionary, Usage]], nodes: Sequence[Node], rest: float = 0.0) -> Steering:
    """Steering that leaves a share of some features."""
    flow = _Nodes(nodes)
    directions = flow_directions(flow, [one for one, _ in bound], {one.site: used for one, used in bound if one.site})
    return Steering(deactivate(directions, constant(rest)))


class _Nodes:
    """Features to steer, where they were not followed as a flow."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes, self.start = {one: 1.0 for one in nodes}, nodes[0]


def _removed(
    study: Study, bound: Sequence[tuple[SparseDictionary, Usage]], peaks: _Peaks, targets: Sequence[int]
) -> Result:
    """The best match in the layer before, beside the best of random features that are active with the target."""
    (before, _), (last, _) = bound[-2:]
    site, layer = before.located(study.adapter), len(bound) - 2
    found, cosine = best_matches(last.decoder[list(targets)], before.decoder)
    matches = found[:, 0].tolist()
    beside = [peaks.active(one, layer, SEED + one, without=match) for one, match in zip(targets, matches, strict=True)]
    kept = [at for at, some in enumerate(beside) if some]
    targets, matches = [targets[at] for at in kept], [matches[at] for at in kept]
    beside, cosines = [beside[at] for at in kept], cosine[kept, 0]
    padded = [[some[turn % len(some)] for some in beside] for turn in range(CANDIDATES)]

    def removed(features: Sequence[int], validation: bool) -> list[float]:
        pushes = [_removal(bound, [Node(site, one)]) for one in features]
        return [1 - one for one in peaks.left(targets, pushes, validation=validation)]

    tried = [removed(some, True) for some in padded]
    best = [max(range(CANDIDATES), key=lambda turn: tried[turn][at]) for at in range(len(targets))]
    drawn = torch.randint(before.features, (len(targets),), generator=torch.Generator().manual_seed(SEED)).tolist()
    change = {
        "best match": removed(matches, False),
        f"best of {CANDIDATES} active beside it": removed([padded[turn][at] for at, turn in enumerate(best)], False),
        "active beside it": removed(padded[0], False),
        "any other feature": removed(drawn, False),
    }
    ended = {name: [float(one > 0.5) for one in some] for name, some in change.items()}
    near = [float(one) for one, cosine in zip(change["best match"], cosines, strict=True) if cosine >= 0.5]
    return {
        "mean change": means(change, "best match"),
        "halved": means(ended, "best match"),
        "mean change where the cosine is .5 or more": json_of(mean_score(near)),
    }


def _several(
    study: Study, bound: Sequence[tuple[SparseDictionary, Usage]], peaks: _Peaks, targets: Sequence[int]
) -> Result:
    """Flows of three layers or more that end in the target: half of them taken away in one layer, or in each."""
    dictionaries = [one for one, _ in bound]
    flows = {}
    for target in targets:
        nodes = feature_flow(dictionaries, bound[-1][0].located(study.adapter), target).stream[:-1]
        if len(nodes) >= min(3, len(bound) - 1):
            flows[target] = nodes
    if not flows:
        return {"flows": 0}
    names, found = list(flows), {}
    for rest in (0.5, 0.0):
        chosen: Mapping[str, Callable[[Sequence[Node]], Sequence[Node]]] = {
            "all layers": lambda nodes: nodes,
            "last layer alone": lambda nodes: nodes[-1:],
            "first layer alone": lambda nodes: nodes[:1],
        }
        change = {
            name: [
                1 - one
                for one in peaks.left(
                    names, [_removal(bound, take(flows[one]), rest) for one in names], validation=False
                )
            ]
            for name, take in chosen.items()
        }
        found[f"{rest:g} left"] = means(change, "all layers")
    return {"flows": len(flows), "mean length": sum(map(len, flows.values())) / len(flows), **found}


def _added(study: Study, bound: Sequence[tuple[SparseDictionary, Usage]], targets: Sequence[int]) -> Result:
    """What a flow, its last feature alone and a random flow add to the last feature when the output is read again."""
    dictionaries, used = [one for one, _ in bound], {one.site: used for one, used in bound if one.site}
    last = bound[-1][0].located(study.adapter)
    flows = [
        flow for one in targets if len((flow := feature_flow(dictionaries, last, one)).stream) >= min(4, len(bound))
    ]
    flows = flows[: study.some(24, 1)]
    prompts = [row.sample(study.adapter) for row in study.rows("openings.jsonl")[: study.some(4, 1)]]
    make = sampled(study.adapter, Sampling(study.some(24, 4), temperature=0.8, top_k=50), seed=SEED)
    meter = feature_meter(study.adapter, bound[-1][0])
    contexts = make(prompts)
    plain = meter.read(prompts, [one.output for one in contexts]).mean(dim=0)
    kinds: dict[str, list[float | None]] = {
        "flow": [],
        "last layer alone": [],
        "first layer alone": [],
        "another flow": [],
    }
    for at, flow in enumerate(flows):
        directions = flow_directions(flow, dictionaries, used)
        stream = [(node, directions[node]) for node in flow.stream]
        other = flows[(at + 1) % len(flows)]
        away = flow_directions(other, dictionaries, used)
        given = (stream, stream[-1:], stream[:1], [(node, away[node]) for node in other.stream])
        column = flow.start.feature
        for some, values in zip(given, kinds.values(), strict=True):
            steering = Steering(activate(dict(some), constant(0.1)))
            try:
                dose = calibrate(study.adapter, steering, contexts, KL, quantile=0.5, tolerance=0.1)
            except SteeringError:
                values.append(None)
                continue
            with steer(study.adapter, steering.scaled(dose.factor)):
                outputs = [one.output for one in make(prompts)]
            read = meter.read(prompts, outputs).mean(dim=0)
            scale = float(bound[-1][1].maximum[column])
            values.append(float(read[column] - plain[column]) / scale)
    return {"flows": len(flows), "share of the feature's maximum": means(kinds, "flow")}
