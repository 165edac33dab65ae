"""Beams, return sequences, left padding, static caches and compiled decoding, on a plain language model."""

import pytest
import torch
from transformers import CompileConfig

from mmsteer import hooks
from mmsteer.adapters.caches import cache_name
from mmsteer.errors import SteeringError
from mmsteer.schedules import parse_schedule
from mmsteer.steering import Attribute, Steering, steer
from mmsteer.types import Positions, Site
from tests.conftest import planted
from tests.steering.causal import CausalAdapter

NEW = 12


@pytest.fixture
def adapter(llama):
    torch.compiler.reset()
    adapter = CausalAdapter(llama)
    return adapter


def generate(adapter, ids=None, **more):
    ids = torch.tensor([[3, 4, 5, 6], [9, 8, 7, 6]]) if ids is None else ids
    mask = (ids != 0).long()
    options = {"max_new_tokens": NEW, "do_sample": False, "pad_token_id": 0, **more}
    return adapter.model.generate(input_ids=ids, attention_mask=mask, **options)


def steering(adapter, schedule="constant(1)", strength=2.0, layers=range(4), **fields):
    direction = planted(adapter, "concept", layers, seed=4)
    return Steering((Attribute(direction, strength, parse_schedule(schedule), **fields),))


def test_beams_of_a_sample_share_its_steering(adapter):
    plain = generate(adapter, num_beams=3)
    with steer(adapter, [Steering(), steering(adapter)]):
        steered = generate(adapter, num_beams=3)
    assert torch.equal(steered[0], plain[0])
    assert not torch.equal(steered[1], plain[1])


def test_return_sequences_of_a_sample_share_its_steering(adapter):
    options = {"num_return_sequences": 3, "do_sample": True}
    torch.manual_seed(0)
    plain = generate(adapter, **options)
    with steer(adapter, [Steering(), steering(adapter)]):
        torch.manual_seed(0)
        steered = generate(adapter, **options)
    assert torch.equal(steered[:3], plain[:3])
    assert not torch.equal(steered[3:], plain[3:])


def test_left_padding_does_not_move_the_clock(adapter):
    ids = torch.tensor([[0, 0, 5, 6], [9, 8, 7, 6]])
    site = Site("text", 3)
    one = steering(adapter, "points(0steps:1, 20steps:21)", 1.0, [3])
    vector = one.attributes[0].direction.vectors[site]
    seen = []
    with hooks.readings({adapter.port(site): lambda state: seen.append(state.clone())}):
        generate(adapter, ids, max_new_tokens=1)
        with steer(adapter, one):
            seen.clear()
            generate(adapter, ids, max_new_tokens=1)
            steered = seen[-1]
        seen.clear()
        generate(adapter, ids, max_new_tokens=1)
    along = (steered - seen[-1]) @ vector
    torch.testing.assert_close(along, torch.tensor([[0.0, 0, 1, 1], [1, 1, 1, 1]]), atol=1e-4, rtol=0)


def test_the_last_prompt_token_alone(adapter):
    with steer(adapter, steering(adapter, positions=Positions("last"))) as session:
        generate(adapter)
    assert session.receipt().tokens == 2


def compiled(adapter, **more):
    config = CompileConfig(backend="eager", mode=None)
    config._compile_all_devices = True
    return generate(adapter, cache_implementation="static", compile_config=config, **more)


def test_compiled_decoding_is_steered_as_eager_decoding_is(adapter):
    plain = generate(adapter)
    with steer(adapter, steering(adapter)):
        eager = generate(adapter)
    assert not torch.equal(plain, eager)
    with steer(adapter, steering(adapter)) as session:
        assert torch.equal(compiled(adapter), eager)
    assert session.receipt().steps == NEW


def test_rows_and_schedules_change_without_a_new_graph(adapter):
    schedules = ["constant(1)", "window(0steps..6steps)", "constant(0)"]
    expected = []
    for schedule in schedules:
        with steer(adapter, steering(adapter, schedule)):
            expected.append(generate(adapter))
    for schedule, eager in zip(schedules, expected, strict=True):
        torch.compiler.reset()
        with steer(adapter, steering(adapter, schedule)):
            assert torch.equal(compiled(adapter), eager)


@pytest.mark.parametrize("clock", ["inside", "outside"])
def test_what_generate_compiled_before_steering_is_compiled_again(adapter, monkeypatch, clock):
    # torch.compile leaves the hooks of the outermost module outside the graph.
    if clock == "outside":
        monkeypatch.setattr(adapter, "stack", lambda _: adapter.model)
    with steer(adapter, steering(adapter)):
        eager = generate(adapter)
    plain = compiled(adapter)
    with steer(adapter, steering(adapter)):
        assert torch.equal(compiled(adapter), eager)
    assert torch.equal(compiled(adapter), plain)


def test_the_users_own_loop(adapter):
    ids, name = torch.tensor([[3, 4, 5, 6]]), cache_name(adapter.model)
    with steer(adapter, steering(adapter)) as session, torch.no_grad():
        output = adapter.model(input_ids=ids, use_cache=True)
        for _ in range(NEW - 1):
            ids = output.logits[:, -1:].argmax(-1)
            output = adapter.model(input_ids=ids, use_cache=True, **{name: output[name]})
    receipt = session.receipt()
    assert (receipt.calls, receipt.steps, receipt.tokens) == (1, NEW, 4 + NEW - 1)


def test_a_refused_call_is_in_no_book_and_stops_no_later_one(adapter):
    three = torch.tensor([[3, 4, 5, 6], [9, 8, 7, 6], [5, 4, 3, 7]])
    with steer(adapter, [steering(adapter), Steering()]) as session:
        for calls in (1, 2):
            with pytest.raises(SteeringError, match="steering is for 2 samples"):
                generate(adapter, three)
            generate(adapter)
            assert session.receipt().calls == calls
    assert session.receipt().rows == 4


def test_a_clock_that_does_not_tick_is_found_out(adapter, monkeypatch):
    monkeypatch.setattr(adapter, "stack", lambda _: torch.nn.Linear(1, 1))
    with pytest.raises(SteeringError, match="did not run the module that is the clock of text"):
        with steer(adapter, steering(adapter)):
            pass
