"""The logit lens."""

import pytest
import torch

from mmsteer.errors import DictionaryError
from mmsteer.latents.vocabulary import lens, top_tokens, vocabulary
from tests.latents.dictionaries import drawn, made
from tests.steering.seeing import llava

__all__ = ["llava"]


def test_a_row_of_the_head_promotes_its_token(llava):
    """The lens of d is W (d / rms(d)): the norm of a fresh model multiplies by one."""
    head = llava.model.lm_head.weight.detach()
    row = head[7] - head.mean(dim=0)
    found = vocabulary(llava, made(llava, "text.1", row[None]), [0], count=4)[0]
    unit = row / row.norm()
    expected = head @ (unit / unit.square().mean().sqrt())
    values, tokens = expected.topk(4)
    assert tokens[0] == 7
    assert [entry.token for entry in found.heads[0].top] == tokens.tolist()
    assert [entry.value for entry in found.heads[0].top] == pytest.approx(values.tolist(), rel=1e-3)
    assert found.heads[0].top[0].name == llava.token_name(7)
    assert found.heads[0].bottom[0].token == int(expected.argmin())


def test_every_codebook_has_its_own_tokens(musicgen):
    heads = [head.weight.detach() for head in musicgen.model.decoder.lm_heads]
    rows = torch.stack([heads[2][11] - heads[2].mean(dim=0), heads[0][5] - heads[0].mean(dim=0)])
    tokens = top_tokens(musicgen, made(musicgen, "decoder.1", rows), [0, 1], count=3)
    assert tokens.shape == (2, 4, 3)
    assert (tokens[0, 2, 0], tokens[1, 0, 0]) == (11, 5)


def test_a_long_row_says_the_same_as_a_short_one(musicgen):
    short, long = drawn(musicgen, "decoder.1"), drawn(musicgen, "decoder.1")
    long.decoder.mul_(30)
    torch.testing.assert_close(lens(musicgen, long, [3, 1]), lens(musicgen, short, [3, 1]))


def test_the_heads_do_not_read_a_tower(llava):
    with pytest.raises(DictionaryError, match="read the stack 'text'"):
        vocabulary(llava, drawn(llava, "vision.1"), [0])
