"""The dictionaries that ship; nothing here depends on what exactly they learned."""

import pytest

import mmsteer
from mmsteer.bundled import bundled_dictionary, bundled_path, bundled_usage, dictionary_path
from mmsteer.errors import DictionaryError
from mmsteer.sae import feature_direction, measure, read_dictionary, write_sae_lens
from mmsteer.streams import ReadStates
from mmsteer.types import Positions, Sample

NAMES = ("music", "vision")


@pytest.mark.parametrize("name", NAMES)
def test_it_is_small_and_tells_of_itself(name):
    folder = dictionary_path(name)
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 4e6
    card = (folder / "README.md").read_text()
    assert all(word in card for word in ("variance unexplained", "L0", "dead", "dense", "loss recovered", "minutes"))


@pytest.mark.parametrize("name", NAMES)
def test_it_belongs_to_its_model_and_can_be_steered(name):
    dictionary, used = bundled_dictionary(name), bundled_usage(name)
    adapter = mmsteer.load(f"bundled:{name}")
    assert dictionary.k is None
    site = dictionary.located(adapter)
    assert site.stack == adapter.generator
    busiest = int(used.density.argmax())
    assert feature_direction(dictionary, busiest, used).model == adapter.fingerprint


@pytest.mark.parametrize("name", NAMES)
def test_it_serves_its_model_in_half_precision(name, tmp_path):
    adapter = mmsteer.load(f"bundled:{name}", dtype="float16")
    dictionary, used = bundled_dictionary(name), bundled_usage(name)
    assert dictionary.model != adapter.fingerprint
    assert dictionary.located(adapter) == dictionary.site
    assert feature_direction(dictionary, int(used.density.argmax()), used).check_model(adapter) == "exact"
    write_sae_lens(tmp_path / "again", dictionary)
    assert read_dictionary(tmp_path / "again").located(adapter) == dictionary.site


def test_it_explains_what_its_model_says():
    adapter = mmsteer.load("bundled:vision")
    dictionary = bundled_dictionary("vision")
    assert dictionary.site
    # Another site of the same width explains less: the dictionary is where it was trained.
    other = next(s for s in adapter.sites if s.stack == "text" and s.point == "block" and s != dictionary.site)
    samples = [Sample(str(at), f"Is there a {name} in the image?") for at, name in enumerate(["dog", "cup"])]
    here, there = (
        measure(dictionary, [ReadStates(adapter, samples, site, Positions("all - first"), tokens=6)[0]])
        for site in (dictionary.site, other)
    )
    assert here.fvu < there.fvu


def test_no_other_model_has_one():
    assert bundled_path("vision-seed1").is_dir()
    with pytest.raises(DictionaryError, match="choose from music, text, vision, or train one with `mmsteer sae train"):
        dictionary_path("vision-seed1")
