"""The laws of steering where several stacks make the output: text, vision tower and projector of a LLaVA."""

import copy

import pytest
import torch
from torch import nn

from mmsteer import hooks
from mmsteer.errors import DirectionError, SteeringError
from mmsteer.schedules import parse_schedule
from mmsteer.steering import Gate, Steering, steer
from mmsteer.types import Positions, Sample, Sampling, Site
from tests.steering.seeing import TOKENS, direction, llava, logits, samples, states, steering

__all__ = ["llava"]

SITES = ["vision.0", "vision.2", "vision.2.mlp", "vision.1.attention", "projector.0", "text.0", "text.2.mlp"]


@pytest.mark.parametrize("site", SITES)
def test_every_kind_of_site_reaches_the_output(llava, site):
    plain = logits(llava)
    with steer(llava, steering(direction(llava, [site]))):
        assert not torch.equal(logits(llava), plain)
    assert torch.equal(logits(llava), plain)


@pytest.mark.parametrize("operator", ["add", "rotate", "project_out"])
@pytest.mark.parametrize("unit", ["relative", "token"])
@pytest.mark.parametrize("gated", [False, True])
def test_strength_zero_is_bit_identical(llava, operator, unit, gated):
    plain = logits(llava)
    for sites, tokens in ((SITES, None), (["vision.0", "vision.2.mlp"], TOKENS)):
        one = direction(llava, sites, tokens=tokens)
        gate = Gate(one, 0.0) if gated else None
        with steer(llava, steering(one, 0.0, operator=operator, unit=unit, gate=gate)):
            assert torch.equal(logits(llava), plain)


def test_sites_that_the_model_does_not_read_are_refused_by_name(llava):
    """LLaVA reads the layer before the last: the last of four is silence, whatever is added there."""
    dead = direction(llava, ["vision.1", "vision.3.mlp", "vision.3"])
    with pytest.raises(SteeringError, match=r"at vision\.3\.mlp, vision\.3 did not change"):
        with steer(llava, steering(dead)):
            pass
    with steer(llava, steering(dead, sites="vision.1")):
        logits(llava)


def test_attributes_of_several_stacks_have_each_their_own_width(llava):
    both = direction(llava, ["vision.1", "text.1"], norm=3.0)
    with steer(llava, steering(both)) as session:
        after = states(llava, "vision.1", lambda: logits(llava))[0]
    before = states(llava, "vision.1", lambda: logits(llava))[0]
    torch.testing.assert_close((after - before) @ both.vectors[Site("vision", 1)], torch.full((1, TOKENS), 1.5))
    assert set(session.receipt().sites) == {"vision.1", "text.1"}


def test_a_gate_of_each_layer_is_that_of_the_layer_of_its_stack(llava):
    """All in the tower and the projector runs at step 0, where seed 7 opens layer 1 and none of the layers 0 and 2."""
    gated = parse_schedule("bernoulli(0.5, 7, layer)")
    some = direction(llava, ["vision.0", "vision.1", "vision.2.mlp", "vision.2"])
    with steer(llava, steering(some, schedule=gated)) as session:
        logits(llava)
    assert set(session.receipt().sites) == {"vision.1"}
    for closed in ("vision.0", "vision.2.mlp", "projector.0"):
        with pytest.raises(SteeringError, match="is 0 at step 0"):
            with steer(llava, steering(direction(llava, [closed]), schedule=gated)):
                logits(llava)


def test_positions_meant_for_the_text_do_not_select_in_the_tower(llava):
    """An attribute that writes the text alone is no business of the tower's driver, and the other way round."""
    parts = (
        *steering(direction(llava, ["vision.1"]), positions=Positions("first")).attributes,
        *steering(direction(llava, ["text.1"]), positions=Positions("last")).attributes,
    )
    with steer(llava, Steering(parts)) as session:
        llava.generate(samples(), Sampling(3))
    assert session.receipt().tokens == 1 + 1


