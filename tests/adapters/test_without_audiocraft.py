"""What says so where audiocraft is not installed."""

from importlib.util import find_spec

import pytest

from mmsteer.adapters import adapt, load
from mmsteer.errors import AdapterError


@pytest.mark.skipif(find_spec("audiocraft") is not None, reason="audiocraft is installed")
def test_a_model_that_needs_audiocraft_says_so():
    with pytest.raises(AdapterError, match=r"needs audiocraft, .*; install mmsteer\[audiocraft\]"):
        load("audiocraft:facebook/musicgen-small")


def test_a_model_of_transformers_needs_its_processor(musicgen):
    with pytest.raises(AdapterError, match="MusicgenForConditionalGeneration needs its processor"):
        adapt(musicgen.model)
