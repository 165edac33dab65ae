"""Folders of models and dictionaries with one damaged file: loaded all the same, or refused by one short error."""

import shutil
import time

import pytest

import mmsteer
from mmsteer.errors import MmsteerError
from mmsteer.sae import read_dictionary
from tests.fuzz.mutations import SECONDS, cases, strange_file
from tests.sae.formats import layouts


def made(name, folder):
    """A dictionary's folder in a layout of others."""
    return LAYOUTS[name](folder).folder


LAYOUTS = {
    "sae_lens": lambda folder: layouts.sae_lens(folder, "jumprelu"),
    "sae_lens gated": lambda folder: layouts.sae_lens(folder, "gated"),
    "sparsify": layouts.sparsify,
    "dictionary_learning": lambda folder: layouts.dictionary_learning(folder, "GatedAutoEncoder"),
    "llama_scope": layouts.llama_scope,
    "gemma_scope": layouts.gemma_scope,
}


def strange_copy(whole, folder, rng):
    """A copy with one file damaged; returns its name."""
    shutil.copytree(whole, folder)
    file = rng.choice(sorted(path for path in folder.iterdir() if path.is_file()))
    file.write_bytes(strange_file(file.read_bytes(), rng))
    return file.name


def tried(read, whole, folder, rng):
    """The file that was damaged, how long it took, and what was said."""
    name, start, said = strange_copy(whole, folder, rng), time.perf_counter(), ""
    try:
        read(folder)
    except MmsteerError as error:
        said = str(error)
    shutil.rmtree(folder)
    return name, time.perf_counter() - start, said


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_damaged_dictionaries(layout, tmp_path):
    whole = made(layout, tmp_path / "whole")
    assert read_dictionary(whole).features == layouts.FEATURES
    for number, rng in enumerate(cases(SECONDS / len(LAYOUTS))):
        name, seconds, said = tried(read_dictionary, whole, tmp_path / "copy", rng)
        assert seconds < 5, f"case {number}: {name}"
        assert len(said) < 4000, f"case {number}: {name}"


@pytest.mark.filterwarnings("ignore")
def test_damaged_models(talker_folder, tmp_path):
    for number, rng in enumerate(cases(2 * SECONDS)):
        name, seconds, said = tried(mmsteer.load, talker_folder, tmp_path / "copy", rng)
        assert seconds < 20, f"case {number}: {name}"
        assert len(said) < 4000, f"case {number}: {name}"
