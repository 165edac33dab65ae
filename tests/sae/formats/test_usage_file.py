"""What is counted of a dictionary, on disk."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from mmsteer.errors import DictionaryError
from mmsteer.sae import Usage
from mmsteer.sae.formats.usage_file import USAGE, read_usage, write_usage
from mmsteer.types import NormSpread

VECTORS = ("mean", "spread", "maximum", "density")


@pytest.fixture
def used() -> Usage:
    vectors = {name: torch.arange(4.0) + at for at, name in enumerate(VECTORS)}
    return Usage(**vectors, norm=2.5, rows=2**24 + 1)


def test_it_comes_back_as_it_was(used, tmp_path):
    write_usage(tmp_path, used)
    found = read_usage(tmp_path, 4)
    assert all(torch.equal(getattr(found, name), getattr(used, name)) for name in VECTORS)
    # One more than float32 can count.
    assert (found.norm, found.rows) == (2.5, 2**24 + 1)


def test_the_spread_of_norms_comes_back_where_there_is_one(used, tmp_path):
    write_usage(tmp_path, used)
    assert read_usage(tmp_path, 4).norms is None
    write_usage(tmp_path, replace(used, norms=NormSpread(1.5, 4.25, 7)), overwrite=True)
    assert read_usage(tmp_path, 4).norms == NormSpread(1.5, 4.25, 7)
    tensors = load_file(tmp_path / USAGE)
    save_file(tensors | {"norms": tensors["norms"][:2].clone()}, tmp_path / USAGE)
    with pytest.raises(DictionaryError, match="'norms' has 2 numbers"):
        read_usage(tmp_path, 4)


def test_it_is_not_overwritten_unasked(used, tmp_path):
    write_usage(tmp_path, used)
    with pytest.raises(DictionaryError, match="exists; choose another folder"):
        write_usage(tmp_path, used)
    write_usage(tmp_path, used, overwrite=True)


def test_another_dictionarys_counts_are_refused(used, tmp_path):
    write_usage(tmp_path, used)
    with pytest.raises(DictionaryError, match=r"counts \[4\] features, its dictionary has 5"):
        read_usage(tmp_path, 5)


@pytest.mark.parametrize("damage", ["missing", "cut", "nan", "name"])
def test_damage_is_one_error(used, tmp_path, damage):
    write_usage(tmp_path, used)
    path = tmp_path / USAGE
    tensors = load_file(path)
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:50])
    elif damage == "nan":
        save_file(tensors | {"mean": tensors["mean"] * float("nan")}, path)
    else:
        save_file({"other": tensors["mean"]}, path)
    with pytest.raises(DictionaryError, match=USAGE):
        read_usage(tmp_path, 4)
