"""Cells of the table of ways of calling (docs/steering.md) that tests of language models leave: LLaVA and MusicGen."""

import threading

import pytest
import torch
from transformers import DynamicCache

from mmsteer.adapters.caches import cache_name
from mmsteer.errors import AdapterError, PositionsError, SteeringError
from mmsteer.steering import Steering, steer
from mmsteer.types import Call
from tests.releases import OLD
from tests.steering.calling import RAMP, by_hand, first_row, one, pushed, pushes, strong, telling
from tests.steering.seeing import llava, samples
from tests.steering.test_calls_of_families import FRAMES, PROMPTS, TOKENS, options

__all__ = ["llava"]

NEW = 6


def ramp(step):
    return step + 1


@pytest.fixture
def seen(llava, monkeypatch):
    """What a LLaVA is given, without its ids: those come first."""
    monkeypatch.setattr(llava.model.generation_config, "eos_token_id", None)
    given = {name: value for name, value in llava.reading(samples(1)).arguments.items() if name != "position_ids"}
    return given.pop("input_ids"), given


# Refused, by name or by transformers.

NO_MODE = "Got incompatible mode for generation"
REMOTE = "requires `trust_remote_code=True`"


def again(model, input_ids, **_):
    return model.generate(input_ids[:, :3], max_new_tokens=2)


