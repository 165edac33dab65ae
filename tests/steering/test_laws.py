"""The laws of steering on MusicGen, each measured at the last block, where an edit is seen as it was made."""

import copy

import numpy as np
import pytest
import torch
from transformers import DynamicCache, EncoderDecoderCache, LogitsProcessor, StaticCache

from mmsteer import hooks
from mmsteer.adapters.caches import cache_name
from mmsteer.errors import AdapterError, DirectionError, PositionsError, SteeringError
from mmsteer.schedules import Timeline, parse_schedule
from mmsteer.steering import Attribute, Steering, steer
from mmsteer.types import Port, Positions, Site
from tests.conftest import planted

STEPS = 24
LAST = 3


class Forced(LogitsProcessor):
    """Always the same token: what is generated does not depend on the steering."""

    def __call__(self, input_ids, scores):
        return torch.full_like(scores, -1e9).index_fill(1, torch.tensor([5]), 0.0)


def options(rows=2, **more):
    ids = torch.tensor([[3, 4, 6, 8, 1], [3, 5, 7, 8, 1], [3, 4, 7, 8, 1], [3, 5, 6, 8, 1]])[:rows]
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "max_new_tokens": STEPS + 3,
        "do_sample": False,
        "logits_processor": [Forced()],
        **more,
    }


def last_block(adapter, run):
    """What the last block returned, forward by forward."""
    seen = []
    site = Site(adapter.generator, LAST)
    with hooks.readings({adapter.module(site): lambda state: seen.append(state.clone())}):
        run()
    return seen


def pushes(adapter, steering, direction, **more):
    """How far each forward was pushed along a direction at the last block, (rows, tokens) a forward."""

    def run():
        adapter.model.generate(**copy.deepcopy(options(**more)))  # a cache must be empty again

    def steered():
        with steer(adapter, steering):
            seen.append(last_block(adapter, run))

    seen = []
    before = last_block(adapter, run)
    steered()
    vector = direction.vectors[Site(adapter.generator, LAST)]
    return [(after - plain) @ vector for after, plain in zip(seen[0], before, strict=True)]


def logits(adapter, steering=None, **more):
    def run():
        output = adapter.model.generate(**options(return_dict_in_generate=True, output_logits=True, **more))
        return torch.stack(output.logits)

    if steering is None:
        return run()
    with steer(adapter, steering):
        return run()


def of_sample(stack, row):
    """Logits of one of four samples, in both branches: (steps, branches, codebooks, vocabulary)."""
    return stack.view(len(stack), 2, 4, 4, -1)[:, :, row]


def one(adapter, schedule="constant(1)", strength=1.0, **fields):
    direction = planted(adapter, "note:C", [LAST])
    return Steering((Attribute(direction, strength, parse_schedule(schedule), **fields),)), direction


def test_strength_zero_is_bit_identical(musicgen):
    direction = planted(musicgen, "note:C", range(4))
    for operator in ("add", "rotate", "project_out"):
        steering = Steering((Attribute(direction, 0.0, operator=operator),))
        assert torch.equal(logits(musicgen, steering), logits(musicgen))
    off = Steering((Attribute(direction, 3.0, parse_schedule("constant(0)"), operator="clamp"),))
    assert torch.equal(logits(musicgen, off), logits(musicgen))
    assert not torch.equal(logits(musicgen, Steering((Attribute(direction, 1.0),))), logits(musicgen))


def test_rows_that_are_not_steered_are_bit_identical(musicgen):
    direction = planted(musicgen, "note:C", range(4))
    mixed = [Steering(), Steering((Attribute(direction, 1.0),)), Steering(), Steering((Attribute(direction, -1.0),))]
    after, before = logits(musicgen, mixed, rows=4), logits(musicgen, rows=4)
    for row, same in enumerate([True, False, True, False]):
        assert torch.equal(of_sample(after, row), of_sample(before, row)) == same


def test_different_rows_equal_single_runs(musicgen):
    directions = [planted(musicgen, f"note:{name}", range(4), seed) for seed, name in enumerate("ABCD")]
    steerings = [Steering((Attribute(one, 0.5 + place),)) for place, one in enumerate(directions)]
    together = logits(musicgen, steerings, rows=4)
    for row, steering in enumerate(steerings):
        alone = logits(musicgen, steering, rows=4)
        torch.testing.assert_close(of_sample(together, row), of_sample(alone, row), rtol=1e-4, atol=1e-5)


