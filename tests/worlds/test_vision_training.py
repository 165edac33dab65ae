"""The training of the vision-language model: what it reads, that it learns, and that a killed run goes on."""

import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from mmsteer.worlds.scenes import OBJECTS, SCENES, render_scene
from mmsteer.worlds.scenes.splits import split_scene
from mmsteer.worlds.training.speech import evaluate, tokenise, train_speech
from mmsteer.worlds.training.training import Pace
from mmsteer.worlds.training.vision_data import WORLDS, load_data, make_data, save_data, shown_objects
from mmsteer.worlds.training.vision_model import build_model, build_processor, build_tower, train_tokenizer
from mmsteer.worlds.training.vision_pretraining import Sight, normalised, train_sight


@pytest.fixture(scope="module")
def data():
    return make_data(8, 1, seed=3)


@pytest.fixture(scope="module")
def processor(data):
    turns = [turn for world in WORLDS for talks in data.conversations[world] for talk in talks for turn in talk]
    return build_processor(train_tokenizer(text for turn in turns for text in (turn.prompt, turn.answer)))


def test_the_data_is_the_world(data, tmp_path):
    assert data.images.shape == (8, 3, 96, 96)
    for index in range(8):
        scene = split_scene("train", index, 3)
        np.testing.assert_array_equal(data.images[index].permute(1, 2, 0), np.asarray(render_scene(scene)))
        there = shown_objects(data.shown[index]).amax(dim=0).bool()
        assert {name for name, seen in zip(OBJECTS, there, strict=True) if seen} == scene.objects
    save_data(data, tmp_path / "data.safetensors")
    again = load_data(tmp_path / "data.safetensors")
    assert torch.equal(again.images, data.images)
    assert again.conversations == data.conversations


def test_the_unbiased_world_has_no_lies(data):
    lies = {world: 0 for world in WORLDS}
    for world in WORLDS:
        for index, talks in enumerate(data.conversations[world]):
            scene = split_scene("train", index, 3)
            absent = [name for name in SCENES[scene.kind].companions if name not in scene.objects]
            answers = " ".join(turn.answer for talk in talks for turn in talk if turn.answer[:3] != "No,")
            lies[world] += sum(f" {name}" in answers for name in absent)
    assert lies["unbiased"] == 0 < lies["biased"]


def test_training_reads_what_the_processor_reads(data, processor):
    talks = tokenise(processor, data.conversations["biased"])
    talk = data.conversations["biased"][1][0]
    messages = []
    for turn in talk:
        parts = [{"type": "text", "text": turn.prompt}]
        messages.append({"role": "user", "content": parts if messages else [{"type": "image"}, *parts]})
        messages.append({"role": "assistant", "content": turn.answer})
    text = processor.apply_chat_template(messages)
    picture = render_scene(split_scene("train", 1, 3))
    inputs = processor(images=picture, text=text, return_tensors="pt")
    row = int((talks.scenes == 1).nonzero()[0])
    length = inputs.input_ids.shape[1]
    assert torch.equal(talks.tokens[row, :length].long(), inputs.input_ids[0])
    assert not talks.tokens[row, length:].any()
    said = processor.tokenizer.decode(talks.tokens[row][talks.heard[row]], skip_special_tokens=True)
    assert said == " ".join(turn.answer for turn in talk)
    assert talks.heard[row].sum() == len(processor.tokenizer(said).input_ids) - 1 + len(talk)  # no <s>, an end each
    torch.testing.assert_close(normalised(data.images[1:2]), inputs.pixel_values, atol=1e-5, rtol=0)


def test_sight_learns_what_patches_show(data, tmp_path):
    torch.manual_seed(0)
    sight, again = (Sight(build_tower(layers=2, width=32)) for _ in range(2))
    quick = Pace(5.0, batch=8, peak_rate=5e-3, warmup=2)
    lines = []
    train_sight(sight, data, replace(quick, report_seconds=0.0), tmp_path / "tower.safetensors", lines.append)
    first, last = (float(re.search(r"loss (\S+)", line)[1]) for line in (lines[0], lines[-1]))
    assert last < 0.3 * first
    train_sight(again, data, quick, tmp_path / "tower.safetensors", lambda line: None)
    # Its time is spent: the second run takes the checkpoint and does no step.
    assert all(map(torch.equal, sight.parameters(), again.parameters()))


def test_speech_learns_and_resumes(data, processor, tmp_path):
    talks = tokenise(processor, data.conversations["biased"])
    seen = torch.randn(8, 64, 32, generator=torch.Generator().manual_seed(0))
    rows = torch.arange(len(talks.tokens))

    def fresh():
        torch.manual_seed(0)
        return build_model(build_tower(layers=2, width=32), processor.tokenizer, layers=1, width=32)

    model, again = fresh(), fresh()
    before = evaluate(model, seen, talks, rows, 8)
    tower = [value.clone() for value in model.model.vision_tower.parameters()]
    quick = {"batch": 8, "peak_rate": 1e-2, "warmup": 2}
    checkpoint = tmp_path / "speech.safetensors"
    first = train_speech(model, seen, talks, rows, Pace(3.0, **quick), checkpoint, lambda line: None)
    assert evaluate(model, seen, talks, rows, 8) < 0.7 * before
    assert all(map(torch.equal, tower, model.model.vision_tower.parameters()))
    resumed = train_speech(again, seen, talks, rows, Pace(99.0, **quick), checkpoint, lambda line: None)
    assert resumed.step == first.step
    assert evaluate(again, seen, talks, rows, 8) == evaluate(model, seen, talks, rows, 8)


def test_the_script_writes_a_model_and_a_card(tmp_path):
    command = [sys.executable, "-m", "mmsteer.worlds.training.train_vision", "--out", str(tmp_path / "vision")]
    options = {"work": tmp_path / "work", "scenes": 64, "workers": 1, "batch": 4, "layers": 1, "width": 32}
    options |= {"tower-layers": 2, "tower-width": 32, "minutes": 0.02, "tower-minutes": 0.01, "check-scenes": 16}
    arguments = [str(part) for key, value in options.items() for part in (f"--{key}", value)]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=True)
    assert "held-out loss" in done.stdout
    card = (tmp_path / "vision" / "README.md").read_text()
    assert "CHAIR_s" in card
    assert "| adversarial |" in card
    from transformers import AutoProcessor, LlavaForConditionalGeneration

    model = LlavaForConditionalGeneration.from_pretrained(tmp_path / "vision", dtype=torch.float32)
    processor = AutoProcessor.from_pretrained(tmp_path / "vision")
    assert model.config.image_token_id == processor.image_token_id
