"""Videos are images too; and whose images the rows of a vision tower are."""

import pytest
import torch
from torch.nn import functional

from mmsteer import hooks
from mmsteer.errors import SteeringError
from mmsteer.steering import Attribute, Steering, steer
from mmsteer.types import Call, Positions, Sample, Site
from tests.adapters.test_families import picture
from tests.conftest import planted
from tests.steering.calling import pushed

WORDS = {
    "qwen2_vl": "<|vision_start|><|video_pad|><|vision_end|> describe the cup",
    "llava_onevision": "<video> describe the cup",
}
FRAMES = (torch.arange(4 * 3 * 16 * 16) * 37 % 251).view(4, 3, 16, 16).to(torch.uint8)


@torch.no_grad()
@pytest.mark.parametrize(("family", "tokens"), [("qwen2_vl", 8), ("llava_onevision", 5)])
@pytest.mark.parametrize(("positions", "of_video"), [("image", True), ("text", False)])
def test_the_tokens_of_a_video_are_image_tokens(families, family, tokens, positions, of_video):
    adapter, site = families(family), Site("text", 1)
    arguments = adapter.processor(text=[WORDS[family]], videos=[FRAMES], return_tensors="pt", do_sample_frames=False)
    is_video = arguments["input_ids"] == adapter.model.config.video_token_id
    assert is_video.sum() == tokens
    states = []
    attribute = Attribute(planted(adapter, "c", [1]), 1.0, positions=Positions(positions))
    with hooks.readings({adapter.module(site): states.append}):
        adapter.model(**arguments)
        with steer(adapter, Steering((attribute,))):
            states[1:] = []
            adapter.model(**arguments)
    moved = (states[1] - states[0]).norm(dim=-1) > 0.5
    assert torch.equal(moved, is_video == of_video)


GENERATED_ALIKE = ("input_ids", "attention_mask", "mm_token_type_ids")


@torch.no_grad()
def by_hand(adapter, steering, arguments, selected, new):
    """Greedy tokens of a plain loop without a cache, in which torch's own hooks push the selected tokens."""
    (item,) = steering.attributes
    seen = {name: value for name, value in arguments.items() if name not in GENERATED_ALIKE}
    ids, mask = arguments["input_ids"], selected
    for _ in range(new):
        more = ids.shape[1] - arguments["input_ids"].shape[1]
        if "mm_token_type_ids" in arguments:
            seen["mm_token_type_ids"] = functional.pad(arguments["mm_token_type_ids"], (0, more))
        with pushed(adapter, item.direction, item.strength * mask[..., None]):
            logits = adapter.model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False, **seen).logits
        ids = torch.cat([ids, logits[:, -1:].argmax(-1)], dim=1)
        mask = functional.pad(mask, (0, 1), value=float(str(item.positions) == "text"))
    return ids


@pytest.mark.parametrize("family", ["qwen2_vl", "qwen2_5_vl", "llava_onevision"])
@pytest.mark.parametrize("positions", ["image", "text"])
def test_words_about_a_video_are_those_of_a_plain_loop(families, family, positions, monkeypatch):
    adapter = families(family)
    monkeypatch.setattr(adapter.model.generation_config, "eos_token_id", None)
    words = WORDS.get(family, WORDS["qwen2_vl"])
    arguments = adapter.processor(text=[words], videos=[FRAMES], return_tensors="pt", do_sample_frames=False)
    is_video = arguments["input_ids"] == adapter.model.config.video_token_id
    selected = (is_video if positions == "image" else ~is_video).float()
    direction = planted(adapter, "c", range(3), seed=4)
    steering = Steering((Attribute(direction, 8.0, positions=Positions(positions)),))
    wanted = by_hand(adapter, steering, arguments, selected, 6)
    assert not torch.equal(wanted, by_hand(adapter, steering, arguments, 0 * selected, 6))
    with steer(adapter, steering):
        made = adapter.model.generate(**arguments, max_new_tokens=6, do_sample=False)
    assert torch.equal(made, wanted)


def one_each(llava, shown):
    """A steering of the vision tower for the second of several samples, and what it changes for each."""
    direction = planted(llava, "c", [0])
    draw = torch.ones(llava.widths[Site("vision", 1)])
    vision = {Site("vision", 1): draw / draw.norm()}
    stats = {Site("vision", 1): direction.stats[Site("text", 0)]}
    direction = type(direction)("c", vision, stats, direction.model)
    steerings = [Steering(), Steering((Attribute(direction, 5.0),)), Steering()]
    pictures = [tuple(picture((20 + 10 * k, 30)) for k in range(count)) for count in shown]
    return [Sample(str(row), "describe the image", seen) for row, seen in enumerate(pictures)], steerings


def test_each_sample_is_steered_by_its_own_where_each_has_one_image(llava):
    some, steerings = one_each(llava, (1, 1, 1))
    reading = llava.reading(some)
    plain = llava.read(reading)
    with steer(llava, steerings) as session, session.call(reading.call):
        steered = llava.read(reading)
    assert [torch.equal(one, other) for one, other in zip(plain, steered, strict=True)] == [True, False, True]


def test_as_many_images_as_samples_are_not_one_each(llava):
    some, steerings = one_each(llava, (2, 0, 1))
    reading = llava.reading(some)
    assert reading.arguments["pixel_values"].shape[0] == len(some)
    with (
        steer(llava, steerings) as session,
        pytest.raises(SteeringError, match="which of its images"),
        session.call(reading.call),
    ):
        llava.read(reading)
    inputs = {key: value for key, value in reading.arguments.items() if key != "position_ids"}
    with steer(llava, steerings), pytest.raises(SteeringError, match="which of its images"):
        llava.model.generate(**inputs, max_new_tokens=2)


@pytest.mark.parametrize(("family", "expected"), [("llava", True), ("llama", None), ("instructblip", True)])
def test_whether_all_see(families, family, expected):
    adapter = families(family)
    ids = torch.tensor([[5, 6], [5, 6]])
    ids[:, 0] = getattr(adapter.model.config, "image_token_id", None) or 5
    assert adapter.call({"input_ids": ids, "max_new_tokens": 1}) == Call(1, 1, 2, 2, 2, all_see=expected)
    if family == "llava":
        ids[0, 0] = 6
        assert adapter.call({"input_ids": ids, "max_new_tokens": 1}).all_see is False
