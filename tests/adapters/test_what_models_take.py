"""What adapters refuse by name: no library, no processor, audio for a model that writes."""

from importlib.util import find_spec

import pytest
import transformers

from mmsteer.adapters import adapt, load
from mmsteer.adapters.loading import _check_version
from mmsteer.errors import AdapterError
from mmsteer.types import Sample, Sampling, Waveform


@pytest.mark.skipif(find_spec("audiocraft") is not None, reason="audiocraft is installed")
def test_a_model_that_needs_audiocraft_says_so():
    with pytest.raises(AdapterError, match=r"needs audiocraft, .*; install mmsteer\[audiocraft\]"):
        load("audiocraft:facebook/musicgen-small")


def test_a_model_of_transformers_needs_its_processor(musicgen):
    with pytest.raises(AdapterError, match="MusicgenForConditionalGeneration needs its processor"):
        adapt(musicgen.model)


def test_a_fault_of_a_newer_transformers_names_an_older_release(monkeypatch):
    monkeypatch.setattr(transformers, "__version__", "5.24.0")
    with pytest.raises(AdapterError, match=r"'llama4' cannot run in transformers 5.24.0: .* a version before 5.24"):
        _check_version("llama4")
    monkeypatch.setattr(transformers, "__version__", "5.23.0")
    _check_version("llama4")


def test_gemma3n_is_refused_where_it_reads_otherwise_than_it_writes(monkeypatch):
    monkeypatch.setattr(transformers, "__version__", "5.4.0")
    with pytest.raises(AdapterError, match=r"'gemma3n_text' cannot run in .* without a cache .* 5.18 or later"):
        _check_version("gemma3n_text")


@pytest.mark.parametrize("name", ["audio_prompt", "melody"])
def test_a_model_that_writes_text_takes_no_audio(talker, name):
    sample = Sample("a", "say the cup", **{name: Waveform([0.0], 16000)})
    with pytest.raises(AdapterError, match="a: this model takes no audio"):
        talker.generate([sample], Sampling(tokens=2, temperature=0))
