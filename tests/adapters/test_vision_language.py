"""What LLaVA-type models and plain language models share, on the smallest LLaVA there can be."""

import pytest
from PIL import Image

from mmsteer.adapters import VisionLanguageAdapter, load
from mmsteer.types import Sample
from tests.adapters.checkpoints import save


@pytest.fixture(scope="session")
def llava(tmp_path_factory) -> VisionLanguageAdapter:
    return load(save("llava", tmp_path_factory.mktemp("llava")))


def samples(*answers):
    pictures = [Image.effect_noise((40, 30), 80).convert("RGB"), Image.effect_noise((20, 30), 80).convert("RGB")]
    prompts = ["describe the image", "is there a cup in the image"]
    return [
        Sample(str(place), picture, prompt, answer)
        for place, (picture, prompt, answer) in enumerate(zip(pictures, prompts, answers or (None, None), strict=True))
    ]


def test_the_decoder_is_found_where_the_tower_is_deeper(llava):
    assert {site.stack: site.layer for site in llava.sites} == {"text": 2, "vision": 3, "projector": 0}
    assert llava.module(llava.sites[0]) is llava.model.model.language_model.layers[0]


def test_generation_runs(llava):
    assert len(llava.generate(samples(), 5)) == 2
