"""The decoding loop makes the tokens of transformers' own."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from transformers.cache_utils import DynamicLayer

from mmsteer import hooks
from mmsteer.adapters.musicgen_decoding import ReservedLayer
from mmsteer.schedules import parse_schedule
from mmsteer.steering import Attribute, Steering, steer
from mmsteer.types import Sampling
from tests.conftest import outputs, planted

PROMPTS = ["a slow piano melody", "a fast flute"]
SEEDS = [1, 2]


def played(adapter, guidance=3.0):
    return outputs(adapter.generate(PROMPTS, Sampling(seconds=0.5, guidance=guidance), SEEDS))


def both(adapter, monkeypatch, run):
    """What a call gives with the adapter's loop and with that of transformers."""
    ours = run()
    monkeypatch.setattr(adapter, "_own_loop", nullcontext)
    return ours, run()


@pytest.mark.parametrize("guidance", [1.0, 3.0])
@pytest.mark.parametrize("name", ["musicgen", "stereo"])
def test_the_audio_is_that_of_transformers_loop(name, guidance, request, monkeypatch):
    adapter = request.getfixturevalue(name)
    ours, theirs = both(adapter, monkeypatch, lambda: played(adapter, guidance))
    assert np.abs(ours[0]).max() > 0
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)


def test_steering_is_that_of_transformers_loop(musicgen, monkeypatch):
    direction, fade = planted(musicgen, "note:C", range(4), 0), parse_schedule("linear(0s..0.4s)")
    pushes = [Steering((Attribute(direction, strength, schedule=fade),)) for strength in (0.5, 1.0)]

    def run():
        with steer(musicgen, pushes) as session:
            waves = played(musicgen)
        return waves, session.receipt()

    (ours, receipt), (theirs, other) = both(musicgen, monkeypatch, run)
    assert receipt == other
    np.testing.assert_array_equal(ours, theirs)
    assert np.abs(np.array(ours) - played(musicgen)).max() > 0


def test_a_step_runs_the_decoder_on_one_column(musicgen):
    widths = []
    with hooks.clock(musicgen.stack("decoder"), lambda arguments: widths.append(arguments["input_ids"].shape[1])):
        musicgen.generate(PROMPTS, Sampling(seconds=0.5), SEEDS)
    assert widths == [1] * (1 + 25 + 3)  # generate's own prefill, which is not used, comes first


def test_the_model_has_its_own_loop_again_when_something_fails(musicgen, monkeypatch):
    monkeypatch.setattr("mmsteer.adapters.musicgen_decoding._cache", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        musicgen.generate(PROMPTS, Sampling(seconds=0.5), SEEDS)
    assert "_sample" not in vars(musicgen.model)


def test_keys_and_values_stay_where_they_were_written():
    random = torch.Generator().manual_seed(0)
    ours, theirs = ReservedLayer(9), DynamicLayer()
    places = set()
    for tokens in (4, 1, 1, 3):
        new = torch.randn(2, 2, 3, tokens, 5, generator=random)
        for got, wanted in zip(ours.update(*new), theirs.update(*new), strict=True):
            assert torch.equal(got, wanted)
        assert ours.get_seq_length() == theirs.get_seq_length()
        places.add((ours.keys.data_ptr(), ours.values.data_ptr()))
    assert len(places) == 1
