"""What setting a feature does to the logits."""

import pytest
import torch

from mmsteer import hooks
from mmsteer.errors import DictionaryError
from mmsteer.latents.token_change import token_change
from mmsteer.sae import feature_direction, usage
from tests.conftest import planted
from tests.latents.dictionaries import clips, drawn, pictures
from tests.steering.seeing import llava

__all__ = ["llava"]


def last_states(adapter, contexts, site):
    seen = []
    with hooks.readings({adapter.module(site): seen.append}):
        adapter.read(adapter.reading(contexts))
    return seen[0]


def test_a_clamp_after_the_last_block_is_read_by_the_head(llava):
    """h + (a - z) row, through the heads, less h through the heads: the mean over all that predicts the answer."""
    contexts = pictures(2)
    dictionary = drawn(llava, "text.2")
    h = last_states(llava, contexts, dictionary.site)
    used = usage(dictionary, [h.flatten(0, 1)])
    z = dictionary.encode(h)[..., 4, None]
    start = llava.reading(contexts).call.prompt - 1
    found = token_change(llava, feature_direction(dictionary, 4, used), contexts, 8.0, count=3)
    for amount, heads in ((8.0, found.raised), (-8.0, found.lowered)):
        change = llava.unembed(h + (amount - z) * dictionary.decoder[4]) - llava.unembed(h)
        mean = change[:, start:].flatten(0, 1).mean(dim=0)[0]
        top, bottom = mean.topk(3), mean.topk(3, largest=False)
        assert [entry.token for entry in heads[0].top] == top.indices.tolist()
        assert [entry.value for entry in heads[0].top] == pytest.approx(top.values.tolist(), rel=1e-3)
        assert [entry.token for entry in heads[0].bottom] == bottom.indices.tolist()


def test_any_direction_has_a_change_in_every_codebook(musicgen):
    found = token_change(musicgen, planted(musicgen, "note:C", [1]), clips(2), 3.0, operator="add", count=2)
    assert (len(found.raised), len(found.lowered)) == (4, 4)
    assert found.raised[0].top[0].value > 0 > found.raised[0].bottom[0].value


def test_padding_does_not_count(llava):
    """Beside a longer answer, which makes padding, the change is the mean over both answers' own tokens."""
    direction = planted(llava, "c", [1])
    short, long = pictures(1, "a cup")[0], pictures(2)[1]
    alone = [token_change(llava, direction, [one], operator="add", count=64).raised[0].top for one in (short, long)]
    both = token_change(llava, direction, [short, long], operator="add", count=64).raised[0].top
    values = [
        torch.zeros(64).index_put((torch.tensor([e.token for e in top]),), torch.tensor([e.value for e in top]))
        for top in (*alone, both)
    ]
    torch.testing.assert_close(values[2], (3 * values[0] + 5 * values[1]) / 8, atol=1e-4, rtol=1e-3)


def test_no_context_no_change(musicgen):
    with pytest.raises(DictionaryError, match="no context"):
        token_change(musicgen, planted(musicgen, "c", [1]), [])
