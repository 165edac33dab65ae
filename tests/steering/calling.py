"""What the tests of the ways of calling a model share: models, prompts, and how far each token was pushed."""

from contextlib import contextmanager

import pytest
import torch

from mmsteer import hooks
from mmsteer.adapters import load
from mmsteer.schedules import parse_schedule
from mmsteer.steering import Attribute, Steering, steer
from mmsteer.types import Positions, Site
from tests.adapters.checkpoints import save
from tests.conftest import planted

IDS = torch.tensor([[9, 8, 7, 6, 5, 9, 8], [5, 6, 7, 8, 9, 5, 6]])
RAMP = "points(0steps:1, 40steps:41)"
"""Step s is pushed by 1 + s."""


@pytest.fixture(scope="session")
def language(tmp_path_factory):
    """A language model whose greedy output goes on, and says other things when it is pushed."""
    adapter = load(save("llama", tmp_path_factory.mktemp("llama")))
    adapter.model.generation_config.eos_token_id = None
    adapter.model.generation_config.pad_token_id = 0
    return adapter


def last(adapter):
    return max(site.layer for site in adapter.sites if site.stack == adapter.generator)


def one(adapter, schedule="constant(1)", strength=1.0, layers=None, positions="all", seed=4, **fields):
    found = planted(adapter, "concept", [last(adapter)] if layers is None else layers, seed=seed)
    return Steering((Attribute(found, strength, parse_schedule(schedule), Positions(positions), **fields),))


def strong(adapter, **fields):
    """What changes the tokens of an output."""
    return one(adapter, strength=6.0, layers=range(last(adapter) + 1), **fields)


TELLING = {"llama": 15, "llava": 40}
"""The seed, of sixty, whose pushes tell most apart: positions, schedules and strengths each give other tokens.

None of these is an image's, which the oldest transformers refuses in a text without that image.

A push of half the size, a step late or at other tokens is found out by it. Strong ones make all tokens the same.
"""


def telling(adapter, **fields):
    return one(adapter, strength=0.3, layers=[1], seed=TELLING[adapter.model.config.model_type], **fields)


def states(adapter, run):
    """The last block's state at every token of every forward, in order, as (forwards of) (rows, tokens, width)."""
    seen = []
    site = Site(adapter.generator, last(adapter))
    with hooks.readings({adapter.module(site): lambda state: seen.append(state.clone())}):
        run()
    return seen


def pushes(adapter, steering, run):
    """How far each forward was pushed, (rows, tokens): what a steered run has more than one that is steered by 0.

    A steering at the last block alone, of a run whose tokens do not depend on it.
    """
    vector = steering.attributes[0].direction.vectors[Site(adapter.generator, last(adapter))]
    before = states(adapter, run)
    with steer(adapter, steering):
        after = states(adapter, run)
    return [(one - other) @ vector for one, other in zip(after, before, strict=True)]


def first_row(found):
    """The pushes of the first row, forward by forward."""
    return [[round(float(push), 2) for push in forward[0]] for forward in found]


class Forced:
    """Always the same token."""

    def __call__(self, input_ids, scores):
        return torch.full_like(scores, -1e9).index_fill(1, torch.tensor([5]), 0.0)


SELECTED = {
    "all": lambda place, prompt: True,
    "last": lambda place, prompt: place == prompt - 1,
    "first": lambda place, prompt: place == 0,
    "generated": lambda place, prompt: place >= prompt,
    "generated | last": lambda place, prompt: place >= prompt - 1,
}


def by_hand(adapter, steering, ids, new, schedule=lambda step: 1.0, *, prompt=None, **inputs):
    """Greedy tokens of a plain loop without a cache, pushed by torch's own hooks: (rows, prompt + new)."""
    (item,) = steering.attributes
    prompt = prompt or ids.shape[1]
    selects = SELECTED[str(item.positions)]
    for _ in range(new):
        sizes = [
            item.strength * schedule(max(0, place - prompt + 1)) * selects(place, prompt)
            for place in range(ids.shape[1])
        ]
        amounts = torch.tensor(sizes)[None, :, None]
        with torch.no_grad(), pushed(adapter, item.direction, amounts):
            logits = adapter.model(input_ids=ids, use_cache=False, **inputs).logits
        ids = torch.cat([ids, logits[:, -1:].argmax(-1)], dim=1)
    return ids


@contextmanager
def pushed(adapter, direction, amounts):
    handles = []
    for site, vector in direction.vectors.items():

        def hook(module, args, output, vector=vector):
            state = hooks.hidden_state(output) + amounts * vector
            return (state, *output[1:]) if isinstance(output, tuple) else state

        handles.append(adapter.module(site).register_forward_hook(hook))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
