"""Several sites, and steered samples, read in one pass."""

import pytest
import torch

from mmsteer.errors import AdapterError
from mmsteer.latents.pooling import pooled, pooled_layers
from mmsteer.latents.token_states import layer_states, token_states
from mmsteer.steering import Attribute, Steering
from mmsteer.types import Positions, Site
from tests.latents.dictionaries import drawn, pictures
from tests.steering.seeing import direction, llava

__all__ = ["llava"]

SITES = [Site.parse("text.0"), Site.parse("text.1")]


def test_sites_read_together_are_as_read_alone(llava):
    samples = pictures()
    together = list(layer_states(llava, samples, SITES, batch=2))
    for at, site in enumerate(SITES):
        for several, one in zip(together, token_states(llava, samples, site, batch=2), strict=True):
            torch.testing.assert_close(several[at].states, one.states)
    with pytest.raises(AdapterError, match="not of one stack"):
        list(layer_states(llava, samples, [SITES[0], Site.parse("vision.1")]))


def test_each_sample_is_read_under_its_own_steering(llava):
    samples = pictures()
    push = Steering((Attribute(direction(llava, ["text.0"]), 1.0),))
    steerings = [push if at % 2 else Steering() for at in range(len(samples))]
    read = zip(
        layer_states(llava, samples, SITES, steerings=steerings), layer_states(llava, samples, SITES), strict=True
    )
    for at, (steered, plain) in enumerate(read):
        assert torch.equal(steered[1].states, plain[1].states) == (at % 2 == 0)


def test_layers_of_two_stacks_are_pooled_as_alone(llava):
    dictionaries = [drawn(llava, site) for site in ("text.1", "vision.1", "text.0")]
    found = pooled_layers(llava, dictionaries, pictures(), positions=Positions("image - first"), batch=2)
    for dictionary, several in zip(dictionaries, found, strict=True):
        alone = pooled(llava, dictionary, pictures(), positions=Positions("image - first"), batch=2)
        torch.testing.assert_close(several.z, alone.z)
        torch.testing.assert_close(several.used.mean, alone.used.mean)
