"""However `generate` is called, the tokens are those of a plain loop that torch's own hooks push."""

import threading

import pytest
import torch
from transformers import DynamicCache, GenerationConfig, StoppingCriteria, TextIteratorStreamer, pipeline

from mmsteer.adapters.caches import cache_name
from mmsteer.errors import AdapterError, PositionsError, SteeringError
from mmsteer.steering import Steering, steer
from tests.releases import needs_newer
from tests.steering.calling import IDS, RAMP, by_hand, language, one, strong, telling

__all__ = ["language"]

NEW = 8


def ramp(step):
    return step + 1


@pytest.fixture
def model(language):
    return language.model


CALLS = {
    "ids by name": lambda model: model.generate(input_ids=IDS, max_new_tokens=NEW),
    "ids by position": lambda model: model.generate(IDS, max_new_tokens=NEW),
    "inputs": lambda model: model.generate(inputs=IDS, max_new_tokens=NEW),
    "a configuration by position": lambda model: model.generate(IDS, GenerationConfig(max_new_tokens=NEW)),
    "a configuration by name": lambda model: model.generate(
        IDS, generation_config=GenerationConfig(max_new_tokens=NEW)
    ),
    "arguments over a configuration": lambda model: model.generate(
        IDS, GenerationConfig(max_new_tokens=3), max_new_tokens=NEW
    ),
    "a whole length": lambda model: model.generate(IDS, max_length=IDS.shape[1] + NEW),
    "without a cache": lambda model: model.generate(IDS, max_new_tokens=NEW, use_cache=False),
    "a static cache": lambda model: model.generate(
        IDS, max_new_tokens=NEW, cache_implementation="static", disable_compile=True
    ),
    "embeddings": lambda model: _with_prompt(
        model.generate(inputs_embeds=model.get_input_embeddings()(IDS), max_new_tokens=NEW)
    ),
    "embeddings of a whole length": lambda model: _with_prompt(
        model.generate(inputs_embeds=model.get_input_embeddings()(IDS), max_length=IDS.shape[1] + NEW)
    ),
    "ids and embeddings": lambda model: model.generate(
        IDS, inputs_embeds=model.get_input_embeddings()(IDS), max_new_tokens=NEW
    ),
    "a prompt in parts": lambda model: model.generate(IDS, max_new_tokens=NEW, prefill_chunk_size=3),
    "a prompt in even parts": lambda model: model.generate(IDS, max_new_tokens=NEW, prefill_chunk_size=2),
    "a dictionary": lambda model: (
        model.generate(IDS, max_new_tokens=NEW, return_dict_in_generate=True, output_scores=True).sequences
    ),
    "inference mode": lambda model: _in_inference_mode(model),
    "a custom loop": lambda model: model.generate(IDS, max_new_tokens=NEW, custom_generate=_loop),
    "the class's own method": lambda model: type(model).generate(model, IDS, max_new_tokens=NEW),
}
ALONE = {
    "looked up in the prompt": {"prompt_lookup_num_tokens": 3},
    "drafted by its first layer": {"assistant_early_exit": 1},
}


def _with_prompt(made):
    return torch.cat([IDS, made], dim=1)


def _in_inference_mode(model):
    with torch.inference_mode():
        return model.generate(IDS, max_new_tokens=NEW).clone()


def _loop(model, input_ids, logits_processor, stopping_criteria, generation_config, **kwargs):
    for _ in range(NEW):
        logits = model(input_ids=input_ids, use_cache=False).logits
        input_ids = torch.cat([input_ids, logits[:, -1:].argmax(-1)], dim=1)
    return input_ids


@pytest.mark.parametrize("positions", ["all", "last", "generated", "generated | last"])
@pytest.mark.parametrize("call", CALLS)
def test_every_way_of_calling_is_steered_as_a_plain_loop_is(language, call, positions):
    steering = telling(language, positions=positions)
    wanted = by_hand(language, steering, IDS, NEW)
    assert not torch.equal(wanted, by_hand(language, Steering(one(language, strength=0.0).attributes), IDS, NEW))
    with steer(language, steering):
        made = CALLS[call](language.model)
    assert torch.equal(made, wanted)


@pytest.mark.parametrize("call", CALLS)
def test_the_clock_is_the_same_however_it_is_called(language, call):
    steering = telling(language, schedule=RAMP)
    with steer(language, steering):
        made = CALLS[call](language.model)
    assert torch.equal(made, by_hand(language, steering, IDS, NEW, ramp))


