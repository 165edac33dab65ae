"""Heads of MusicGen's text-conditioned decoder: those of a hook by hand, through a file and with a static cache."""

import pytest
import torch

import mmsteer
from mmsteer.steering import Attribute, Steering, steer
from tests.adapters.test_heads import by_hand, heads_of

STATIC = {"cache_implementation": "static", "disable_compile": True}


@pytest.mark.parametrize("more", [{}, STATIC, {"guidance_scale": 1}])
def test_heads_of_the_decoder_are_those_of_a_hook_by_hand(musicgen, tmp_path, more):
    direction = heads_of(musicgen, "decoder.*.head.*")
    file = tmp_path / "heads.safetensors"
    mmsteer.save_directions(file, [direction])
    (loaded,) = mmsteer.load_directions(file).values()
    assert set(loaded.vectors) == set(musicgen.select("decoder.*.head.*"))
    inputs = musicgen.processor(text=["slow piano melody", "fast flute"], padding=True, return_tensors="pt")
    options = {**inputs, "max_new_tokens": 12, "do_sample": False} | more
    plain = musicgen.model.generate(**options)
    with by_hand(musicgen, direction, 6.0):
        wanted = musicgen.model.generate(**options)
    with steer(musicgen, Steering((Attribute(loaded, 6.0),))) as session:
        made = musicgen.model.generate(**options)
    torch.testing.assert_close(made, wanted)
    assert not torch.allclose(plain, wanted)
    assert len(session.receipt().sites) == len(loaded.vectors)
