"""However a LLaVA and a MusicGen are called, each token is pushed as its step says, or the call is refused."""

import copy
import threading

import pytest
import torch
from transformers import DynamicCache, GenerationConfig, pipeline

from mmsteer.adapters.caches import cache_name
from mmsteer.errors import AdapterError, SteeringError
from mmsteer.steering import Steering, steer
from mmsteer.types import Sample
from tests.releases import needs_newer
from tests.steering.calling import RAMP, Forced, by_hand, first_row, one, pushes, strong, telling
from tests.steering.seeing import direction, llava, picture, samples, steering

__all__ = ["llava"]

NEW = 6


# LLaVA.


@pytest.fixture
def seen(llava, monkeypatch):
    """What a LLaVA is given: the ids, and the rest."""
    monkeypatch.setattr(llava.model.generation_config, "eos_token_id", None)
    given = {name: value for name, value in llava.reading(samples(1)).arguments.items() if name != "position_ids"}
    return given.pop("input_ids"), given


LLAVA_CALLS = {
    "by name": lambda model, ids, given: model.generate(input_ids=ids, max_new_tokens=NEW, **given),
    "by position": lambda model, ids, given: model.generate(ids, GenerationConfig(max_new_tokens=NEW), **given),
    "a whole length": lambda model, ids, given: model.generate(ids, max_length=ids.shape[1] + NEW, **given),
    "without a cache": lambda model, ids, given: model.generate(ids, max_new_tokens=NEW, use_cache=False, **given),
    "a static cache": lambda model, ids, given: model.generate(
        ids, max_new_tokens=NEW, cache_implementation="static", disable_compile=True, **given
    ),
    "a thread": lambda model, ids, given: _in_a_thread(model, ids, given),
}


def _in_a_thread(model, ids, given):
    made = []
    thread = threading.Thread(target=lambda: made.append(model.generate(ids, max_new_tokens=NEW, **given)))
    thread.start()
    thread.join()
    return made[0]


@pytest.mark.parametrize("positions", ["all", "last", "generated", "generated | last"])
@pytest.mark.parametrize("call", LLAVA_CALLS)
def test_a_llava_is_steered_as_in_a_plain_loop(llava, seen, call, positions):
    ids, given = seen
    pushing = telling(llava, positions=positions, schedule="3*linear + constant(1)")
    wanted = by_hand(llava, pushing, ids, NEW, lambda step: 3 * step / NEW + 1, pixel_values=given["pixel_values"])
    with steer(llava, pushing) as session:
        made = LLAVA_CALLS[call](llava.model, ids, given)
    assert torch.equal(made, wanted)
    assert session.receipt().steps == NEW


@pytest.mark.parametrize("positions", ["all", "last", "generated"])
@pytest.mark.parametrize(
    "more", [pytest.param({"prompt_lookup_num_tokens": 3}, marks=needs_newer), {"prefill_chunk_size": 3}]
)
def test_a_llava_without_an_image_may_draft_and_take_its_prompt_in_parts(llava, seen, more, positions):
    """With one, transformers drafts image tokens, and cannot cut the image."""
    ids = llava.reading([Sample("0", "the image shows the image shows")]).arguments["input_ids"]
    pushing = telling(llava, positions=positions, schedule=RAMP)
    with steer(llava, pushing) as session:
        made = llava.model.generate(ids, max_new_tokens=NEW, **more)
    assert torch.equal(made, by_hand(llava, pushing, ids, NEW, lambda step: step + 1))
    assert session.receipt().steps == NEW


def test_a_second_turn_needs_no_second_image(llava, seen):
    ids, given = seen
    cache = DynamicCache(config=llava.model.config.get_text_config())
    with steer(llava, steering(direction(llava, ["vision.1", "text.1"]), 2.0)) as session:
        options = {"max_new_tokens": NEW, cache_name(llava.model): cache}
        first = llava.model.generate(ids, **given, **options)
        llava.model.generate(torch.cat([first, ids[:, -2:]], dim=1), **options)
    assert session.receipt().calls == 2


