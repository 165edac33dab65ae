"""The dictionaries that ship; nothing here depends on what exactly they learned."""

import re

import pytest

import mmsteer
from mmsteer.bundled import bundled_dictionary, bundled_path, bundled_usage, dictionary_path
from mmsteer.errors import DictionaryError
from mmsteer.latents.bound import bind
from mmsteer.sae import feature_direction, measure, read_dictionary, write_sae_lens
from mmsteer.streams import ReadStates
from mmsteer.types import Positions, Sample, Site

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


LAYERS = [Site("text", layer) for layer in (12, 13, 14, 15, 16, 25)]


def test_layers_of_one_model_are_named_by_site():
    assert dictionary_path("text").name == "text.14"
    assert dictionary_path("text", LAYERS[-1]) == dictionary_path("text/text.25")
    assert [bundled_dictionary("text", site).site for site in LAYERS] == LAYERS
    assert sum(file.stat().st_size for file in dictionary_path("text").parent.rglob("*")) < 40e6
    with pytest.raises(DictionaryError, match=r"no dictionary of text ships for text\.3; choose from text\.12, "):
        dictionary_path("text", Site("text", 3))


def test_the_language_model_is_explained_as_the_card_says(smollm2):
    dictionary = bundled_dictionary("text")
    told = re.search(r"unexplained \| ([\d.]+)", (dictionary_path("text") / "README.md").read_text())
    # Texts that no corpus has; binding compares the layers beside it.
    asked = ("Why do cats purr?", "Name a mountain in Peru.", "Write a line about a red bicycle.")
    answers = (
        "Cats purr when they are calm, and sometimes when they are hurt. The sound comes from muscles of the throat.",
        "One of the highest is Huascarán, which is 6,768 metres high and lies in the Cordillera Blanca.",
        "The red bicycle leaned against the wall, waiting for somebody to ride it down to the river again.",
    )
    samples = [Sample(str(at), one, output=two) for at, (one, two) in enumerate(zip(asked, answers, strict=True))]
    bound = bind(dictionary, smollm2, samples)
    assert bound.fvu[dictionary.site] < 1.5 * float(told[1])


def test_no_other_model_has_one():
    assert bundled_path("vision-seed1").is_dir()
    with pytest.raises(DictionaryError, match="choose from music, text, vision, or train one with `mmsteer sae train"):
        dictionary_path("vision-seed1")
