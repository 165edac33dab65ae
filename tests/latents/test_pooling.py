"""Pooled activations are those of the chosen tokens, and of no others."""

import pytest
import torch

from mmsteer.errors import DictionaryError
from mmsteer.latents.pooling import pooled
from mmsteer.latents.token_states import token_states
from mmsteer.types import Positions, Site
from tests.latents.dictionaries import clips, drawn, pictures
from tests.steering.seeing import llava

__all__ = ["llava"]


def by_hand(adapter, dictionary, sample, positions):
    [one] = token_states(adapter, [sample], dictionary.site)
    return dictionary.encode(one.states[one.chosen(positions)])


@pytest.mark.parametrize(("adapter", "site"), [("llava", "text.1"), ("musicgen", "decoder.2"), ("llava", "vision.1")])
def test_each_pool_by_hand(adapter, site, request):
    adapter = request.getfixturevalue(adapter)
    dictionary = drawn(adapter, site)
    samples = pictures() if adapter.generator == "text" else clips()
    positions = Positions("image - first") if site.startswith("vision") else Positions("generated")
    z = [by_hand(adapter, dictionary, sample, positions) for sample in samples]
    expected = {
        "max": [one.amax(dim=0) for one in z],
        "mean": [one.mean(dim=0) for one in z],
        "sum": [one.sum(dim=0) for one in z],
        "count": [(one > 0).sum(dim=0).float() for one in z],
    }
    for pool, rows in expected.items():
        found = pooled(adapter, dictionary, samples, positions=positions, pool=pool, batch=2)
        torch.testing.assert_close(found.z, torch.stack(rows), atol=1e-4, rtol=1e-4)
    everything = torch.cat(z)
    assert found.used.rows == len(everything)
    torch.testing.assert_close(found.used.mean, everything.mean(dim=0), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"positions": Positions("generated"), "pool": "median"}, "no pool 'median'; choose from max"),
        ({"positions": Positions("90..99steps")}, "select no token of sample 'picture-0'"),
    ],
)
def test_what_cannot_be_pooled_is_refused(llava, options, message):
    with pytest.raises(DictionaryError, match=message):
        pooled(llava, drawn(llava, str(Site("text", 1))), pictures(), **options)