@pytest.mark.parametrize("call", [call for call in CALLS if call != "the class's own method"])
def test_the_length_is_known_however_it_is_given(language, call):
    steering = telling(language, schedule="2*linear + constant(0.5)")
    with steer(language, steering) as session:
        made = CALLS[call](language.model)
    assert torch.equal(made, by_hand(language, steering, IDS, NEW, lambda step: 2 * step / NEW + 0.5))
    assert session.receipt().steps == NEW
    assert session.receipt().tokens == 2 * (IDS.shape[1] + NEW - 1)


@pytest.mark.parametrize("schedule", ["fade-in", "linear(0%..100%)"])
@pytest.mark.parametrize("call", ["ids by position", "a whole length", "embeddings", "embeddings of a whole length"])
def test_a_ramp_that_names_no_end_ends_where_the_output_does(language, call, schedule):
    steering = one(language, strength=6.0, schedule=schedule)
    wanted = by_hand(language, steering, IDS, NEW, lambda step: step / NEW)
    assert not torch.equal(wanted, by_hand(language, steering, IDS, NEW, lambda step: step / 20))
    assert not torch.equal(wanted, by_hand(language, steering, IDS, NEW, lambda step: 0.0))
    with steer(language, steering):
        assert torch.equal(CALLS[call](language.model), wanted)


def test_without_a_length_there_are_twenty_tokens(language):
    steering = telling(language, schedule="2*linear + constant(0.5)")
    with steer(language, steering), pytest.warns(UserWarning, match="model-agnostic default"):
        made = language.model.generate(IDS)
    assert torch.equal(made, by_hand(language, steering, IDS, 20, lambda step: 2 * step / 20 + 0.5))


def test_the_models_own_configuration_counts(language, monkeypatch):
    steering = telling(language, schedule="2*linear + constant(0.5)")
    monkeypatch.setattr(language.model.generation_config, "max_length", IDS.shape[1] + 5)
    with steer(language, steering):
        made = language.model.generate(IDS)
    assert torch.equal(made, by_hand(language, steering, IDS, 5, lambda step: 2 * step / 5 + 0.5))


@pytest.mark.parametrize("positions", ["all", "last", "first", "generated", "generated | last"])
@pytest.mark.parametrize("schedule", ["constant(1)", RAMP])
@pytest.mark.parametrize(
    "how", [pytest.param("looked up in the prompt", marks=needs_newer), "drafted by its first layer"]
)
def test_assisted_decoding_gives_each_token_its_own_step(language, how, schedule, positions):
    steering = telling(language, positions=positions, schedule=schedule)
    layers = language.model.config.num_hidden_layers
    wanted = by_hand(language, steering, IDS[:1], 12, ramp if schedule == RAMP else lambda step: 1.0)
    with steer(language, steering) as session:
        made = language.model.generate(IDS[:1], max_new_tokens=12, **ALONE[how])
    assert torch.equal(made, wanted)
    assert language.model.config.num_hidden_layers == layers
    assert session.receipt().steps == 12


@pytest.mark.parametrize("positions", ["all", "last", "generated"])
def test_an_assistant_is_not_steered_and_changes_nothing(language, llama, positions):
    steering = telling(language, positions=positions, schedule=RAMP)
    wanted = by_hand(language, steering, IDS[:1], 12, ramp)
    with steer(language, steering):
        made = language.model.generate(IDS[:1], max_new_tokens=12, assistant_model=llama)
    assert torch.equal(made, wanted)


PADDED = torch.tensor([[0, 0, 0, 5, 6, 7, 8], [5, 6, 7, 8, 9, 5, 6]])
CACHES = {"dynamic": {}, "static": {"cache_implementation": "static", "disable_compile": True}}


