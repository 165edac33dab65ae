"""Endings of files of directions."""

from pathlib import Path

import pytest

from mmsteer.errors import DirectionError
from mmsteer.formats import OWN, format_of, save_directions
from tests.conftest import planted


@pytest.mark.parametrize("name", ["a.safetensor", "a.guff", "a", "a.SVEC", "a.gguf.bak"])
def test_a_misspelt_ending_is_refused(directions, name, tmp_path):
    with pytest.raises(DirectionError, match=r"no format ends so; choose from .gguf, .npy, .npz, .pt, .pth, .safet"):
        save_directions(tmp_path / name, directions)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def directions(talker):
    return [planted(talker, "a", [1])]


def test_other_endings_are_known():
    assert [format_of(Path(f"a{end}")) for end in (".safetensors", ".pth", ".gguf")] == [OWN, "pt", "gguf"]