LLAVA_REFUSES = {
    "contrastive search": ({"penalty_alpha": 0.6, "top_k": 4}, ValueError, REMOTE),
    "constrained beams": ({"num_beams": 2, "force_words_ids": [[5]]}, ValueError, REMOTE),
    "DoLa": ({"dola_layers": "low"}, ValueError, REMOTE),
    "group beams": ({"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.5}, ValueError, REMOTE),
    "guidance": ({"guidance_scale": 2.0}, AdapterError, "guidance_scale"),
    "token healing": ({"token_healing": True}, AdapterError, "token_healing"),
    "a paged cache": ({"cache_implementation": "paged"}, SteeringError, "batches continuously"),
    "generate inside generate": ({"custom_generate": again}, SteeringError, "inside generate"),
    "early exit": ({"assistant_early_exit": 1}, AttributeError, "num_hidden_layers"),
}


@pytest.mark.parametrize("way", LLAVA_REFUSES)
def test_what_a_llava_cannot_do(llava, seen, way):
    more, error, message = LLAVA_REFUSES[way]
    ids, given = seen
    with steer(llava, telling(llava)) as session:
        with pytest.raises(error, match=message):
            llava.model.generate(ids, **given, max_new_tokens=NEW, **more)
        assert session.receipt().calls == 0
        made = llava.model.generate(ids, **given, max_new_tokens=NEW)
    assert torch.equal(made, by_hand(llava, telling(llava), ids, NEW, pixel_values=given["pixel_values"]))


def test_a_llava_pads_on_the_left(llava, seen):
    ids, given = seen
    padded = torch.cat([ids, torch.zeros_like(ids[:, :2])], dim=1)
    mask = torch.cat([torch.ones_like(ids), torch.zeros_like(ids[:, :2])], dim=1)
    with pytest.raises(AdapterError, match="pad on the left"), steer(llava, strong(llava)):
        llava.model.generate(padded, attention_mask=mask, pixel_values=given["pixel_values"], max_new_tokens=NEW)


MUSIC_REFUSES = {
    "contrastive search": ({"penalty_alpha": 0.6, "top_k": 4}, ValueError, NO_MODE),
    "constrained beams": ({"num_beams": 2, "force_words_ids": [[5]]}, ValueError, NO_MODE),
    "DoLa": ({"dola_layers": "low"}, ValueError, NO_MODE),
    "beams": ({"num_beams": 3}, ValueError, NO_MODE),
    "drafts from the prompt": ({"prompt_lookup_num_tokens": 3}, ValueError, NO_MODE),
    "early exit": ({"assistant_early_exit": 1}, ValueError, NO_MODE),
    "an assistant": ({"assistant_model": torch.nn.Identity()}, ValueError, "assistant_model"),
    "a custom loop": ({"custom_generate": again}, ValueError, "custom_generate"),
    "a prompt in parts": ({"prefill_chunk_size": 1}, ValueError, "prefill chunking"),
    "return sequences": ({"num_return_sequences": 2, "do_sample": True}, AdapterError, "num_return_sequences"),
}


@pytest.mark.parametrize("way", MUSIC_REFUSES)
def test_what_a_musicgen_cannot_do(musicgen, way):
    more, error, message = MUSIC_REFUSES[way]
    with steer(musicgen, one(musicgen)) as session:
        with pytest.raises(error, match=message):
            musicgen.model.generate(PROMPTS, max_new_tokens=TOKENS, **(options() | more))
        assert session.receipt().calls == 0
        musicgen.model.generate(PROMPTS, max_new_tokens=TOKENS, **options())


@pytest.mark.parametrize("name", ["llava", "musicgen"])
def test_no_thoughts_where_there_are_none(request, name):
    adapter = request.getfixturevalue(name)
    with pytest.raises(PositionsError, match="need a model that thinks"):
        with steer(adapter, strong(adapter, positions="thinking")):
            adapter.canary()


# Steered.


class Counting:
    """A streamer that counts what it is given."""

    def __init__(self):
        self.count = 0

    def put(self, value):
        self.count += 1

    def end(self):
        pass


def test_a_llava_streams(llava, seen):
    ids, given = seen
    streamer = Counting()
    with steer(llava, telling(llava, schedule=RAMP)):
        made = llava.model.generate(ids, **given, max_new_tokens=NEW, streamer=streamer)
    assert torch.equal(made, by_hand(llava, telling(llava), ids, NEW, ramp, pixel_values=given["pixel_values"]))
    assert streamer.count == 1 + NEW


@pytest.mark.parametrize("more", [{"streamer": Counting()}, {"cache_implementation": "paged"}], ids=["stream", "paged"])
def test_a_musicgen_streams_and_has_no_other_way_to_batch(musicgen, more):
    """Its `generate` knows no paged cache, and leaves the word alone."""

    def run():
        musicgen.model.generate(PROMPTS, max_new_tokens=TOKENS, **options(), **more)

    found = pushes(musicgen, one(musicgen, "linear"), run)
    wanted = [step / FRAMES for step in range(FRAMES)]
    assert [forward[-1] for forward in first_row(found)][1:][:FRAMES] == pytest.approx(wanted, abs=0.011)


def test_a_musicgen_runs_in_a_thread(musicgen):
    def run():
        given = {"max_new_tokens": TOKENS, **options()}
        thread = threading.Thread(target=musicgen.model.generate, args=(PROMPTS,), kwargs=given)
        thread.start()
        thread.join()

    found = pushes(musicgen, one(musicgen, "linear"), run)
    assert len(found) == TOKENS + 1
    assert first_row(found)[FRAMES][-1] == pytest.approx((FRAMES - 1) / FRAMES, abs=0.011)


@pytest.mark.parametrize("positions", ["all", "generated"])
def test_a_loop_of_ones_own_about_an_image(llava, seen, positions):
    ids, given = seen
    steering, name = telling(llava, positions=positions, schedule=RAMP), cache_name(llava.model)
    made, more = ids, {"pixel_values": given["pixel_values"], name: DynamicCache()}
    with steer(llava, steering) as session, torch.no_grad():
        for _ in range(NEW):
            output = llava.model(input_ids=ids, use_cache=True, **more)
            ids, more = output.logits[:, -1:].argmax(-1), {name: output[name]}
            made = torch.cat([made, ids], dim=1)
    wanted = by_hand(llava, steering, seen[0], NEW, ramp, pixel_values=given["pixel_values"])
    assert torch.equal(made, wanted)
    assert session.receipt().steps == NEW


def test_an_announced_loop_without_a_cache_about_an_image(llava, seen):
    ids, given = seen
    steering = telling(llava, positions="generated", schedule="3*linear + constant(1)")
    made = ids
    with steer(llava, steering) as session, session.call(Call(1, NEW, ids.shape[1])), torch.no_grad():
        for _ in range(NEW):
            logits = llava.model(input_ids=made, pixel_values=given["pixel_values"], use_cache=False).logits
            made = torch.cat([made, logits[:, -1:].argmax(-1)], dim=1)
    wanted = by_hand(llava, steering, ids, NEW, lambda step: 3 * step / NEW + 1, pixel_values=given["pixel_values"])
    assert torch.equal(made, wanted)


def music(musicgen):
    ids = torch.full((8, 3), 5)
    ids[:, 0] = musicgen.model.config.decoder.vocab_size
    return {"input_ids": PROMPTS, "attention_mask": torch.ones_like(PROMPTS), "decoder_input_ids": ids}


def image(llava):
    given = llava.reading(samples(1)).arguments
    return {name: value for name, value in given.items() if name != "position_ids"}


GIVEN = {"llava": image, "musicgen": music}


@pytest.mark.parametrize("name", GIVEN)
def test_gradients_in_training_are_those_of_hooks_by_hand(request, name):
    adapter = request.getfixturevalue(name)
    steering, given, found = strong(adapter), GIVEN[name](adapter), []
    (item,) = steering.attributes
    adapter.model.train()
    try:
        for block in (steer(adapter, steering), pushed(adapter, item.direction, torch.full((1, 1, 1), item.strength))):
            adapter.model.zero_grad()
            torch.manual_seed(0)
            with block:
                adapter.model(**given).logits.logsumexp(-1).sum().backward()
            found.append([one.grad.clone() for one in adapter.model.parameters() if one.grad is not None])
            assert adapter.model.training
    finally:
        adapter.model.eval()
        adapter.model.zero_grad()
    assert len(found[0]) > 10
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


@pytest.fixture
def _compiler():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.mark.usefixtures("_compiler")
@pytest.mark.parametrize("name", GIVEN)
@torch.no_grad()
def test_what_is_compiled_inside_is_steered(request, name):
    adapter = request.getfixturevalue(name)
    given, steering = GIVEN[name](adapter), strong(adapter)
    plain = adapter.model(**given).logits
    with steer(adapter, steering):
        wanted = adapter.model(**given).logits
    with steer(adapter, steering):
        made = torch.compile(adapter.model, backend="eager")(**given).logits
    torch.testing.assert_close(made, wanted)
    assert (made - plain).abs().max() > 0.1


@pytest.mark.usefixtures("_compiler")
@pytest.mark.parametrize("name", GIVEN)
@torch.no_grad()
def test_what_was_compiled_before_is_found_out(request, name):
    adapter = request.getfixturevalue(name)
    model, given = torch.compile(adapter.model, backend="eager"), GIVEN[name](adapter)
    torch._dynamo.config.skip_nnmodule_hook_guards = True
    model(**given)
    with pytest.raises(SteeringError, match="compiled before"), steer(adapter, strong(adapter)):
        model(**given)


@pytest.mark.parametrize("name", GIVEN)
def test_one_session_at_a_time(request, name):
    adapter = request.getfixturevalue(name)
    with steer(adapter, strong(adapter)):
        with pytest.raises(SteeringError, match="is being steered already"), steer(adapter, strong(adapter)):
            pass
        with steer(adapter, Steering()), torch.no_grad():
            adapter.model(**GIVEN[name](adapter))


@pytest.mark.skipif(OLD, reason="older releases cannot cut an image")
def test_a_prompt_with_an_image_in_parts(llava, seen):
    ids, given = seen
    plain = llava.model.generate(ids, **given, max_new_tokens=NEW)
    assert torch.equal(plain, llava.model.generate(ids, **given, max_new_tokens=NEW, prefill_chunk_size=3))
    steering = telling(llava, schedule=RAMP)
    with steer(llava, steering):
        made = llava.model.generate(ids, **given, max_new_tokens=NEW, prefill_chunk_size=3)
    assert torch.equal(made, by_hand(llava, steering, ids, NEW, ramp, pixel_values=given["pixel_values"]))