def test_embeddings_hide_where_the_image_is(llava, seen):
    ids, _ = seen
    embeds = llava.model.get_input_embeddings()(ids)
    with pytest.raises(AdapterError, match="images cannot be found; give it input_ids"), steer(llava, strong(llava)):
        llava.model.generate(inputs_embeds=embeds, max_new_tokens=NEW)


def test_an_image_pipeline(llava, monkeypatch):
    monkeypatch.setattr(llava.model.generation_config, "eos_token_id", None)
    asked = [{"role": "user", "content": [{"type": "image", "image": picture()}, {"type": "text", "text": "the cup"}]}]
    reader = pipeline("image-text-to-text", model=llava.model, processor=llava.processor)
    inputs = llava.processor.apply_chat_template(
        asked, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    pushing = telling(llava, schedule="3*linear + constant(1)")
    with steer(llava, pushing):
        (found,) = reader(text=asked, max_new_tokens=NEW, return_tensors=True)
    ids, pixels = inputs["input_ids"], inputs["pixel_values"]
    wanted = by_hand(llava, pushing, ids, NEW, lambda step: 3 * step / NEW + 1, pixel_values=pixels)
    assert found["generated_token_ids"].tolist() == wanted[0].tolist()


@pytest.mark.parametrize("method", ["generate_batch", "init_continuous_batching"])
@pytest.mark.parametrize("name", ["llava", "musicgen"])
def test_continuous_batching_is_refused_where_there_is_any(request, name, method):
    adapter = request.getfixturevalue(name)
    with pytest.raises(SteeringError, match="batches continuously"), steer(adapter, strong(adapter)):
        getattr(adapter.model, method)([[1, 2]])


# MusicGen.

FRAMES = 16
TOKENS = FRAMES + 3
PROMPTS = torch.tensor([[3, 4, 6, 8, 1], [3, 5, 7, 8, 1]])


def options():
    # Anew for each call: MusicGen adds its guidance to the list that it is given.
    return {"attention_mask": torch.ones_like(PROMPTS), "do_sample": False, "logits_processor": [Forced()]}


MUSIC_CALLS = {
    "by name": lambda model: model.generate(input_ids=PROMPTS, max_new_tokens=TOKENS, **options()),
    "by position": lambda model: model.generate(PROMPTS, max_new_tokens=TOKENS, **options()),
    "a configuration by position": lambda model: model.generate(
        PROMPTS, GenerationConfig(max_new_tokens=TOKENS), **options()
    ),
    "a configuration by name": lambda model: model.generate(
        PROMPTS, generation_config=GenerationConfig(max_new_tokens=TOKENS), **options()
    ),
    "arguments over a configuration": lambda model: model.generate(
        PROMPTS, GenerationConfig(max_new_tokens=9), max_new_tokens=TOKENS, **options()
    ),
    "a whole length": lambda model: model.generate(PROMPTS, max_length=TOKENS + 1, **options()),
    "a length of the configuration": lambda model: model.generate(
        PROMPTS, GenerationConfig(max_length=TOKENS), **options()
    ),
    "without a cache": lambda model: model.generate(PROMPTS, max_new_tokens=TOKENS, use_cache=False, **options()),
    "in inference mode": lambda model: torch.inference_mode()(model.generate)(
        PROMPTS, max_new_tokens=TOKENS, **options()
    ),
    "embeddings": lambda model: model.generate(
        inputs_embeds=model.text_encoder.get_input_embeddings()(PROMPTS), max_new_tokens=TOKENS, **options()
    ),
    "states of the text": lambda model: model.generate(
        encoder_outputs=model.text_encoder(PROMPTS), max_new_tokens=TOKENS, guidance_scale=1.0, **options()
    ),
}


@pytest.mark.parametrize("call", MUSIC_CALLS)
def test_a_ramp_over_music_ends_where_the_music_ends(musicgen, call):
    wanted = [round(step / FRAMES, 2) for step in range(FRAMES)]
    found = pushes(musicgen, one(musicgen, "linear"), lambda: MUSIC_CALLS[call](musicgen.model))
    # The prompt runs twice, and tokens of delayed codebooks come after the last frame.
    assert [forward[-1] for forward in first_row(found)][1:][:FRAMES] == pytest.approx(wanted, abs=0.011)
    assert len(found) == TOKENS + 1


@pytest.mark.parametrize("call", ["by position", "embeddings", "states of the text"])
def test_a_list_is_held_against_the_prompts_of_music(musicgen, call):
    with pytest.raises(SteeringError, match="is for 4 samples, generate was given 2"):
        with steer(musicgen, [strong(musicgen)] * 4):
            MUSIC_CALLS[call](musicgen.model)


def test_the_models_own_length_counts_in_new_tokens(musicgen):
    assert musicgen.call({"inputs": PROMPTS}).steps == 200 - 3
    with steer(musicgen, one(musicgen)) as session:
        audio = musicgen.model.generate(PROMPTS[:1], attention_mask=torch.ones_like(PROMPTS[:1]), do_sample=False)
    frames = round(audio.shape[-1] / musicgen.sample_rate * musicgen.rate)
    assert frames == 200 - 3
    assert session.receipt().steps == 200


@pytest.mark.parametrize("with_start", [True, False])
def test_an_audio_prompt_as_codes_is_part_of_the_length(musicgen, with_start):
    codes = torch.full((2, 4, 5), 7)
    start = torch.full((2, 4, 1), musicgen.model.config.decoder.pad_token_id)
    ids = (torch.cat([start, codes], dim=-1) if with_start else codes).flatten(0, 1)

    def run():
        musicgen.model.generate(PROMPTS, decoder_input_ids=ids, max_new_tokens=TOKENS - 5, **options())

    found = pushes(musicgen, one(musicgen, "linear"), run)
    assert first_row(found)[0] == pytest.approx([step / FRAMES for step in range(6)], abs=0.011)


@needs_newer
def test_an_audio_pipeline(musicgen, monkeypatch):
    # The pipeline writes how it samples into the model's configuration.
    monkeypatch.setattr(musicgen.model, "config", copy.deepcopy(musicgen.model.config))
    composer = pipeline("text-to-audio", model=musicgen.model, tokenizer=musicgen.processor.tokenizer)
    found = {}
    how = {"max_new_tokens": TOKENS, "do_sample": False}

    def run():
        found["audio"] = composer("a slow piano", generate_kwargs=how)["audio"]

    with steer(musicgen, strong(musicgen, schedule=RAMP)):
        run()
    piped = found["audio"]
    inputs = musicgen.processor.tokenizer(["a slow piano"], return_tensors="pt")
    with steer(musicgen, strong(musicgen, schedule=RAMP)):
        wanted = musicgen.model.generate(**inputs, **how)
    run()
    torch.testing.assert_close(torch.as_tensor(piped).flatten(), wanted.flatten())
    assert not torch.equal(torch.as_tensor(found["audio"]).flatten(), wanted.flatten())


def test_unconditional_music_has_as_many_samples_as_it_is_asked_for(musicgen):
    inputs = musicgen.model.get_unconditional_inputs(num_samples=2)
    with steer(musicgen, [Steering(), one(musicgen)]) as session:
        musicgen.model.generate(**inputs, max_new_tokens=TOKENS, do_sample=False)
    assert session.receipt().rows == 2
    with pytest.raises(SteeringError, match="is for 3 samples"), steer(musicgen, [one(musicgen)] * 3):
        musicgen.model.generate(**inputs, max_new_tokens=TOKENS, do_sample=False)
