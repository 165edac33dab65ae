"""Features of a sparse dictionary in the engine: read by their encoder, written by their decoder row."""

from dataclasses import replace

import pytest
import torch

from mmsteer.errors import SteeringError
from mmsteer.sae import SparseDictionary, feature_direction, latent_edit, usage
from mmsteer.steering import Attribute, Gate, Steering, parse_attribute, steer
from mmsteer.types import Positions, Site
from tests.steering.seeing import direction, llava, logits, states

__all__ = ["llava"]

SITE = Site("text", 1)


@pytest.fixture(scope="module")
def dictionary(llava):
    """Sixteen features, each active on some of the tokens."""
    width = llava.widths[SITE]
    generator = torch.Generator().manual_seed(0)
    decoder = torch.randn(16, width, generator=generator)
    encoder = torch.randn(width, 16, generator=generator)
    hidden = states(llava, str(SITE), lambda: logits(llava))[0].flatten(0, -2)
    middle = (hidden @ encoder).median(dim=0).values
    zeros = torch.zeros(width)
    return SparseDictionary(
        encoder, -middle, decoder, zeros, torch.full((16,), 0.05), site=SITE, model=llava.fingerprint
    )


@pytest.fixture(scope="module")
def hidden(llava):
    return states(llava, str(SITE), lambda: logits(llava))[0]


@pytest.fixture(scope="module")
def feature(dictionary, hidden):
    return feature_direction(dictionary, 3, usage(dictionary, [hidden.flatten(0, -2)]))


def steered(llava, *attributes):
    with steer(llava, Steering(attributes)):
        return states(llava, str(SITE), lambda: logits(llava))[0]


def set_to(value, *numbers):
    def change(z):
        changed = z.clone()
        changed[..., list(numbers)] = value
        return changed

    return change


def test_clamping_is_the_latent_edit_that_keeps_the_error(llava, dictionary, hidden, feature):
    length = float(dictionary.decoder[3].norm())
    found = steered(llava, Attribute(feature, 2.0 * length, operator="clamp", unit="absolute"))
    torch.testing.assert_close(found, latent_edit(dictionary, set_to(2.0, 3))(hidden), atol=1e-4, rtol=1e-4)


def test_removing_is_setting_to_zero_and_leaves_silent_tokens_alone(llava, dictionary, hidden, feature):
    found = steered(llava, Attribute(feature, 1.0, operator="project_out", unit="absolute"))
    torch.testing.assert_close(found, latent_edit(dictionary, set_to(0.0, 3))(hidden), atol=1e-4, rtol=1e-4)
    silent = dictionary.encode(hidden)[..., 3] == 0
    assert 0 < silent.sum() < silent.numel()
    assert torch.equal(found[silent], hidden[silent])


def test_features_set_together_are_read_before_the_first_moves(llava, dictionary, hidden):
    used = usage(dictionary, [hidden.flatten(0, -2)])
    pair = [feature_direction(dictionary, number, used) for number in (3, 5)]
    found = steered(llava, *[Attribute(one, 1.0, operator="project_out", unit="absolute") for one in pair])
    torch.testing.assert_close(found, latent_edit(dictionary, set_to(0.0, 3, 5))(hidden), atol=1e-4, rtol=1e-4)


def test_a_minimum_leaves_stronger_activations(llava, dictionary, hidden, feature):
    level = float(dictionary.encode(hidden)[..., 3].max()) / 2
    length = float(dictionary.decoder[3].norm())
    found = steered(llava, Attribute(feature, level * length, operator="at_least", unit="absolute"))
    expected = latent_edit(dictionary, lambda z: torch.where(torch.arange(16) == 3, z.clamp(min=level), z))(hidden)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_a_gate_opens_where_the_feature_is_active(llava, dictionary, hidden, feature):
    line = parse_attribute("push:it 0.5 when sae:3 active", {"push:it": direction(llava, ["text.1"]), "sae:3": feature})
    assert str(line).endswith("when sae:3 active")
    found = steered(llava, line)
    active = dictionary.encode(hidden)[..., 3] > 0
    assert torch.equal((found != hidden).any(-1), active)


def test_a_plain_direction_is_never_silent(llava, feature):
    plain = direction(llava, ["text.1"])
    with pytest.raises(SteeringError, match="is no feature of a sparse dictionary, so it is never silent"):
        steered(llava, Attribute(feature, 1.0, gate=Gate(plain, side="active")))


def test_positions_hold_for_features(llava, hidden, feature):
    found = steered(llava, Attribute(feature, 3.0, operator="clamp", unit="absolute", positions=Positions("last")))
    changed = (found != hidden).any(-1)
    assert changed[:, -1].all()
    assert not changed[:, :-1].any()


def test_a_clamp_of_no_share_is_bit_identical(llava, hidden, feature):
    nothing = replace(Attribute(feature, 0.0), operator="project_out", unit="absolute")
    assert torch.equal(steered(llava, nothing), hidden)
