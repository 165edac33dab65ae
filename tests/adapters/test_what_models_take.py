"""What adapters refuse by name: no library, no processor, audio for a model that writes."""

from importlib.util import find_spec

import pytest

from mmsteer.adapters import adapt, load
from mmsteer.errors import AdapterError
from mmsteer.types import Sample, Sampling, Waveform


@pytest.mark.skipif(find_spec("audiocraft") is not None, reason="audiocraft is installed")
def test_a_model_that_needs_audiocraft_says_so():
    with pytest.raises(AdapterError, match=r"needs audiocraft, .*; install mmsteer\[audiocraft\]"):
        load("audiocraft:facebook/musicgen-small")


def test_a_model_of_transformers_needs_its_processor(musicgen):
    with pytest.raises(AdapterError, match="MusicgenForConditionalGeneration needs its processor"):
        adapt(musicgen.model)


@pytest.mark.parametrize("name", ["audio_prompt", "melody"])
def test_a_model_that_writes_text_takes_no_audio(talker, name):
    sample = Sample("a", "say the cup", **{name: Waveform([0.0], 16000)})
    with pytest.raises(AdapterError, match="a: this model takes no audio"):
        talker.generate([sample], Sampling(tokens=2, temperature=0))
