"""Directions that leave out others, the language prior, and masked copies that are averaged while they are read."""

import json

import pytest

from mmsteer.direction_file import load_directions
from mmsteer.errors import RecipeError
from mmsteer.recipes.checks import check_recipe
from mmsteer.recipes.contrasts import samples_of
from mmsteer.recipes.experiment import prepare
from mmsteer.recipes.finding import find
from mmsteer.recipes.run import run
from tests.recipes.vision.recipe import write_recipe

DEMOS = "demos: {matched: true, scenes: {n: 6, split: demos, seed: 0}}"
READ = "sites: text.*, positions: all, pool: last"
PRIOR = (
    f"{{family: prior, probe: mean-difference, {READ}, "
    f"data: {{contrast: language_prior, refusal: no, seed: 0, {DEMOS}}}}}"
)
RAW = (
    f"{{family: raw, probe: mean-difference, {READ}, without: [prior], "
    f"data: {{contrast: no_image, answered: true, seed: 0, {DEMOS}}}}}"
)
REVIS = [f"directions=[{PRIOR}, {RAW}]", "conditions.0.steer=['raw:yes {strength} on text.1 when raw:yes < -1']"]
PAIRS = "contrast: counterfactual, decision: object, seed: 3, scenes: {n: 12, split: demos, seed: 0}"
MIXED = f"{{family: mixed, probe: mean-difference, {READ}, data: {{{PAIRS}, shown: exchanged}}}}"
NAME = f"{{family: name, probe: mean-difference, {READ}, data: {{{PAIRS}}}, without: [mixed]}}"
SAE = "{name: sae, dictionary: bundled:vision, selector: auroc, features: 1, coefficient: maximum, seed: 0}"
MASKED = (
    "{family: masked, probe: vti-paper, sites: vision.0-1, positions: all, pool: tokens, "
    f"data: {{contrast: masked, copies: 3, ratio: 0.5, seed: 0, {DEMOS}}}}}"
)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory, llava_folder):
    return write_recipe(tmp_path_factory.mktemp("recipe"), llava_folder)


def cosines(one, other):
    return [float(one.vectors[site] @ other.vectors[site]) for site in one.sites]


def test_a_family_is_orthogonal_to_those_that_it_leaves_out(recipe, tmp_path):
    lines = [*REVIS, "ask.pope=~", "data.scenes.n=2", "controls.random=0", "conditions.0.sweep.strength=[0.2]"]
    folder = run(prepare(recipe, lines), tmp_path / "run", progress=False)
    for name in ("directions", "wrong_image"):
        found = load_directions(folder.path / f"{name}.safetensors")
        assert max(map(abs, cosines(found["raw:yes"], found["prior:yes"]))) < 1e-5
        assert found["raw:yes"].provenance["without"] == "prior:yes"
    # Without an image there is none to exchange.
    both = [load_directions(folder.path / f"{name}.safetensors") for name in ("directions", "wrong_image")]
    assert min(cosines(*(one["prior:yes"] for one in both))) > 0.9999
    assert min(cosines(*(one["raw:yes"] for one in both))) < 0.9999
    plain = prepare(recipe, [*lines, "directions.1.without=[]"])
    entry = plain.recipe.directions[1]
    alone = find(plain.adapter, entry, samples_of(entry.data, plain.adapter))
    assert max(map(abs, cosines(alone.directions["raw:yes"], both[0]["prior:yes"]))) > 0.01


def test_what_pairs_say_under_each_others_images_is_taken_out_of_a_family(recipe):
    plain = prepare(recipe, [f"directions=[{MIXED}, {NAME}]", "conditions.0.steer=['name:yes {strength} on text.1']"])
    entries, adapter = plain.recipe.directions, plain.adapter
    mixed, own = (samples_of(entry.data, adapter) for entry in entries)
    assert [one.output for one in mixed.samples] == [one.output for one in own.samples]
    expected = samples_of(entries[1].data, adapter, "wrong_image", seed=3)
    assert [one.images for one in mixed.samples] == [one.images for one in expected.samples]
    assert [one.images for one in mixed.samples] != [one.images for one in own.samples]
    other = find(adapter, entries[0], mixed).directions["mixed:yes"]
    name = find(adapter, entries[1], own, without=[other]).directions["name:yes"]
    assert max(map(abs, cosines(name, other))) < 1e-5


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (
            ["directions.1.without=[prio]"],
            "directions[1].without[0]: no family 'prio' above this one, did you mean 'prior'",
        ),
        (["directions.0.without=[raw]"], "no family 'raw' above this one (above are: none)"),
        (["directions.0.pool=tokens", "directions.0.sites=vision.*"], "'prior' has a direction at each token; pool it"),
        (["directions.1.without=prior"], "valid array"),
        (["directions.0.data.refusal=~"], "string"),
        (
            [f"directions.1.probe={SAE}"],
            "leave `without` to a probe",
        ),
    ],
)
def test_what_cannot_be_left_out_is_told_with_its_line(recipe, lines, words):
    with pytest.raises(RecipeError) as caught:
        check_recipe(recipe, [*REVIS, *lines])
    assert words in str(caught.value)
    assert all(line.startswith("command line") for line in str(caught.value).splitlines() if not line.startswith(" "))


def test_a_line_is_told_by_its_number(recipe, tmp_path):
    text = recipe.read_text().replace("    pool: last\n", "    pool: last\n    without:\n      - hones\n")
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(RecipeError, match=r"mine.yaml:14: directions\[0\].without\[0\]: no family 'hones'"):
        check_recipe(tmp_path / "mine.yaml")


def test_what_is_left_out_lies_at_the_same_sites(recipe):
    with pytest.raises(RecipeError, match=r"raw: prior:yes, left out, is not at text.1"):
        prepare(recipe, [*REVIS, "directions.0.sites=text.0"])


def test_averaged_copies_give_the_same_direction(recipe, tmp_path):
    lines = [f"directions=[{MASKED}]", "conditions.0.steer=['masked:yes {strength}']"]
    whole, averaged = (prepare(recipe, [*lines, *more]) for more in ([], ["directions.0.data.averaged=true"]))
    found = []
    for experiment in (whole, averaged):
        (entry,) = experiment.recipe.directions
        data = samples_of(entry.data, experiment.adapter)
        found.append(find(experiment.adapter, entry, data, tmp_path / str(len(found))).directions["masked:yes"])
    for site in found[0].sites:
        assert (found[0].vectors[site] * found[1].vectors[site]).sum(dim=-1).min() > 0.9999
    assert (
        json.loads(found[1].provenance["settings"])["vision.0"]
        == json.loads(found[0].provenance["settings"])["vision.0"]
    )
    # Six images, four at a time.
    assert sorted(path.name for path in (tmp_path / "1").iterdir()) == ["part-00000", "part-00001"]
