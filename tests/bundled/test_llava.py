"""The LLaVA around the real language model: put together once, whole or not at all, and an ordinary checkpoint then."""

import os
import shutil

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoProcessor, LlavaForConditionalGeneration

from mmsteer.bundled import bundled_path, llava
from mmsteer.errors import AdapterError
from mmsteer.worlds.scenes import split_scenes
from mmsteer.worlds.training.llava_check import caption_scores
from mmsteer.worlds.training.llava_model import add_lora, build_model, save_parts
from mmsteer.worlds.training.vision_model import build_tower
from tests.bundled.stand_in import write_language

PROMPT = "Describe this image in detail."


@pytest.fixture(scope="module")
def language(tmp_path_factory):
    return write_language(tmp_path_factory.mktemp("language") / "text-0123456789abcdef", [PROMPT, "A red couch."])


@pytest.fixture(scope="module")
def trained(language):
    """A model with a random LoRA."""
    pytest.importorskip("peft")
    torch.manual_seed(0)
    model = build_model(build_tower(layers=2, width=32), language, llava.read_tokenizer(language))
    add_lora(model, 2, 0)
    for name, value in model.named_parameters():
        if ".lora_" in name:
            value.data.copy_(torch.randn(value.shape).half() * 0.2)
    return model.eval()


@pytest.fixture(scope="module")
def parts(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    save_parts(trained, 2, folder)
    return folder


@pytest.fixture
def cached(parts, language, tmp_path, monkeypatch):
    """The stand-ins in the place of what ships."""
    own = tmp_path / "parts"
    shutil.copytree(parts, own)
    monkeypatch.setattr(llava, "FOLDER", own)
    monkeypatch.setattr(llava, "packaged_path", lambda _: language)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return own


def test_it_loads_in_stock_transformers_and_says_what_was_trained(parts, language, trained, tmp_path):
    llava.assemble(parts, language, tmp_path / "model")
    model, found = LlavaForConditionalGeneration.from_pretrained(tmp_path / "model", output_loading_info=True)
    assert not found["missing_keys"]
    assert not found["unexpected_keys"]
    processor = AutoProcessor.from_pretrained(tmp_path / "model")
    assert processor.tokenizer.padding_side == "left"
    content = [{"type": "image"}, {"type": "text", "text": PROMPT}]
    text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    inputs = processor(
        images=[Image.new("RGB", (96, 96), "red")],
        text=[
            text,
        ],
        return_tensors="pt",
    )
    assert int((inputs.input_ids == model.config.image_token_id).sum()) == 64
    with torch.no_grad():
        logits, expected = (one(**inputs).logits for one in (model.eval(), trained))
    # The tower and the projector are rounded to float16.
    torch.testing.assert_close(logits, expected, atol=2e-3, rtol=2e-3)
    assert model.generate(**inputs, max_new_tokens=3).shape[1] == inputs.input_ids.shape[1] + 3


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_the_lora_is_peft_s(parts, language):
    peft = pytest.importorskip("peft")
    own, theirs = (AutoModelForCausalLM.from_pretrained(language, dtype=torch.float32) for _ in range(2))
    before = {name: value.clone() for name, value in own.state_dict().items()}
    llava.merge_adapter(own, parts)
    merged = peft.PeftModel.from_pretrained(theirs, parts).merge_and_unload().state_dict()
    for name, value in own.state_dict().items():
        torch.testing.assert_close(value, merged[name], msg=name)
        assert torch.equal(value, before[name]) != (name.split(".")[-2] in ("q_proj", "k_proj", "v_proj", "o_proj"))


def test_the_image_s_token_is_the_mean_of_all_others(parts, language, tmp_path):
    llava.assemble(parts, language, tmp_path / "model")
    words = load_file(tmp_path / "model" / "model.safetensors")["language_model.model.embed_tokens.weight"]
    torch.testing.assert_close(words[-1], words[:-1].mean(dim=0))


def test_it_is_put_together_once_and_again_when_a_part_changes(cached, monkeypatch):
    calls, assemble = [], llava.assemble
    monkeypatch.setattr(llava, "assemble", lambda *where: (calls.append(where), assemble(*where)))
    folder = bundled_path("llava")
    assert bundled_path("llava") == folder
    assert len(calls) == 1
    weights = load_file(cached / llava.SIGHT)
    save_file(weights | {"multi_modal_projector.linear_1.bias": torch.ones(32)}, cached / llava.SIGHT)
    assert bundled_path("llava") != folder
    assert len(calls) == 2


def test_what_fails_leaves_nothing(cached, monkeypatch, tmp_path):
    def fail(_, __, folder):
        (folder / "half").write_text("half")
        raise OSError("No space left on device")

    monkeypatch.setattr(llava, "assemble", fail)
    with pytest.raises(AdapterError, match=r"\(540 MB\): No space left on device; make room, or name another"):
        bundled_path("llava")
    assert not os.listdir(tmp_path / "cache" / "mmsteer")


def test_parts_that_do_not_fit_are_refused(cached):
    weights = load_file(cached / llava.SIGHT)
    weights.pop("multi_modal_projector.linear_1.bias")
    save_file(weights, cached / llava.SIGHT)
    with pytest.raises(AdapterError, match=r"multi_modal_projector.linear_1.bias; install mmsteer again"):
        bundled_path("llava")


def test_without_its_parts_it_says_what_to_install(cached):
    (cached / llava.SIGHT).unlink()
    with pytest.raises(AdapterError, match=r"the parts of bundled:llava are not in .*; install mmsteer from a"):
        bundled_path("llava")


def test_what_ships_is_small_and_has_a_card():
    assert sum(file.stat().st_size for file in llava.FOLDER.iterdir()) < 12e6
    assert "CHAIR_s" in (llava.FOLDER / "README.md").read_text()


def test_the_real_one_describes_what_it_sees(smollm2):
    """It needs bundled:text, for which the fixture skips."""
    folder = bundled_path("llava")
    model = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    scenes = split_scenes("validation", 8, 0, cluttered=True, detailed=True)
    score = caption_scores(model, AutoProcessor.from_pretrained(folder), scenes)
    assert score.recall.value > 0.6
    assert score.precision.value > 0.7