def test_classes_and_patches_of_the_tower_are_told_apart(llava):
    one = direction(llava, ["vision.1"], norm=2.0)
    moved = {}
    for positions in ("first", "image - first"):
        with steer(llava, steering(one, positions=Positions(positions))):
            after = states(llava, "vision.1", lambda: logits(llava))[0]
        before = states(llava, "vision.1", lambda: logits(llava))[0]
        moved[positions] = ((after - before).norm(dim=-1) > 0).flatten().tolist()
    assert moved == {"first": [True] + [False] * 4, "image - first": [False] + [True] * 4}


def test_a_vector_for_each_token_goes_to_its_token(llava):
    per_token = direction(llava, ["vision.1"], tokens=TOKENS, norm=2.0)
    vectors = per_token.vectors[Site("vision", 1)]
    vectors[3] = 0.0
    before = states(llava, "vision.1", lambda: logits(llava, 2))[0]
    with steer(llava, steering(per_token)):
        after = states(llava, "vision.1", lambda: logits(llava, 2))[0]
    torch.testing.assert_close(after - before, vectors.expand(2, -1, -1), atol=1e-5, rtol=0)
    assert torch.equal(after[:, 3], before[:, 3])


@pytest.mark.parametrize("operator", ["add", "rotate", "project_out", "clamp"])
def test_equal_vectors_for_all_tokens_are_one_vector(llava, operator):
    one = direction(llava, ["vision.1"])
    site = Site("vision", 1)
    spread = direction(llava, ["vision.1"], tokens=TOKENS)
    spread.vectors[site].copy_(one.vectors[site].expand(TOKENS, -1))
    found = []
    for each in (one, spread):
        with steer(llava, steering(each, operator=operator)):
            found.append(logits(llava))
    torch.testing.assert_close(found[0], found[1])


def test_another_number_of_tokens_is_refused(llava):
    wrong = direction(llava, ["vision.1"], tokens=TOKENS + 1)
    with pytest.raises(SteeringError, match=r"each of 6 tokens of the stack 'vision', but this forward has 5"):
        with steer(llava, steering(wrong)):
            logits(llava)
    text = direction(llava, ["text.1"], tokens=7)
    with pytest.raises(SteeringError, match="tokens of the stack 'text'"), steer(llava, steering(text)):
        llava.generate(samples(), Sampling(3))


def test_vectors_for_each_token_are_neither_composed_nor_budgeted(llava):
    items = steering(direction(llava, ["vision.1"], tokens=TOKENS)).attributes
    items += steering(direction(llava, ["vision.1"], seed=1)).attributes
    for refused in (Steering(items, compose="whiten"), Steering(items, budget=0.1)):
        with pytest.raises(SteeringError, match="has no single vector to add"), steer(llava, refused):
            logits(llava)


def test_rotation_by_the_own_norm_is_what_vti_released(llava):
    """x <- unit(unit(x) + 0.1 * 0.9 * unit(d)) * |x| at the outputs of the MLPs of the tower, class token included."""
    site = Site("vision", 1, "mlp")
    per_token = direction(llava, [str(site)], tokens=TOKENS)
    x = states(llava, str(site), lambda: logits(llava))[0]
    with steer(llava, steering(per_token, 0.09, operator="rotate", unit="token")):
        found = states(llava, str(site), lambda: logits(llava))[0]
    unit = nn.functional.normalize
    expected = unit(unit(x, dim=-1) + 0.1 * 0.9 * per_token.vectors[site], dim=-1) * x.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(found, expected)


def test_addition_by_the_own_norm_is_a_fraction_of_each_token(llava):
    one = direction(llava, ["text.1"], norm=100.0)
    x = states(llava, "text.1", lambda: logits(llava))[0]
    with steer(llava, steering(one, 0.2, unit="token")):
        found = states(llava, "text.1", lambda: logits(llava))[0]
    pushes = 0.2 * x.norm(dim=-1, keepdim=True) * one.vectors[Site("text", 1)]
    torch.testing.assert_close(found - x, pushes, atol=1e-5, rtol=1e-5)