def test_clock_counts_output_steps_though_the_prefill_runs_twice(musicgen):
    steering, direction = one(musicgen, f"points(0steps:0, {STEPS}steps:{STEPS})")
    forwards = pushes(musicgen, steering, direction)
    assert len(forwards) == STEPS + 4  # one more than the tokens
    steps = [0, 0, *range(1, STEPS + 3)]
    for forward, step in zip(forwards, steps, strict=True):
        torch.testing.assert_close(forward, torch.full((4, 1), float(min(step, STEPS - 1))), atol=1e-4, rtol=0)


@pytest.mark.parametrize("cache", ["dynamic", "static", "none"])
def test_clock_is_the_same_with_any_cache(musicgen, cache):
    steering, direction = one(musicgen, f"points(0steps:1, {STEPS}steps:{STEPS + 1})")
    forwards = pushes(musicgen, steering, direction, **_cache(musicgen, cache))
    last = torch.stack([forward[:, -1] for forward in forwards[-9:-4]])
    # A static cache handed to MusicGen takes the start token twice (its generate runs the prefill twice), so the
    # model's own positions are one ahead of its output, and the clock with them.
    ahead = cache == "static"
    expected = torch.tensor([1.0 + step + ahead for step in range(STEPS - 6, STEPS - 1)])
    torch.testing.assert_close(last, expected[:, None].expand(-1, 4), atol=1e-4, rtol=0)


def _cache(adapter, kind):
    config = adapter.model.config.decoder
    make = {
        "static": lambda: {
            cache_name(adapter.model): EncoderDecoderCache(
                StaticCache(config=config, max_cache_len=64), DynamicCache(config=config)
            )
        },
        "dynamic": dict,
        "none": lambda: {"use_cache": False},
    }
    return make[kind]()


def test_clock_under_an_audio_prompt_is_the_time_of_the_output(musicgen):
    steering, direction = one(musicgen, f"points(0steps:0, {STEPS}steps:{STEPS})")
    prompt = 0.1 * torch.randn(2, 1, 1600)  # 5 frames
    forwards = pushes(musicgen, steering, direction, input_values=prompt)
    assert forwards[0].shape == (4, 6)
    torch.testing.assert_close(forwards[0][0], torch.arange(6.0), atol=1e-4, rtol=0)
    torch.testing.assert_close(forwards[2][0], torch.tensor([6.0]), atol=1e-4, rtol=0)


def test_positions_leave_an_audio_prompt_alone(musicgen):
    steering, direction = one(musicgen, positions=Positions("generated | last"))
    forwards = pushes(musicgen, steering, direction, input_values=0.1 * torch.randn(2, 1, 1600))
    torch.testing.assert_close(forwards[0][0], torch.tensor([0.0] * 5 + [1.0]), atol=1e-5, rtol=0)
    torch.testing.assert_close(forwards[5][0], torch.ones(1), atol=1e-5, rtol=0)


def test_a_start_token_that_is_the_whole_prompt_is_turned(musicgen):
    """It predicts the first frame; behind an audio prompt it predicts nothing new, and is left alone."""
    steering, direction = one(musicgen, operator="rotate")
    alone = pushes(musicgen, steering, direction)[0]
    behind = pushes(musicgen, steering, direction, input_values=0.1 * torch.randn(2, 1, 1600))[0]
    assert (alone != 0).all()
    assert (behind[:, 0] == 0).all()
    assert (behind[:, 1:] != 0).all()


def test_windows_in_seconds_are_half_open(musicgen):
    steering, direction = one(musicgen, positions=Positions("0.1..0.2s"))
    forwards = pushes(musicgen, steering, direction)[1:]
    assert [round(float(forward[0, 0]), 3) for forward in forwards] == [float(5 <= step < 10) for step in range(27)]


@pytest.mark.parametrize(
    ("branch", "expected"), [("both", [1, 1, 1, 1]), ("conditional", [1, 1, 0, 0]), ("null", [0, 0, 1, 1])]
)
def test_branches_of_guidance(musicgen, branch, expected):
    steering, direction = one(musicgen, branch=branch)
    for forward in pushes(musicgen, steering, direction):
        torch.testing.assert_close(forward[:, 0], torch.tensor(expected, dtype=torch.float32), atol=1e-5, rtol=0)


def test_without_guidance_there_is_one_branch(musicgen):
    steering, direction = one(musicgen, branch="conditional")
    forwards = pushes(musicgen, steering, direction, guidance_scale=1.0)
    assert forwards[3].shape == (2, 1)
    torch.testing.assert_close(forwards[3], torch.ones(2, 1), atol=1e-5, rtol=0)


