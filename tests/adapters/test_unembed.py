"""The output heads: what follows the last block, asked of every family."""

import numpy as np
import pytest
import torch

from mmsteer import hooks
from mmsteer.errors import AdapterError
from mmsteer.types import Sample, Site
from tests.adapters.checkpoints import FAMILIES, TEXT
from tests.adapters.test_families import samples

# numpy 2 complains of how PaliGemma's processor makes an array of a tensor.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

CLIPS = [
    Sample(str(seed), "a", output=np.sin(np.arange(6400) * 0.01 * (seed + 1)).astype(np.float32)) for seed in range(2)
]


def last_state(adapter, reading):
    """The last block's state, and the model's own logits."""
    last = max(site for site in adapter.sites if site.stack == adapter.generator and site.point == "block")
    seen = []
    with hooks.readings({adapter.module(last): seen.append}):
        logits = adapter.read(reading)
    return seen[-1], logits


SEVERAL = ("gemma3n", "gemma3n_text")
"""Families whose head reads several states side by side."""


@pytest.mark.parametrize("family", SEVERAL)
def test_there_is_no_lens_where_the_head_reads_several_states(families, family):
    with pytest.raises(AdapterError, match=r"text.2: the head of this model reads several states side by side"):
        families(family).unembed(torch.ones(TEXT["hidden_size"]))


@pytest.mark.parametrize("family", [family for family in FAMILIES if family not in SEVERAL])
def test_the_lens_of_the_last_state_is_what_a_language_model_predicts(families, family):
    adapter = families(family)
    reading = adapter.reading(samples(family, "a cup", "the table is there"))
    state, logits = last_state(adapter, reading)
    assert adapter.tokens(reading).shape[:2] == logits.shape[:2]
    torch.testing.assert_close(adapter.unembed(state), logits[:, -state.shape[1] :], atol=1e-5, rtol=1e-4)
    assert adapter.unembed(torch.ones(state.shape[-1])).shape == (1, TEXT["vocab_size"])
    assert torch.equal(adapter.read(reading), logits)


@pytest.mark.parametrize("which", ["musicgen", "stereo", "melody"])
def test_the_lens_of_the_last_state_is_what_each_codebook_predicts(request, which):
    adapter = request.getfixturevalue(which)
    reading = adapter.reading(CLIPS)
    state, logits = last_state(adapter, reading)
    assert adapter.tokens(reading).shape[:2] == logits.shape[:2]
    torch.testing.assert_close(adapter.unembed(state)[:, -logits.shape[1] :], logits, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("which", ["musicgen", "stereo", "melody"])
def test_codes_are_those_that_were_encoded(request, which):
    adapter = request.getfixturevalue(which)
    tokens = adapter.tokens(adapter.reading(CLIPS))
    wave = torch.from_numpy(CLIPS[0].output)[None, None]
    codes = adapter.model.audio_encoder.encode(wave).audio_codes[0, 0]
    last = adapter.codebooks - 1
    frames = codes.shape[1] - adapter.delay
    assert tokens.shape[2] == adapter.codebooks
    assert torch.equal(tokens[0, 1 + adapter.delay :, last][:frames], codes[last // adapter.channels, :frames])
    assert adapter.token_name(7) == "7"


@pytest.mark.parametrize("family", FAMILIES)
def test_words_are_those_that_were_answered(families, family):
    adapter = families(family)
    reading = adapter.reading(samples(family, "a cup", "the table is there"))
    said = adapter.tokens(reading)[1, reading.call.prompt :, 0].tolist()
    assert [adapter.token_name(token) for token in said] == ["the", "table", "is", "there"]


def test_the_middle_of_a_model_is_not_its_end(families):
    adapter = families("llama")
    reading = adapter.reading(samples("llama"))
    seen = []
    with hooks.readings({adapter.module(Site("text", 0)): seen.append}):
        logits = adapter.read(reading)
    assert not torch.allclose(adapter.unembed(seen[0]), logits, atol=1e-2)