@pytest.mark.parametrize("cache", CACHES)
@pytest.mark.parametrize("chunk", [1, 2, 3, 5])
@pytest.mark.parametrize(
    ("how", "tokens"),
    [
        ({"positions": "first"}, 2),
        ({"positions": "all - first"}, 3 + 6 + 2 * (NEW - 1)),
        ({"operator": "rotate", "unit": "token"}, 3 + 6 + 2 * (NEW - 1)),
    ],
    ids=["first", "all but it", "a rotation"],
)
def test_a_padded_prompt_in_parts_has_one_first_token(language, how, tokens, chunk, cache):
    options = {"attention_mask": (PADDED != 0).long(), "max_new_tokens": NEW, **CACHES[cache]}
    with steer(language, [telling(language, **how), Steering()]) as session:
        alone = language.model.generate(PADDED, prefill_chunk_size=chunk, **options)
        assert session.receipt_of(1, NEW).tokens == 0
    with steer(language, telling(language, **how)) as session:
        made = language.model.generate(PADDED, prefill_chunk_size=chunk, **options)
        whole = language.model.generate(PADDED, **options)
    assert torch.equal(made, whole)
    assert torch.equal(alone[0], made[0])
    assert session.receipt().tokens == 2 * tokens


def second_turn(model, whole):
    cache = DynamicCache(config=model.config)
    first = model.generate(IDS, max_new_tokens=NEW, **{cache_name(model): cache})
    more = torch.cat([first, IDS[:, :3]], dim=1)
    new = more if whole else more[:, cache.get_seq_length() :]
    made = model.generate(new, attention_mask=torch.ones_like(more), max_new_tokens=4, **{cache_name(model): cache})
    return more, made[:, -4:]


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("positions", ["all", "first"])
def test_a_second_turn_on_a_kept_cache(language, positions, whole):
    steering = telling(language, positions=positions)
    with steer(language, steering) as session:
        more, made = second_turn(language.model, whole)
    assert torch.equal(made, by_hand(language, steering, more, 4)[:, -4:])
    assert session.receipt().calls == 2


def test_a_second_turn_has_a_clock_of_its_own(language):
    steering = strong(language, positions="generated | last", schedule=RAMP)
    seen = []
    for whole in (True, False):
        with steer(language, steering):
            seen.append(second_turn(language.model, whole)[1])
    assert torch.equal(*seen)


def test_a_cache_from_elsewhere_has_no_first_token(language):
    cache = DynamicCache(config=language.model.config)
    more = language.model.generate(IDS, max_new_tokens=NEW, **{cache_name(language.model): cache})
    # An answer of random weights may end in what would otherwise be padding.
    kept = {cache_name(language.model): cache, "attention_mask": torch.ones_like(more)}
    with pytest.raises(PositionsError, match="select none"), steer(language, strong(language, positions="first")):
        language.model.generate(more, max_new_tokens=4, **kept)


def test_beams_and_return_sequences_have_the_length_too(language):
    options = {"max_length": IDS.shape[1] + NEW, "num_beams": 3, "num_return_sequences": 2}
    with steer(language, [Steering(), strong(language, schedule="linear")]) as session:
        made = language.model.generate(IDS, **options)
    plain = language.model.generate(IDS, **options)
    assert torch.equal(made[:2], plain[:2])
    assert not torch.equal(made[2:], plain[2:])
    assert session.receipt().rows == 6


@pytest.mark.parametrize("call", ["ids by position", "embeddings"])
def test_a_list_is_held_against_the_prompts(language, call):
    with pytest.raises(SteeringError, match="is for 3 samples, generate was given 2"):
        with steer(language, [strong(language)] * 3):
            CALLS[call](language.model)


class Words:
    """A tokenizer of numbers, as far as a streamer needs one."""

    def decode(self, ids, **_):
        return " ".join(map(str, ids)) + " "


def test_a_thread_with_a_streamer(language):
    steering = telling(language)
    streamer = TextIteratorStreamer(Words(), skip_prompt=True)
    with steer(language, steering):
        options = {"inputs": IDS[:1], "max_new_tokens": NEW, "streamer": streamer}
        thread = threading.Thread(target=language.model.generate, kwargs=options)
        thread.start()
        text = "".join(streamer)
    thread.join()
    assert text.split() == [
        str(token) for token in by_hand(language, steering, IDS[:1], NEW)[0, IDS.shape[1] :].tolist()
    ]


def test_a_text_pipeline(language):
    steering = telling(language, schedule="2*linear + constant(0.5)")
    tokenizer = language.processor
    words = "describe the image is there a cup"
    ids = tokenizer(words, return_tensors="pt").input_ids
    generator = pipeline("text-generation", model=language.model, tokenizer=tokenizer)
    with steer(language, steering):
        (found,) = generator(words, max_new_tokens=NEW, do_sample=False, return_tensors=True)
    wanted = by_hand(language, steering, ids, NEW, lambda step: 2 * step / NEW + 0.5)
    assert found["generated_token_ids"] == wanted[0].tolist()