def test_effect_on_logits_follows_the_guidance_formula(musicgen):
    """Both branches give du + s (dc - du), one alone s dc or (1 - s) du: music theory of guidance, by hand."""

    def guided(branch):
        steering, _ = one(musicgen, branch=branch)
        conditional, null = logits(musicgen, steering)[0].chunk(2)
        return null + 3 * (conditional - null)

    conditional, null = logits(musicgen)[0].chunk(2)
    plain = null + 3 * (conditional - null)
    both, cond, uncond = (guided(branch) - plain for branch in ("both", "conditional", "null"))
    torch.testing.assert_close(both, cond + uncond, atol=1e-4, rtol=0)
    assert cond.norm() > uncond.norm()  # 3 against |1 - 3| times shifts of equal size


def test_gates_fire_for_all_layers_together_and_the_clock_runs_on(musicgen):
    steering, direction = one(musicgen, f"points(0steps:1, {STEPS}steps:{STEPS + 1}) * bernoulli(0.3, 7)")
    forwards = pushes(musicgen, steering, direction)[1:]
    gate = parse_schedule("bernoulli(0.3, 7)").values(Timeline(STEPS, 50.0))[0]
    assert 0 < gate.sum() < STEPS
    for step in range(STEPS):
        assert float(forwards[step][0, 0]) == pytest.approx(gate[step] * (step + 1), abs=1e-4)


def test_gates_per_layer_differ_between_layers(musicgen):
    direction = planted(musicgen, "note:C", range(4))
    steering = Steering((Attribute(direction, 1.0, parse_schedule("bernoulli(0.5, 7, layer)")),))
    gates = parse_schedule("bernoulli(0.5, 7, layer)").values(Timeline(STEPS, 50.0, range(4)))
    assert len(np.unique(gates, axis=0)) == 4
    with steer(musicgen, steering) as session:
        musicgen.model.generate(**options())
    measured = session.receipt().sites
    assert set(measured) == {f"decoder.{layer}" for layer in range(4) if gates[layer][[0, 1, 2, 4, 8, 16]].any()}


def test_several_sites_and_attributes_add_up(musicgen):
    first, second = planted(musicgen, "note:C", [LAST], 1), planted(musicgen, "register:high", [LAST], 2)
    steering = Steering((Attribute(first, 1.0), Attribute(second, 2.0, unit="absolute")))
    along = pushes(musicgen, steering, first)[4]
    vector = first.vectors[Site("decoder", LAST)]
    expected = 1.0 + 2.0 * float(vector @ second.vectors[Site("decoder", LAST)])
    torch.testing.assert_close(along, torch.full((4, 1), expected), atol=1e-4, rtol=0)


def test_relative_strength_is_in_residual_norms(musicgen):
    direction = planted(musicgen, "note:C", [LAST], norm=8.0)
    along = pushes(musicgen, Steering((Attribute(direction, 0.25),)), direction)[4]
    torch.testing.assert_close(along, torch.full((4, 1), 2.0), atol=1e-4, rtol=0)


def test_hooks_are_gone_after_an_exception(musicgen):
    class Trip(Exception):
        pass

    class Tripping(LogitsProcessor):
        def __call__(self, input_ids, scores):
            raise Trip

    steering, _ = one(musicgen)
    before = logits(musicgen)
    with pytest.raises(Trip), steer(musicgen, steering):
        musicgen.model.generate(**options(logits_processor=[Tripping()]))
    assert torch.equal(logits(musicgen), before)
    assert "generate" not in vars(musicgen.model)
    modules = list(musicgen.model.modules())
    ours = [hook for module in modules for hook in module._forward_hooks.values() if "mmsteer" in hook.__module__]
    assert not ours
    assert not any("mmsteer" in hook.__module__ for module in modules for hook in module._forward_pre_hooks.values())


def test_two_models_do_not_interact(musicgen, stereo):
    steering, _ = one(musicgen)
    with steer(musicgen, steering):
        free = stereo.model.generate(**options())
        musicgen.canary()
    assert torch.equal(free, stereo.model.generate(**options()))


def test_state_dict_is_unchanged(musicgen):
    steering, _ = one(musicgen)
    names = set(musicgen.model.state_dict())
    with steer(musicgen, steering):
        assert set(musicgen.model.state_dict()) == names
        musicgen.canary()


def test_the_canary_finds_sites_that_do_not_reach_the_output(musicgen, monkeypatch):
    steering, _ = one(musicgen)
    monkeypatch.setattr(musicgen, "port", lambda site: Port(musicgen.model.text_encoder.encoder.block[0]))
    with pytest.raises(SteeringError, match=r"did not run the modules of decoder\.3"), steer(musicgen, steering):
        pass


