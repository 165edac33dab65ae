"""What adapters refuse by name: no library, no processor, audio for a model that writes."""

from importlib.util import find_spec

import pytest
import transformers

from mmsteer.adapters import _check_version, adapt, load
from mmsteer.errors import AdapterError
from mmsteer.types import Sample, Sampling, Waveform


@pytest.mark.skipif(find_spec("audiocraft") is not None, reason="audiocraft is installed")
def test_a_model_that_needs_audiocraft_says_so():
    with pytest.raises(AdapterError, match=r"needs audiocraft, .*; install mmsteer\[audiocraft\]"):
        load("audiocraft:facebook/musicgen-small")


def test_a_model_of_transformers_needs_its_processor(musicgen):
    with pytest.raises(AdapterError, match="MusicgenForConditionalGeneration needs its processor"):
        adapt(musicgen.model)


@pytest.mark.parametrize(
    ("kind", "faulty", "whole", "advice"),
    [("internvl", "5.17.0", "5.18.0", "5.18 or later"), ("llama4", "5.24.0", "5.23.0", "a version before 5.24")],
)
def test_a_fault_of_transformers_names_a_release_without_it(monkeypatch, kind, faulty, whole, advice):
    monkeypatch.setattr(transformers, "__version__", faulty)
    with pytest.raises(AdapterError, match=rf"'{kind}' cannot run in transformers {faulty}: .* {advice}"):
        _check_version(kind)
    monkeypatch.setattr(transformers, "__version__", whole)
    _check_version(kind)


@pytest.mark.parametrize("name", ["audio_prompt", "melody"])
def test_a_model_that_writes_text_takes_no_audio(talker, name):
    sample = Sample("a", "say the cup", **{name: Waveform([0.0], 16000)})
    with pytest.raises(AdapterError, match="a: this model takes no audio"):
        talker.generate([sample], Sampling(tokens=2, temperature=0))
