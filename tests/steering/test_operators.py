"""Operators, against their definitions."""

from functools import partial

import torch

from mmsteer.steering.operators import at_least, clamp, component, project_out, rotate

torch.manual_seed(0)
H = torch.randn(2, 5, 16)
V = torch.nn.functional.normalize(torch.randn(16), dim=0)
ALONG = partial(component, v=V)
ONE, ZERO = torch.ones(2, 5, 1), torch.zeros(2, 5, 1)


def test_nothing_is_nothing_bit_for_bit():
    for operator in (rotate, project_out, clamp, at_least):
        assert torch.equal(operator(H, ZERO, V, 3.0, ALONG), H)


def test_rotation_keeps_the_norm_and_turns_towards_the_vector():
    found = rotate(H, ONE, V, 3.0, ALONG)
    torch.testing.assert_close(found.norm(dim=-1), H.norm(dim=-1))
    assert (found @ V > H @ V).all()
    torch.testing.assert_close(rotate(H, ONE, V, 1e6, ALONG) @ V, H.norm(dim=-1), atol=1e-3, rtol=0)


def test_projection_removes_the_component_and_nothing_else():
    found = project_out(H, ONE, V, 1.0, ALONG)
    torch.testing.assert_close(found @ V, torch.zeros(2, 5), atol=1e-5, rtol=0)
    torch.testing.assert_close(found + (H @ V)[..., None] * V, H)
    torch.testing.assert_close(project_out(H, 0.25 * ONE, V, 1.0, ALONG) @ V, 0.75 * (H @ V))


def test_clamping_sets_the_component():
    torch.testing.assert_close(clamp(H, ONE, V, 2.5, ALONG) @ V, torch.full((2, 5), 2.5))
    torch.testing.assert_close(clamp(H, 0.5 * ONE, V, 2.0, ALONG) @ V, 0.5 * (H @ V) + 1.0)


def test_a_minimum_raises_what_is_below_and_leaves_the_rest():
    found = at_least(H, ONE, V, 0.5, ALONG)
    torch.testing.assert_close(found @ V, (H @ V).clamp(min=0.5))
    above = H @ V > 0.5
    assert 0 < above.sum() < above.numel()
    assert torch.equal(found[above], H[above])


def test_operators_use_what_is_read_in_place_of_the_component():
    reading = torch.arange(10.0).reshape(2, 5, 1)
    torch.testing.assert_close(clamp(H, ONE, V, 4.0, lambda _: reading), H + (4.0 - reading) * V)
    torch.testing.assert_close(project_out(H, 0.5 * ONE, V, 1.0, lambda _: reading), H - 0.5 * reading * V)


def test_a_zero_state_does_not_become_nan():
    assert torch.isfinite(rotate(torch.zeros(1, 1, 16), torch.zeros(1, 1, 1), V, 1.0, ALONG)).all()
