"""The models that ship, loaded as any checkpoint is: the biased one hallucinates, its sibling does not."""

import pytest
import torch
from safetensors import safe_open
from transformers import AutoProcessor, CLIPVisionModel, LlavaForConditionalGeneration

from mmsteer.bundled import BUNDLED, bundled_path
from mmsteer.worlds.scenes import BRIEF_PROMPT, CAPTION_PROMPT, SCENES, question, split_scenes
from mmsteer.worlds.training.vision_check import measure, replies
from mmsteer.worlds.training.vision_model import save_model

NAMES = tuple(name for name in BUNDLED if name.startswith("vision"))


def load(name):
    folder = bundled_path(name)
    model = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    return model, AutoProcessor.from_pretrained(folder)


@pytest.fixture(scope="module")
def scenes():
    return split_scenes("validation", 48, 11)


@pytest.fixture(scope="module")
def found(scenes):
    return {name: measure(*load(name), scenes) for name in ("vision", "vision-unbiased")}


def test_all_bundled_models_but_the_band_together_are_small():
    sizes = [
        file.stat().st_size for name in BUNDLED if name != "band" for file in bundled_path(name).glob("*.safetensors")
    ]
    assert sum(sizes) <= 24e6


@pytest.mark.parametrize("name", NAMES)
def test_every_release_of_transformers_finds_all_weights(name, tmp_path):
    """Releases before 5.23 leave a tower random whose weights do not have these names."""
    trained, processor = load(name)
    save_model(trained, processor, tmp_path)
    for folder in (bundled_path(name), tmp_path):
        with safe_open(folder / "model.safetensors", "pt") as file:
            towers = [key for key in file.keys() if "vision_tower." in key]
        assert towers
        assert all(key.startswith("vision_tower.vision_model.") for key in towers)
        _, found = LlavaForConditionalGeneration.from_pretrained(folder, output_loading_info=True)
        assert not found["missing_keys"]
        assert not found["unexpected_keys"]


@pytest.mark.parametrize("name", NAMES)
def test_each_is_of_the_real_classes_and_has_a_card(name):
    model, processor = load(name)
    assert isinstance(model.model.vision_tower, CLIPVisionModel)
    assert model.config.vision_feature_layer == -2
    assert processor.tokenizer.eos_token_id == model.generation_config.eos_token_id
    assert "CHAIR_s" in (bundled_path(name) / "README.md").read_text()


def test_the_biased_model_names_what_is_not_there(found):
    # 48 scenes: a standard error of 6 points.
    assert found["vision"]["chair_s"] > 0.1
    assert found["vision-unbiased"]["chair_s"] < 0.05
    assert found["vision"]["chair_i"] > 2 * found["vision-unbiased"]["chair_i"]


@pytest.mark.parametrize("name", ["vision", "vision-unbiased"])
def test_both_see_what_is_there(found, name):
    # Asked about each object, they see it; greedy captions of the sibling end before all is named.
    assert found[name]["pope_random_accuracy"] > 0.9
    assert found[name]["recall"] > 0.65


def test_companions_are_asked_about_in_vain(found):
    splits = [found["vision"][f"pope_{split}_accuracy"] for split in ("random", "popular", "adversarial")]
    assert splits[0] > splits[1] > splits[2]
    assert found["vision-unbiased"]["pope_adversarial_accuracy"] > splits[2] + 0.05


def test_it_writes_sentences_and_stops(scenes):
    model, processor = load("vision")
    few = scenes[:8]
    captions = replies(model, processor, few, [CAPTION_PROMPT] * 8)
    for scene, caption in zip(few, captions, strict=True):
        assert scene.kind in caption.split(".")[0]
        assert 2 <= caption.count(".") <= 12
        assert caption.endswith(".")
    assert all(text.count(".") == 1 for text in replies(model, processor, few, [BRIEF_PROMPT] * 8))
    anchors = [SCENES[scene.kind].anchor for scene in few]
    assert replies(model, processor, few, [question(name) for name in anchors], tokens=10)[0].startswith(
        ("Yes,", "No,")
    )
