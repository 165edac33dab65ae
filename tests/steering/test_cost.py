"""What steering adds to a step of decoding: counted operators, which no machine changes."""

import gc
from collections import Counter
from functools import partial

import pytest
import torch
from torch._dynamo.utils import counters
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import CompileConfig

from mmsteer.adapters import load
from mmsteer.schedules import parse_schedule
from mmsteer.steering import Attribute, Steering, steer
from mmsteer.steering import driver as drivers
from tests.adapters.checkpoints import save
from tests.conftest import planted
from tests.steering.causal import CausalAdapter
from tests.steering.seeing import direction, llava, samples
from tests.steering.seeing import steering as steering_of

__all__ = ["llava"]

LAYERS = 4
STEPS = 3
"""Counted: 9, 10 and 11, of which the meter measures none."""


class Operators(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.counts[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


@pytest.fixture
def adapter(llama):
    adapter = CausalAdapter(llama)
    return adapter


def generate(adapter, tokens, **more):
    ids = torch.tensor([[3, 4, 5, 6], [9, 8, 7, 6]])
    options = {"max_new_tokens": tokens, "min_new_tokens": tokens, "do_sample": False, "pad_token_id": 0, **more}
    return adapter.model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **options)


def compiled():
    """Options that make decoding one graph, or fail."""
    torch.compiler.reset()
    counters.clear()
    config = CompileConfig(backend="eager", mode=None, fullgraph=True)
    config._compile_all_devices = True
    return {"cache_implementation": "static", "compile_config": config}


def steps(run):
    """The operators of the counted steps of a run of so many tokens."""
    found = []
    for tokens in (9, 9 + STEPS):
        with Operators() as operators:
            run(tokens)
        found.append(operators.counts)
    return found[1] - found[0]


def added(adapter, steerings):
    run = partial(generate, adapter)
    plain = steps(run)
    with steer(adapter, steerings):
        return dict(steps(run) - plain)


def steering(adapter, attributes=1, seed=4, schedule="constant(1)", strength=0.5):
    found = [planted(adapter, f"concept:{one}", range(LAYERS), seed=seed + one) for one in range(attributes)]
    return Steering(tuple(Attribute(one, strength, parse_schedule(schedule)) for one in found))


def test_a_step_costs_one_addition_a_layer_whatever_is_steered(adapter):
    only = {"add": LAYERS * STEPS}
    assert added(adapter, steering(adapter)) == only
    assert added(adapter, steering(adapter, attributes=8)) == only
    assert added(adapter, [steering(adapter, attributes=8), steering(adapter, seed=50)]) == only


def test_a_coefficient_that_changes_costs_one_view_for_all_layers(adapter):
    ramp = "points(0steps:0.5, 64steps:1)"
    found = added(adapter, [steering(adapter, 8, schedule=ramp), steering(adapter, 3, seed=50)])
    assert found.pop("add") == LAYERS * STEPS
    assert found == {"split_with_sizes": STEPS}


def test_a_prompt_costs_three_operators_a_layer(adapter):
    """What is added, its addition, and the norm of the state, which relative strength needs."""
    counted = []
    for layers in (1, LAYERS):
        found = planted(adapter, "concept", range(layers))
        with steer(adapter, Steering((Attribute(found, 0.5),))):
            for _ in range(2):  # the plan is made, and the first books
                adapter.model(input_ids=torch.tensor([[9, 8, 7, 6]]))
            with Operators() as operators:
                adapter.model(input_ids=torch.tensor([[3, 4, 5, 6]]))
        counted.append(operators.counts)
    views = {"detach", "select"}
    more = {name: count for name, count in (counted[1] - counted[0]).items() if name not in views}
    assert more == dict.fromkeys(["mul", "add", "linalg_vector_norm"], LAYERS - 1)


def test_an_unsteered_step_after_steering_costs_nothing(adapter):
    run = partial(generate, adapter)
    before = steps(run)
    with steer(adapter, steering(adapter)):
        run(4)
    assert steps(run) == before


def test_compiled_decoding_is_one_graph_with_the_edits_inside(adapter):
    options = compiled()
    ramp = steering(adapter, 2, schedule="points(0steps:0.5, 64steps:1)", strength=2.0)
    with steer(adapter, ramp):
        eager = generate(adapter, 12)
        for _ in range(2):
            assert torch.equal(generate(adapter, 12, **options), eager)
            assert counters["stats"]["unique_graphs"] == 1
    assert not counters["graph_break"]


def seen(llava, tokens=12, **more):
    arguments = llava.reading(samples(2)).arguments
    inputs = {name: value for name, value in arguments.items() if name != "position_ids"}
    inputs |= {"max_new_tokens": tokens, "min_new_tokens": tokens, "do_sample": False, "pad_token_id": 0}
    return llava.model.generate(**inputs, **more)


def test_a_vision_language_model_is_one_graph_too(llava):
    plain, options = seen(llava), compiled()
    with steer(llava, steering_of(direction(llava, ["text.0", "text.2"]), 4.0)):
        eager = seen(llava)
        for _ in range(2):
            assert torch.equal(seen(llava, **options), eager)
            assert counters["stats"]["unique_graphs"] == 1
    assert not torch.equal(plain, eager)
    assert not counters["graph_break"]


def test_a_forward_that_the_user_compiled_is_steered_without_a_break(tmp_path):
    adapter = load(save("llama", tmp_path))
    one = steering_of(direction(adapter, ["text.0", "text.2"]), 4.0)
    with steer(adapter, one):
        eager = generate(adapter, 12)
    compiled()
    adapter.model.forward = torch.compile(adapter.model.forward, backend="eager", fullgraph=True)
    with steer(adapter, one):
        assert torch.equal(generate(adapter, 12, cache_implementation="static"), eager)
    assert not counters["graph_break"]


def test_attention_costs_one_addition_too(llava):
    run = partial(seen, llava)
    plain = steps(run)
    with steer(llava, steering_of(direction(llava, ["text.0.attention", "text.1.attention"]))):
        assert dict(steps(run) - plain) == {"add": 2 * STEPS}


def test_only_usual_steps_on_one_device_skip_what_others_need(adapter):
    def usual(patch, devices=()):
        with steer(adapter, steering(adapter)) as session:
            (driver,) = session._drivers.values()
            found, step = [], driver._step

            def noting(forward):
                for device in devices:
                    driver._plan.vectors(device)
                step(forward)
                found.append(driver._usual)

            patch.setattr(driver, "_step", noting)
            generate(adapter, 8)
        return found

    with pytest.MonkeyPatch.context() as patch:
        # Steps 1, 2 and 4 are measured.
        assert usual(patch) == [None, None, 3, None, 5, 6, 7]
        assert usual(patch, [torch.device("meta")]) == [None] * 7


def test_calls_of_one_length_share_a_plan(adapter, monkeypatch):
    plans = []
    compiled = drivers.compile_plan
    monkeypatch.setattr(drivers, "compile_plan", lambda *words: plans.append(words) or compiled(*words))
    with steer(adapter, steering(adapter, schedule="points(0steps:1, 40steps:41)")):
        plans.clear()
        made = [generate(adapter, length) for length in (8, 8, 5)]
    assert [timeline.steps for _, _, timeline, _ in plans] == [8, 5]
    assert torch.equal(made[0], made[1])
    assert torch.equal(made[2], made[0][:, : made[2].shape[1]])


def test_a_session_of_many_short_calls_keeps_no_more_than_one_of_few(adapter):
    def kept(calls):
        for _ in range(calls):
            generate(adapter, 2)
        gc.collect()
        return sum(type(one) is torch.Tensor for one in gc.get_objects())

    with steer(adapter, steering(adapter)):
        few, many = kept(80), kept(160)
    # What waits to be counted, at each layer, and not two tensors for each of its calls.
    assert many - few <= 2 * 64 * LAYERS
