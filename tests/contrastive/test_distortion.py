"""Noise by hand calculation, and what each contrast tells its branch."""

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from mmsteer.contrastive import CONFUSED, icd, noised, text_only, vcd
from mmsteer.contrastive.distortion import _kept
from mmsteer.errors import AdapterError
from mmsteer.types import Call, Reading, Sample
from tests.contrastive.conftest import IMAGE, PAD


class Words:
    """All that contrasts ask of an adapter: an image and one token a word, padded on the left."""

    def __init__(self, model):
        self.model = model

    def reading(self, samples):
        rows = [[1] + [IMAGE] * 4 * bool(one.images) + [len(word) for word in one.text.split()] for one in samples]
        longest = max(map(len, rows))
        ids = torch.tensor([[PAD] * (longest - len(row)) + row for row in rows])
        images = [one.images[0] for one in samples if one.images]
        pixels = {"pixel_values": torch.stack(images)} if images else {}
        return Reading({"input_ids": ids, "attention_mask": (ids != PAD).long(), **pixels}, Call())


@pytest.fixture
def samples():
    images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    return [Sample("one", "what is here", (images[0],)), Sample("two", "describe", (images[1],))]


@pytest.mark.parametrize(("step", "tolerance"), [(0, 1e-9), (500, 1e-9), (999, 1e-9)])
def test_the_schedule_is_the_product_of_one_minus_sigmoid_betas(step, tolerance):
    kept = 1.0
    for place in range(step + 1):
        beta = 1 / (1 + math.exp(6 - 12 * place / 999)) * (0.005 - 0.00001) + 0.00001
        kept *= 1 - beta
    assert _kept(step) == pytest.approx(kept, abs=tolerance)


def test_noise_has_the_variance_of_the_schedule():
    pixels = torch.full((1, 3, 200, 200), 2.0)
    found = noised({"pixel_values": pixels}, step=500)["pixel_values"]
    kept = _kept(500)
    assert float(found.mean()) == pytest.approx(2 * kept**0.5, abs=0.01)
    assert float(found.var()) == pytest.approx(1 - kept, abs=0.01)


def test_the_noise_belongs_to_the_image_not_to_its_batch():
    pixels = torch.randn(3, 3, 8, 8)
    together = noised({"pixel_values": pixels}, seeds=[4, 5, 6])["pixel_values"]
    alone = noised({"pixel_values": pixels[1:2]}, seeds=[5])["pixel_values"]
    assert torch.equal(together[1:2], alone)
    assert not torch.equal(together[0] - together[1], (pixels[0] - pixels[1]) * _kept(500) ** 0.5)


def test_packed_images_are_told_apart_by_their_grid():
    pixels, grid = torch.randn(20, 12), torch.tensor([[1, 2, 4], [1, 2, 6]])
    together = noised({"pixel_values": pixels, "image_grid_thw": grid}, seeds=[1, 2])["pixel_values"]
    second = noised({"pixel_values": pixels[8:], "image_grid_thw": grid[1:]}, seeds=[2])["pixel_values"]
    assert torch.equal(together[8:], second)


def test_tiles_of_padding_stay_zero():
    pixels = torch.randn(1, 3, 3, 8, 8)
    pixels[0, 2] = 0
    found = noised({"pixel_values": pixels})["pixel_values"]
    assert (found[0, 2] == 0).all()
    assert (found[0, :2] != 0).all()


def test_the_rest_of_the_arguments_and_the_precision_stay(inputs):
    found = noised({**inputs, "pixel_values": inputs["pixel_values"].bfloat16()})
    assert found["pixel_values"].dtype == torch.bfloat16
    assert found["input_ids"] is inputs["input_ids"]


def test_nonsense_is_refused(inputs):
    with pytest.raises(AdapterError, match="no image to put noise on"):
        noised({"input_ids": inputs["input_ids"]})
    with pytest.raises(AdapterError, match="choose from 0 to 999"):
        noised(inputs, step=1000)
    with pytest.raises(AdapterError, match="3 seeds for 2 images"):
        noised(inputs, seeds=[1, 2, 3])


def test_vcd_contrasts_with_the_noisy_image(llava, samples):
    adapter = Words(llava)
    given = adapter.reading(samples).arguments
    scores = vcd(adapter, samples, seeds=[1, 2])(given["input_ids"], plain(llava, given))
    other = plain(llava, noised(given, seeds=[1, 2]))
    assert_close(scores, contrast(plain(llava, given), other), atol=1e-4, rtol=1e-4)


def test_icd_contrasts_with_the_confused_instruction(llava, samples):
    adapter = Words(llava)
    given = adapter.reading(samples).arguments
    for options, prefix in (({}, CONFUSED), ({"prefix": "be wrong"}, "be wrong")):
        told = [Sample(one.id, f"{prefix} {one.text}", one.images) for one in samples]
        scores = icd(adapter, samples, **options)(given["input_ids"], plain(llava, given))
        other = plain(llava, adapter.reading(told).arguments)
        assert_close(scores, contrast(plain(llava, given), other), atol=1e-4, rtol=1e-4)


def test_text_only_contrasts_with_no_image(llava, samples):
    adapter = Words(llava)
    given = adapter.reading(samples).arguments
    blind = adapter.reading([Sample(one.id, one.text) for one in samples]).arguments
    scores = text_only(adapter, samples)(given["input_ids"], plain(llava, given))
    assert_close(scores, contrast(plain(llava, given), plain(llava, blind)), atol=1e-4, rtol=1e-4)


def plain(model, given):
    position = (given["attention_mask"].cumsum(1) - 1).clamp(min=0)
    with torch.no_grad():
        return model(**given, position_ids=position).logits[:, -1]


def contrast(true, other):
    """Written with probabilities: p²/q where p is a tenth of the largest or more."""
    p, q = true.double().softmax(-1).numpy(), other.double().softmax(-1).numpy()
    weight = np.where(p >= 0.1 * p.max(-1, keepdims=True), p**2 / q, 0)
    with np.errstate(divide="ignore"):
        return torch.from_numpy(np.log(weight / weight.sum(-1, keepdims=True))).float()