@pytest.mark.parametrize(
    "method", ["generate_batch", "init_continuous_batching", "continuous_batching_context_manager"]
)
def test_continuous_batching_is_refused(language, method):
    with pytest.raises(SteeringError, match=f"{method} batches continuously"), steer(language, strong(language)):
        getattr(language.model, method)(inputs=IDS.tolist())
    assert method not in vars(language.model)


def test_a_paged_cache_is_refused(language):
    with pytest.raises(SteeringError, match="batches continuously"), steer(language, strong(language)):
        language.model.generate(IDS, max_new_tokens=2, cache_implementation="paged")


def test_a_manager_from_before_is_refused(language):
    class PagedAttentionCache:
        pass

    with pytest.raises(AdapterError, match="PagedAttentionCache, which packs"), steer(language, strong(language)):
        language.model(input_ids=IDS, **{cache_name(language.model): PagedAttentionCache()})


@pytest.mark.parametrize(
    "more",
    [
        {"penalty_alpha": 0.6, "top_k": 4},
        {"num_beams": 2, "force_words_ids": [[5]]},
        {"dola_layers": "low"},
        {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.5},
    ],
    ids=["contrastive", "constrained", "DoLa", "group beams"],
)
def test_searches_that_are_remote_code_are_refused_by_transformers(language, more):
    steering = telling(language)
    with steer(language, steering) as session:
        with pytest.raises(ValueError, match="requires `trust_remote_code=True`"):
            language.model.generate(IDS, max_new_tokens=NEW, **more)
        assert session.receipt().calls == 0
        made = language.model.generate(IDS, max_new_tokens=NEW)
    assert torch.equal(made, by_hand(language, steering, IDS, NEW))


@pytest.mark.parametrize("with_mask", [True, False])
def test_prompts_padded_on_the_right_are_refused(language, with_mask):
    ids = torch.tensor([[5, 6, 7, 0, 0], [5, 6, 7, 8, 9]])
    mask = {"attention_mask": (ids != 0).long()} if with_mask else {}
    steering = telling(language)
    with steer(language, steering):
        with pytest.raises(AdapterError, match="pad on the left"):
            language.model.generate(ids, max_new_tokens=NEW, **mask)
        made = language.model.generate(ids[:1].roll(2, 1), max_new_tokens=NEW)
    assert torch.equal(made[:, 5:], by_hand(language, steering, ids[:1, :3], NEW)[:, 3:])


def test_token_healing_is_refused(language):
    with pytest.raises(AdapterError, match="token_healing"), steer(language, strong(language)):
        language.model.generate(IDS, max_new_tokens=2, token_healing=True)


def test_another_generate_inside_generate_is_refused(language):
    def again(model, input_ids, **_):
        return model.generate(input_ids[:, :3], max_new_tokens=2)

    with pytest.raises(SteeringError, match="inside generate"), steer(language, strong(language)):
        language.model.generate(IDS, max_new_tokens=NEW, custom_generate=again)


class Interrupt(StoppingCriteria):
    def __call__(self, input_ids, scores, **kwargs):
        raise KeyboardInterrupt


def test_a_call_that_was_interrupted_is_in_no_book_and_stops_no_later_one(language):
    steering = telling(language)
    with steer(language, steering) as session:
        with pytest.raises(KeyboardInterrupt):
            language.model.generate(IDS, max_new_tokens=NEW, stopping_criteria=[Interrupt()])
        assert session.receipt().calls == 0
        made = language.model.generate(IDS, max_new_tokens=NEW)
    assert torch.equal(made, by_hand(language, steering, IDS, NEW))
    assert session.receipt().calls == 1


def test_these_pushes_tell_apart_what_these_tests_hold(language):
    kinds = [(positions, lambda step: 1.0) for positions in ("all", "last", "first", "generated", "generated | last")]
    kinds += [("all", lambda step, size=size: size) for size in (0.0, 0.5)]
    kinds += [
        ("all", ramp),
        ("generated", ramp),
        ("all", lambda step: step + 2),
        ("all", lambda step: 2 * step / NEW + 0.5),
    ]
    made = {str(by_hand(language, telling(language, positions=at), IDS, NEW, when)) for at, when in kinds}
    assert len(made) == len(kinds)