def test_rotation_leaves_the_first_token_of_the_text_alone(llava):
    one = direction(llava, ["text.1", "vision.1"])
    turned = {}
    for positions in ("all", "prompt", "all | first", "first"):
        with steer(llava, steering(one, positions=Positions(positions), operator="rotate", sites="text.1")):
            after = states(llava, "text.1", lambda: logits(llava))[0]
        before = states(llava, "text.1", lambda: logits(llava))[0]
        turned[positions] = ((after - before).norm(dim=-1) > 0)[0].tolist()
    rest = len(turned["all"]) - 1
    assert turned["all"] == turned["prompt"] == [False] + [True] * rest
    assert turned["all | first"] == [True] * (rest + 1)
    assert turned["first"] == [True] + [False] * rest


def test_addition_and_the_tower_do_include_the_first_token(llava):
    one = direction(llava, ["text.1", "vision.1"])
    for site, operator in (("text.1", "add"), ("vision.1", "rotate")):
        with steer(llava, steering(one, operator=operator, sites=site)):
            after = states(llava, site, lambda: logits(llava))[0]
        before = states(llava, site, lambda: logits(llava))[0]
        assert ((after - before).norm(dim=-1) > 0).all()


def test_a_packed_state_is_edited_and_read_as_one_row():
    packed = nn.Linear(4, 4)
    state, seen = torch.randn(6, 4), []
    expected = packed(state)
    with hooks.edits({packed: lambda hidden: hidden + hidden.shape[0]}), hooks.readings({packed: seen.append}):
        found = packed(state)
    assert seen[0].shape == (1, 6, 4)
    assert torch.equal(found, expected + 1)


def test_tiles_are_edited_as_rows():
    tiled = nn.Linear(4, 4)
    state = torch.randn(2, 3, 6, 4)
    expected = tiled(state)
    with hooks.edits({tiled: lambda hidden: hidden + hidden.shape[0]}):
        assert torch.equal(tiled(state), expected + 6)


def two_images():
    first, second = samples(2)
    return [first, Sample("1", "describe the image", (*second.images, *first.images))]


def test_one_steering_serves_any_number_of_images(llava):
    with steer(llava, steering(direction(llava, ["vision.1", "text.1"]))) as session:
        llava.generate(two_images(), Sampling(3))
    receipt = session.receipt()
    assert (receipt.calls, receipt.rows) == (1, 2)
    assert receipt.sites["vision.1"].moments == 1


def test_samples_that_are_steered_alike_in_the_tower_share_it(llava):
    one = direction(llava, ["vision.1"])
    text = direction(llava, ["text.1"], seed=2)
    each = [Steering((*steering(one).attributes, *steering(text, size).attributes)) for size in (0.5, 1.0)]
    with steer(llava, each):
        assert len(llava.generate(two_images(), Sampling(3))) == 2


def test_images_that_belong_to_no_known_sample_are_refused(llava):
    each = [steering(direction(llava, ["vision.1"])), Steering()]
    with pytest.raises(SteeringError, match="3 rows, and which of its images or tiles"), steer(llava, each):
        llava.generate(two_images(), Sampling(3))


def test_each_sample_has_its_own_steering_in_the_tower(llava):
    before = logits(llava, 3)
    with steer(llava, [Steering(), steering(direction(llava, ["vision.1"])), Steering()]):
        after = logits(llava, 3)
    assert [torch.equal(*pair) for pair in zip(after, before, strict=True)] == [True, False, True]


