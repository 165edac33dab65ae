"""The training of the bundled LLaVA: truthful texts, packed conversations, and a run that goes on where it stopped."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from mmsteer.bundled.llava import build_processor, read_tokenizer
from mmsteer.errors import DataError
from mmsteer.eval.chair import Chair
from mmsteer.worlds.scenes import SCENES, sample_scene
from mmsteer.worlds.scenes.descriptions import describe, enumerate_objects, questions, summarise
from mmsteer.worlds.scenes.splits import split_scenes
from mmsteer.worlds.training.llava_alignment import align
from mmsteer.worlds.training.llava_data import load_data, make_data, save_data, write_talks
from mmsteer.worlds.training.llava_model import CHAT_TEMPLATE, add_lora, build_model, read_parts, save_parts
from mmsteer.worlds.training.llava_packing import Packer, collate
from mmsteer.worlds.training.llava_training import Plan, draw, evaluate, reading_loss, train_reading
from mmsteer.worlds.training.vision_model import build_images, build_tower
from mmsteer.worlds.training.vision_pretraining import features
from tests.bundled.stand_in import write_language


@pytest.fixture(scope="module")
def data():
    return make_data(24, 1, seed=3)


@pytest.fixture(scope="module")
def language(data, tmp_path_factory):
    texts = [text for talk in data.talks for turn in talk for text in (turn.prompt, turn.answer)]
    return write_language(tmp_path_factory.mktemp("language"), [*texts, *SCENES])


@pytest.fixture(scope="module")
def tokenizer(language):
    return read_tokenizer(language)


@pytest.fixture
def model(language, tokenizer):
    torch.manual_seed(0)
    model = build_model(build_tower(layers=2, width=32), language, tokenizer)
    model.model.multi_modal_projector.requires_grad_(True)
    return model


@pytest.fixture
def seen(model, data):
    return features(model.model.vision_tower, data.images)


@pytest.fixture
def rows(tokenizer, data):
    return [Packer(tokenizer).pack(talk) for talk in data.talks]


def test_no_answer_names_what_is_not_there():
    chair = Chair({})
    for index, scene in enumerate(split_scenes("train", 40, 5, cluttered=True)):
        for turn in write_talks(np.random.default_rng(index), scene):
            if not turn.answer.startswith("No"):
                assert set(chair.objects(turn.answer)) <= scene.objects, (turn, scene.objects)


@pytest.mark.parametrize("write", [describe, summarise, enumerate_objects])
def test_descriptions_name_all_that_is_there(write):
    chair = Chair({})
    for index, scene in enumerate(split_scenes("train", 24, 5, cluttered=True)):
        said = write(np.random.default_rng(index), scene).answer
        assert set(chair.objects(said)) == scene.objects
        assert re.fullmatch(r"[A-Z].*\.", said)


def test_questions_have_as_many_yes_as_no():
    asked = [
        turn
        for index, scene in enumerate(split_scenes("train", 24, 5, cluttered=True))
        for turn in questions(np.random.default_rng(index), scene, 2)
    ]
    assert 2 * sum(turn.answer.startswith("Yes") for turn in asked) == len(asked) > 80


def test_cluttered_scenes_show_more_and_plain_ones_are_as_before():
    plain, cluttered = split_scenes("test", 40, 0), split_scenes("test", 40, 0, cluttered=True)
    assert np.mean([len(one.objects) for one in plain]) < 3.5
    assert np.mean([len(one.objects) for one in cluttered]) > 4.5
    rng = np.random.default_rng([2, 0, 3])
    assert plain[3] == sample_scene(rng, kind=list(SCENES)[3])


def test_data_is_read_as_it_was_written(data, tmp_path):
    save_data(data, tmp_path / "data.safetensors")
    again = load_data(tmp_path / "data.safetensors")
    assert torch.equal(again.images, data.images)
    assert torch.equal(again.shown, data.shown)
    assert torch.equal(again.kinds, data.kinds)
    assert again.talks == data.talks


def test_each_conversation_is_what_the_processor_writes(data, rows, tokenizer, model):
    processor = build_processor(build_images(), tokenizer, model.config, CHAT_TEMPLATE)
    for index, turn in enumerate(data.talks[2]):
        content = [{"type": "image"}, {"type": "text", "text": turn.prompt}]
        messages = [{"role": "user", "content": content}, {"role": "assistant", "content": turn.answer}]
        text = processor.apply_chat_template(messages)
        ids = processor(images=[np.zeros((96, 96, 3), np.uint8)], text=[text]).input_ids[0]
        own = (rows[2].turns == -1) | (rows[2].turns == index)
        # The template goes on with a line break behind the answer.
        assert rows[2].tokens[own].tolist() == list(ids)[:-1]


def test_a_packed_conversation_sees_the_picture_and_itself_alone(data, rows, tokenizer, model, seen):
    """Its loss is that of the conversation by itself, and other conversations beside it change nothing."""
    packer = Packer(tokenizer)
    alone = [packer.pack([turn]) for turn in data.talks[1]]
    with torch.no_grad():
        losses = torch.stack([reading_loss(model, seen[[1] * len(alone)], alone, [at]) for at in range(len(alone))])
        weights = torch.tensor([row.weights.sum() for row in alone])
        together = reading_loss(model, seen, rows, [1])
        padded = reading_loss(model, seen, rows, [1, int(np.argmax([len(row.tokens) for row in rows]))])
    torch.testing.assert_close(together, (losses * weights).sum() / weights.sum())
    assert not torch.isnan(padded)
    batch = collate([rows[1]], pad=2)
    last = batch.sees[0, 0, -1]
    assert last.sum() == len(packer.prefix) + (rows[1].turns == rows[1].turns[-1]).sum()


def test_an_epoch_shows_each_scene_once(rows):
    plan = Plan(steps=10, decay=1, batch=1)
    shown = [row for step in range(8) for row in draw(rows, plan, step)]
    assert len(set(shown)) == 8
    assert shown != [row for step in range(8) for row in draw(rows, replace(plan, seed=1), step)]


def test_too_few_scenes_are_refused(rows):
    with pytest.raises(DataError, match="24 scenes are too few for batches of 4; give at least 32"):
        draw(rows, Plan(steps=4, decay=1, batch=4), 0)


def test_the_rate_stays_and_then_falls_to_zero():
    plan = Plan(steps=100, decay=20, rate=1.0, warmup=10)
    assert plan.rate_at(0) == pytest.approx(0.1)
    assert plan.rate_at(50) == 1.0
    assert plan.rate_at(90) == pytest.approx(0.5)
    assert plan.rate_at(99) == pytest.approx(0.05)


@pytest.mark.parametrize("rank", [0, 2])
def test_a_run_that_was_killed_goes_on_bit_for_bit(rank, language, tokenizer, seen, rows, tmp_path):
    if rank:
        pytest.importorskip("peft")
    plan = Plan(steps=4, decay=2, batch=2, warmup=1, checkpoint_steps=2)

    def run(checkpoint, stop=None):
        torch.manual_seed(0)
        model = build_model(build_tower(layers=2, width=32), language, tokenizer)
        model.model.multi_modal_projector.requires_grad_(True)
        if rank:
            add_lora(model, rank, 0)

        def report(line):
            if stop is not None and line.startswith(f"step {stop} "):
                raise KeyboardInterrupt

        try:
            train_reading(model, seen, rows, plan, checkpoint, report)
        except KeyboardInterrupt:
            pass
        return {name: value.detach().clone() for name, value in model.named_parameters() if value.requires_grad}

    whole = run(tmp_path / "whole.safetensors")
    half = run(tmp_path / "killed.safetensors", stop=3)
    again = run(tmp_path / "killed.safetensors")
    assert whole.keys() == again.keys()
    assert len(whole) == 4 + 16 * bool(rank)
    assert any(not torch.equal(whole[name], half[name]) for name in whole)
    for name, value in whole.items():
        assert torch.equal(value, again[name]), name


def test_alignment_and_training_lower_their_losses(model, tokenizer, data, seen, rows, tmp_path):
    lines = []
    align(model, tokenizer, seen, data, 120, 0, lines.append)
    values = [float(re.search(r"loss ([\d.]+)", line)[1]) for line in lines]
    assert values[-1] < 0.8 * values[0]
    before = evaluate(model, seen, rows, range(24))
    train_reading(model, seen, rows, Plan(24, 8, 3, 3e-2, warmup=2), tmp_path / "c.safetensors", lambda _: None)
    assert evaluate(model, seen, rows, range(24)) < 0.95 * before


def test_training_goes_on_from_the_parts_of_another(model, language, tokenizer, tmp_path):
    pytest.importorskip("peft")
    add_lora(model, 2, 0)
    for name, value in model.named_parameters():
        if ".lora_" in name or "projector" in name:
            value.data.copy_(torch.randn_like(value).half())
    save_parts(model, 2, tmp_path)
    other = build_model(build_tower(layers=2, width=32), language, tokenizer)
    add_lora(other, 2, 1)
    read_parts(other, tmp_path)
    for (name, value), again in zip(model.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(again, value, msg=name, atol=1e-3, rtol=1e-3)
