"""Recipes whose directions are features of a dictionary."""

import pytest

from mmsteer.direction_file import load_directions
from mmsteer.errors import RecipeError
from mmsteer.recipes.checks import check_recipe
from mmsteer.recipes.experiment import prepare
from mmsteer.recipes.run import run
from mmsteer.sae import write_sae_lens
from mmsteer.types import Site
from tests.latents.dictionaries import drawn
from tests.recipes.recipe import write_recipe

PROBE = "{name: sae, dictionary: DICTIONARY, selector: SELECTOR, features: 2, coefficient: positive_mean, seed: 0}"


def written(folder, model, *, dictionary="features", selector="auroc", **replaced):
    probe = PROBE.replace("DICTIONARY", dictionary).replace("SELECTOR", selector)
    return write_recipe(folder, model, **{"probe: mean-difference": f"probe: {probe}"}, **replaced)


@pytest.fixture
def recipe(tmp_path, musicgen, musicgen_folder):
    write_sae_lens(tmp_path / "features", drawn(musicgen, "decoder.2", features=64))
    return written(tmp_path, musicgen_folder)


def test_features_are_found_at_their_own_site_and_steered(recipe, tmp_path):
    folder = run(prepare(recipe), tmp_path / "run", progress=False)
    directions = load_directions(folder.path / "directions.safetensors")
    assert len(directions) == 12
    assert all(one.sites == (Site("decoder", 2),) for one in directions.values())
    assert directions["note:C"].provenance["selector"] == "auroc"
    (table,) = folder.read("probe.json")
    assert (table["probe"], table["metric"]) == ("sae", "accuracy")
    assert [row["site"] for row in table["rows"]] == ["decoder.2"]
    assert folder.read("times.json")["seconds_to_fit"]["note"] > 0
    assert set(folder.read("receipts.json")["C at 0.5"]["sites"]) == {"decoder.2"}


SECOND = "{family: note, probe: mean-difference, data: DATA, sites: decoder.2, positions: all, pool: mean}"
SECOND = SECOND.replace("DATA", "{concept: note, clips: 8, seed: 0, text: prompt}")
ACTIVE = "conditions.0.steer=['note:{note} 0.1 on decoder.2 when note:C active']"


def test_a_feature_found_alone_opens_gates(recipe, tmp_path):
    assert check_recipe(recipe, [ACTIVE]).conditions
    folder = run(prepare(recipe, ["directions.0.probe.features=1", ACTIVE]), tmp_path / "run", progress=False)
    found = load_directions(folder.path / "directions.safetensors")["note:C"]
    (site,) = found.sites
    assert found.features.keys() == {site}
    assert found.stats[site].mean > 0
    assert folder.read("receipts.json")["C at 0.5"]["attributes"] == [
        "note:C 0.1 constant(1) on decoder.2 when note:C active"
    ]


def test_what_a_gate_cannot_read_is_refused_before_anything_runs(recipe):
    with pytest.raises(RecipeError, match="is no feature of a sparse dictionary"):
        prepare(recipe, [ACTIVE])
    family = "{family: mean, probe: mean-difference, data: {concept: note, clips: 8, seed: 0, text: prompt}, SITES}"
    family = family.replace("SITES", "sites: decoder.1, positions: all, pool: mean")
    with pytest.raises(RecipeError, match=r"'mean:C' was not read at decoder.2, where the edit is"):
        prepare(recipe, [f"directions=[{family}, {SECOND}]", "conditions.0.steer=['note:C 1 when mean:C > 1']"])


def test_another_dictionary_is_another_run(recipe, tmp_path, musicgen):
    before = prepare(recipe).id
    (tmp_path / "features").rename(tmp_path / "old")
    write_sae_lens(tmp_path / "features", drawn(musicgen, "decoder.2", features=64, seed=1))
    assert prepare(recipe).id != before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sites: decoder.1-2": "sites: decoder.0-1"}, "is of decoder.2, which is none of 'decoder.0-1'"),
        ({'steer: ["note:{note} {strength} fade': 'steer: ["note:{note} {strength} on decoder.1 fade'}, "decoder.1"),
    ],
)
def test_what_does_not_fit_the_model_is_refused_before_anything_runs(recipe, musicgen_folder, change, message):
    with pytest.raises(RecipeError, match=message):
        prepare(written(recipe.parent, musicgen_folder, **change))


@pytest.mark.parametrize(
    ("options", "replaced", "message"),
    [
        ({"dictionary": "nowhere"}, {}, "no folder 'nowhere' beside the recipe"),
        ({"selector": "best"}, {}, "selector"),
        ({}, {"pool: mean": "pool: tokens"}, "pooled by max, mean, last, sum, count, not 'tokens'"),
    ],
)
def test_what_a_recipe_may_not_say(recipe, musicgen_folder, options, replaced, message):
    with pytest.raises(RecipeError, match=message):
        check_recipe(written(recipe.parent, musicgen_folder, **options, **replaced))


def test_a_dictionary_of_another_model_is_refused(tmp_path, stereo, musicgen_folder):
    write_sae_lens(tmp_path / "features", drawn(stereo, "decoder.2", features=64))
    with pytest.raises(RecipeError, match="was trained on model"):
        prepare(written(tmp_path, musicgen_folder))