def test_the_books_of_a_tower_that_runs_once_a_call(llava):
    with steer(llava, steering(direction(llava, ["vision.1", "vision.2"]))) as session:
        llava.generate(samples(2), Sampling(6))
        llava.generate(samples(1), Sampling(6))
    receipt = session.receipt()
    assert (receipt.calls, receipt.rows, receipt.steps) == (2, 3, 2)
    assert receipt.tokens == 3 * TOKENS
    assert {site: one.moments for site, one in receipt.sites.items()} == {"vision.1": 2, "vision.2": 2}


def test_the_books_follow_the_text_where_both_are_steered(llava):
    with steer(llava, steering(direction(llava, ["vision.1", "text.1"]))) as session:
        llava.generate(samples(2), Sampling(6))
    receipt = session.receipt()
    width = llava.reading(samples(2)).arguments["input_ids"].shape[1]
    made = receipt.steps
    assert (receipt.calls, receipt.rows) == (1, 2)
    assert receipt.tokens == 2 * TOKENS + 2 * (width + made - 1)


def test_several_forwards_of_a_tower_in_one_call_add_up(llava):
    """Some models run the tower image by image."""
    tower = llava.model.get_encoder("image")
    pixels = llava.reading(samples(2)).arguments["pixel_values"]
    with steer(llava, steering(direction(llava, ["vision.1"]))) as session, session.call(llava.call({"max_length": 4})):
        for one in pixels:
            tower(one[None])
    receipt = session.receipt()
    assert (receipt.calls, receipt.rows, receipt.tokens) == (1, 2, 2 * TOKENS)


def test_a_call_without_an_image_is_not_silently_unsteered(llava):
    words = [Sample("0", "describe")]
    with pytest.raises(SteeringError, match="'vision' did not run in this call"):
        with steer(llava, steering(direction(llava, ["vision.1"]))):
            llava.generate(words, Sampling(3))


def test_the_tower_lives_at_step_zero(llava):
    one = direction(llava, ["vision.1"])
    with steer(llava, steering(one, schedule=parse_schedule("points(0steps:0.5, 8steps:8)"))):
        half = logits(llava)
    with steer(llava, steering(one, 0.25)):
        assert torch.equal(logits(llava), half)
    late = steering(one, schedule=parse_schedule("window(2steps..4steps)"))
    with pytest.raises(SteeringError, match="is 0 at step 0, when the stack 'vision' runs"), steer(llava, late):
        logits(llava)


def test_beams_are_served_by_one_steering(llava):
    with steer(llava, steering(direction(llava, ["vision.1", "text.1"]))) as session:
        llava.generate(samples(2), Sampling(4, beams=3))
    assert session.receipt().rows == 6


def test_another_model_is_refused_for_the_gate_too(llava):
    one, other = direction(llava, ["text.1"]), direction(llava, ["text.1"])
    object.__setattr__(other, "model", "other")
    with pytest.raises(DirectionError, match="found in model other"), steer(llava, steering(one, gate=Gate(other, 1))):
        pass


def test_half_precision_stays_as_it_is_and_is_edited_in_full(llava):
    """What a gate closes and what has no strength is the same bits in bfloat16; what is turned keeps its norm."""
    half = copy.deepcopy(llava)
    half.model.to(torch.bfloat16)
    one = direction(llava, ["text.1"])
    before = states(half, "text.1", lambda: logits(half))[0]
    found = {}
    for name, strength, threshold in (("zero", 0.0, -1e6), ("closed", 0.5, 1e6), ("turned", 0.5, -1e6)):
        with steer(half, steering(one, strength, operator="rotate", unit="token", gate=Gate(one, threshold))):
            found[name] = states(half, "text.1", lambda: logits(half))[0]
    assert before.dtype == found["turned"].dtype == torch.bfloat16
    assert torch.equal(found["zero"], before)
    assert torch.equal(found["closed"], before)
    assert not torch.equal(found["turned"], before)
    lengths = (found["turned"].float().norm(dim=-1), before.float().norm(dim=-1))
    torch.testing.assert_close(*lengths, rtol=2**-8, atol=0)
