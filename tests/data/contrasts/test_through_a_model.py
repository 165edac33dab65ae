"""Contrasts read in a small LLaVA and turned into directions: shapes, places and controls."""

import pytest
import torch

from mmsteer.adapters import load
from mmsteer.data.contrasts import (
    captions,
    image_samples,
    masked,
    no_image,
    wrong_image,
)
from mmsteer.probes import PCA, VTI, MeanDifference, per_image_directions, sweep
from mmsteer.record import record
from mmsteer.types import Positions, select_sites
from mmsteer.worlds.scenes import split_scenes
from mmsteer.worlds.scenes.contrasts import answers, counterfactual, mentions, scene_demos
from tests.adapters.checkpoints import save

SCENES = split_scenes("demos", 8, 0)


@pytest.fixture(scope="module")
def llava(tmp_path_factory):
    return load(save("llava", tmp_path_factory.mktemp("llava")))


def read(adapter, contrast, sites="text.*"):
    chosen = select_sites(sites, adapter.sites)
    return record(adapter, contrast.samples, chosen, positions=contrast.positions, pool=contrast.pool)


def found(adapter, contrast, probe, sites="text.*"):
    activations = read(adapter, contrast, sites)
    swept = sweep(
        probe, activations, contrast.labels, family="true", task="binary", groups=contrast.groups, progress=False
    )
    return swept.directions["true:yes"]


@pytest.mark.parametrize("probe", [MeanDifference(), PCA(), VTI("paper"), VTI("code")])
@pytest.mark.parametrize("build", [counterfactual, mentions])
def test_pairs_lead_to_directions_at_every_layer(llava, build, probe):
    direction = found(llava, build(SCENES, 0), probe)
    direction.check_model(llava)
    assert len(direction.sites) == len(select_sites("text.*", llava.sites))


def test_the_last_token_is_that_of_the_answer(llava):
    """Read at the last token, the state of an answer is the last of the states of all answer tokens."""
    contrast = mentions(SCENES[:2], 0)
    site = select_sites("text.0", llava.sites)[0]
    last = read(llava, contrast, "text.0").values[site]
    every = record(llava, contrast.samples, [site], positions=Positions("generated"), pool="last").values[site]
    assert torch.equal(last, every)
    prompt = record(llava, contrast.samples, [site], positions=Positions("prompt"), pool="last").values[site]
    assert not torch.allclose(last, prompt)


def test_captions_can_be_read_over_all_their_tokens(llava):
    contrast = captions(scene_demos(SCENES, 0), read="mean")
    assert found(llava, contrast, MeanDifference()).vectors


def test_each_token_of_the_vision_tower_has_a_direction(llava):
    config = llava.model.config.vision_config
    contrast = masked(
        image_samples(scene_demos(SCENES, 0)), 0, side=config.image_size, patch=config.patch_size, copies=3, ratio=0.7
    )
    direction = found(llava, contrast, VTI("code"), "vision.0")
    tokens = (config.image_size // config.patch_size) ** 2 + 1
    for site, vector in direction.vectors.items():
        assert vector.shape == (tokens, llava.widths[site])
        torch.testing.assert_close(vector.norm(dim=1), torch.ones(tokens))


def test_an_image_has_its_own_direction_and_a_prompt_without_image_can_be_read(llava):
    contrast = no_image(image_samples(scene_demos(SCENES, 0)))
    directions = per_image_directions(read(llava, contrast), contrast.labels, contrast.groups, family="image")
    assert sorted(directions) == sorted(f"scene {k}" for k in range(8))
    one, two = (directions[f"scene {k}"] for k in (0, 1))
    assert not torch.allclose(one.vectors[one.sites[0]], two.vectors[one.sites[0]])


def test_questions_differ_from_their_wrong_image_in_the_image_alone(llava):
    contrast = answers(SCENES, 0, balanced=True)
    right, wrong = (read(llava, one, "text.0") for one in (contrast, wrong_image(contrast, 0)))
    site = right.sites[0]
    assert right.ids == wrong.ids
    assert not torch.allclose(right.values[site], wrong.values[site])