def test_refusals(musicgen, stereo):
    steering, _ = one(musicgen)
    with pytest.raises(DirectionError, match="found in model"), steer(stereo, steering):
        pass
    with pytest.raises(AdapterError, match="num_return_sequences"), steer(musicgen, steering):
        musicgen.model.generate(**options(num_return_sequences=2, do_sample=True))
    with pytest.raises(AdapterError, match="make no audio"), steer(musicgen, steering):
        musicgen.model.generate(**options(max_new_tokens=5))
    with pytest.raises(SteeringError, match="steering is for 3 samples"), steer(musicgen, [steering] * 3):
        musicgen.model.generate(**options(rows=2))
    with pytest.raises(SteeringError, match="for 2 samples, generate was given 4"), steer(musicgen, [steering] * 2):
        musicgen.model.generate(**options(rows=4))
    empty, _ = one(musicgen, positions=Positions("image"))
    with pytest.raises(PositionsError, match="select none"), steer(musicgen, empty):
        musicgen.model.generate(**options())
    with pytest.raises(SteeringError, match="no steering"), steer(musicgen, []):
        pass


def test_a_fraction_of_the_output_needs_its_length(musicgen):
    steering, direction = one(musicgen, "window(0%..50%)")
    forwards = pushes(musicgen, steering, direction)[1:]
    assert [round(float(forward[0, 0]), 3) for forward in forwards[:STEPS]] == [1.0] * 12 + [0.0] * 12
    with pytest.raises(SteeringError, match="depends on the length"), steer(musicgen, steering):
        musicgen.canary()


def test_melody_prefix_is_left_alone(melody):
    steering, direction = one(melody, f"points(0steps:1, {STEPS}steps:{STEPS + 1})")
    forwards = pushes(melody, steering, direction)
    prefix = 7 + 5
    expected = torch.tensor([0.0] * prefix + [1.0])
    torch.testing.assert_close(forwards[0], expected.expand(4, -1), atol=1e-4, rtol=0)
    torch.testing.assert_close(forwards[-1], torch.full((4, 1), float(STEPS)), atol=1e-4, rtol=0)


def test_stereo_counts_the_same_time(stereo):
    steering, direction = one(stereo, f"points(0steps:1, {STEPS}steps:{STEPS + 1})")
    forwards = pushes(stereo, steering, direction)
    assert len(forwards) == STEPS + 4
    torch.testing.assert_close(forwards[10], torch.full((4, 1), 10.0), atol=1e-4, rtol=0)


def test_receipt_counts_what_was_applied(musicgen):
    direction = planted(musicgen, "note:C", [1, 2])
    steering = Steering((Attribute(direction, 0.5, parse_schedule("window(0s..0.2s)"), unit="absolute"),))
    with steer(musicgen, steering) as session:
        musicgen.model.generate(**options())
        musicgen.model.generate(**options())
    receipt = session.receipt()
    assert (receipt.calls, receipt.rows, receipt.steps) == (2, 8, 2 * (STEPS + 3))
    assert receipt.tokens == 2 * 4 * 10
    assert set(receipt.sites) == {"decoder.1", "decoder.2"}


def test_receipt_ratio_is_the_norm_of_the_change_over_the_norm_of_the_state(musicgen):
    direction = planted(musicgen, "note:C", [LAST])
    site = Site("decoder", LAST)
    norms = [state.norm(dim=-1) for state in last_block(musicgen, lambda: musicgen.model.generate(**options()))]
    # Every step counts, against the norm at the step that was measured last: 1, 2, 4, 8 or 16.
    last = [1 << (step.bit_length() - 1) for step in range(1, STEPS + 3)]
    ratios = 0.5 / torch.stack([norms[forward] for forward in (0, *(step + 1 for step in last))])
    with steer(musicgen, Steering((Attribute(direction, 0.5, unit="absolute"),))) as session:
        musicgen.model.generate(**options())
    receipt = session.receipt().sites[str(site)]
    assert receipt.moments == 7
    assert not receipt.sampled
    assert receipt.ratios.count == ratios.numel()
    assert receipt.ratio == pytest.approx(float(ratios.mean()), rel=1e-4)
    assert receipt.peak == pytest.approx(float(ratios.max()), rel=1e-4)
    assert receipt.ratios.median == pytest.approx(float(ratios.median()), rel=0.006)


def test_readings_see_what_the_next_layer_sees(musicgen):
    steering, _ = one(musicgen)
    with steer(musicgen, steering):
        seen, inputs = [], []
        norm = musicgen.stack("decoder").layer_norm
        handle = norm.register_forward_pre_hook(lambda module, args: inputs.append(args[0].clone()))
        seen = last_block(musicgen, lambda: musicgen.model.generate(**options()))
        handle.remove()
    assert all(torch.equal(one, other) for one, other in zip(seen, inputs, strict=True))
