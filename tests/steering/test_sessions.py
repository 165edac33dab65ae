"""What a session lets run: the user's own loops, threads, compiled code, training; and what it refuses at its end."""

import copy
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM, StaticCache

from mmsteer import hooks
from mmsteer.adapters import adapt
from mmsteer.adapters.caches import cache_name
from mmsteer.errors import PositionsError, SteeringError
from mmsteer.schedules import parse_schedule
from mmsteer.steering import Attribute, Gate, Steering, steer
from mmsteer.types import Call
from tests.conftest import planted
from tests.steering.calling import IDS, RAMP, by_hand, language, one, pushed, strong, telling
from tests.steering.causal import CausalAdapter

__all__ = ["language"]

NEW = 6


def loop(adapter, ids, new=NEW, cache=None):
    """A greedy loop of one's own, with a cache."""
    name, made = cache_name(adapter.model), ids
    for _ in range(new):
        with torch.no_grad():
            output = adapter.model(input_ids=ids, use_cache=True, **{name: cache})
        ids, cache = output.logits[:, -1:].argmax(-1), output[name]
        made = torch.cat([made, ids], dim=1)
    return made


@pytest.mark.parametrize("cache", [None, DynamicCache, StaticCache])
@pytest.mark.parametrize("positions", ["all", "last", "first", "generated", "generated | last"])
def test_an_own_loop_is_steered_as_a_plain_one(language, positions, cache):
    steering = telling(language, positions=positions, schedule=RAMP)
    options = {"config": language.model.config, **({"max_cache_len": 32} if cache is StaticCache else {})}
    with steer(language, steering) as session:
        made = loop(language, IDS, cache=cache and cache(**options))
    assert torch.equal(made, by_hand(language, steering, IDS, NEW, lambda step: step + 1))
    assert (session.receipt().calls, session.receipt().steps) == (1, NEW)


def test_own_loops_follow_one_another(language):
    steering = telling(language, positions="generated", schedule=RAMP)
    with steer(language, steering) as session:
        made = [loop(language, ids) for ids in (IDS, IDS[:, :4], IDS[:1])]
    for ids, found in zip((IDS, IDS[:, :4], IDS[:1]), made, strict=True):
        assert torch.equal(found, by_hand(language, steering, ids, NEW, lambda step: step + 1))
    assert session.receipt().calls == 3


def test_an_own_loop_that_generates_nothing_steers_no_generated_token(language):
    with pytest.raises(PositionsError, match="'generated' select none"):
        with steer(language, strong(language, positions="generated")):
            loop(language, IDS, 1)


def test_an_own_loop_without_a_cache_is_steered_where_it_is_announced(language):
    steering = telling(language, positions="generated", schedule=RAMP)
    ids = IDS
    with steer(language, steering) as session, session.call(Call(1, NEW, IDS.shape[1])), torch.no_grad():
        for _ in range(NEW):
            logits = language.model(input_ids=ids, use_cache=False).logits
            ids = torch.cat([ids, logits[:, -1:].argmax(-1)], dim=1)
    assert torch.equal(ids, by_hand(language, steering, IDS, NEW, lambda step: step + 1))


def test_own_loops_that_take_turns_are_refused(language):
    name, model = cache_name(language.model), language.model
    with steer(language, strong(language)):
        first = model(input_ids=IDS, use_cache=True)
        model(input_ids=IDS[:, :3], use_cache=True)
        with pytest.raises(SteeringError, match="two sequences take turns"):
            model(input_ids=IDS[:, :1], use_cache=True, **{name: first[name]})


def test_a_cache_that_was_copied_or_cut_goes_on(language):
    name, model, steering = cache_name(language.model), language.model, one(language, schedule=RAMP)
    with steer(language, steering), torch.no_grad():
        first = model(input_ids=IDS, use_cache=True)[name]
        second = copy.deepcopy(first)
        model(input_ids=IDS[:, :2], use_cache=True, **{name: second})
        second.crop(-1)
        model(input_ids=IDS[:, :1], use_cache=True, **{name: second})


# One session at a time.


def test_a_second_session_on_a_model_is_refused(language):
    with steer(language, telling(language)):
        with pytest.raises(SteeringError, match="is being steered already"), steer(language, telling(language)):
            pass
        made = language.model.generate(IDS, max_new_tokens=NEW)
    assert torch.equal(made, by_hand(language, telling(language), IDS, NEW))
    with steer(language, telling(language)):
        assert torch.equal(language.model.generate(IDS, max_new_tokens=NEW), made)


def test_an_unsteered_session_stands_in_nobodys_way(language):
    with steer(language, Steering()), steer(language, telling(language)), steer(language, Steering()):
        made = language.model.generate(IDS, max_new_tokens=NEW)
    assert torch.equal(made, by_hand(language, telling(language), IDS, NEW))


def test_sessions_that_generators_hold_leave_nothing_behind(language):
    def held(steering):
        with steer(language, steering):
            yield language.model.generate(IDS, max_new_tokens=NEW)

    first = held(telling(language))
    next(first)
    with pytest.raises(SteeringError, match="is being steered already"):
        next(held(telling(language)))
    first.close()
    assert "generate" not in vars(language.model)
    assert torch.equal(
        language.model.generate(IDS, max_new_tokens=NEW), by_hand(language, one(language, strength=0.0), IDS, NEW)
    )


class Named(torch.nn.Module):
    def name(self):
        return "name"


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
def test_blocks_around_a_method_end_in_any_order(order):
    def around(mark):
        return hooks.around(model, "name", lambda inner: lambda: mark + inner() + mark)

    model = Named()
    blocks = [around(mark) for mark in "abc"]
    left = ["a", "b", "c"]
    for block in blocks:
        block.__enter__()
    for place in order:
        blocks[place].__exit__(None, None, None)
        left.remove("abc"[place])
        assert model.name() == "".join(reversed(left)) + "name" + "".join(left)
    assert "name" not in vars(model)


def test_a_function_that_somebody_else_puts_around_a_method_stays():
    model = Named()
    with hooks.around(model, "name", lambda inner: lambda: "a" + inner()):
        inside = model.name
        model.name = lambda: "b" + inside()
        assert model.name() == "baname"
    assert model.name() == "bname"


# Threads.


@pytest.mark.parametrize("run", ["generate", "loop"])
def test_threads_wait_for_one_another(language, run):
    """Prompts of other lengths in two threads; own loops, which cannot wait, are right or refused."""
    steering = telling(language, positions="generated | last", schedule=RAMP)
    prompts = [IDS[:1, : 2 + turn % 4] for turn in range(12)]
    wanted = [by_hand(language, steering, ids, NEW, lambda step: step + 1) for ids in prompts]

    def answer(ids):
        if run == "generate":
            return language.model.generate(ids, max_new_tokens=NEW)
        try:
            return loop(language, ids, 1)
        except SteeringError as refusal:
            return str(refusal)

    with steer(language, steering) as session, ThreadPoolExecutor(2) as pool:
        found = list(pool.map(answer, prompts))
    for made, right in zip(found, wanted, strict=True):
        assert torch.equal(made, right[:, : made.shape[1]])
    assert session.receipt().calls == len(prompts)


def test_models_of_their_own_are_steered_in_threads_of_their_own(language):
    steering, made = telling(language), {}

    def run(name):
        adapter = adapt(copy.deepcopy(language.model), language.processor)
        for _ in range(2):
            with steer(adapter, steering):
                made[name] = adapter.model.generate(IDS, max_new_tokens=NEW)

    threads = [threading.Thread(target=run, args=(name,)) for name in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(made[name], by_hand(language, steering, IDS, NEW)) for name in range(2))


def test_the_end_of_a_session_waits_for_a_thread(language):
    begun = threading.Event()

    class Begun:
        def __call__(self, input_ids, scores):
            begun.set()
            return scores

    found = []

    def answer():
        found.append(language.model.generate(IDS, max_new_tokens=20, logits_processor=[Begun()]))

    thread = threading.Thread(target=answer)
    with steer(language, telling(language)) as session:
        thread.start()
        begun.wait()
    thread.join()
    assert torch.equal(found[0], by_hand(language, telling(language), IDS, 20))
    assert session.receipt().steps == 20


# Code that was compiled before, and sessions in which nothing runs.


def compiled(model):
    torch.compiler.reset()
    model = torch.compile(model, backend="eager")
    with torch.no_grad():
        model(input_ids=IDS, use_cache=False)
    return model


def test_a_model_that_was_compiled_before_is_found_out(language):
    model = compiled(language.model)
    with pytest.raises(SteeringError, match="nothing was steered: the stack 'text' did not run"):
        with steer(language, strong(language)), torch.no_grad():
            model(input_ids=IDS, use_cache=False)
    torch.compiler.reset()


def test_a_model_that_is_compiled_inside_is_steered(language):
    torch.compiler.reset()
    with steer(language, strong(language)) as session, torch.no_grad():
        found = torch.compile(language.model, backend="eager")(input_ids=IDS, use_cache=False).logits
    torch.compiler.reset()
    amounts = torch.full((1, 1, 1), 6.0)
    with pushed(language, strong(language).attributes[0].direction, amounts), torch.no_grad():
        torch.testing.assert_close(found, language.model(input_ids=IDS, use_cache=False).logits)
    assert session.receipt().tokens == IDS.numel()


def without_hooks(adapter, layers, then):
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        for layer in layers:
            patch.setattr(layer, "_forward_hooks", {})
        adapter.model(input_ids=IDS, use_cache=False)
    then(adapter)


@pytest.mark.parametrize("then", [lambda _: None, lambda adapter: loop(adapter, IDS)])
def test_a_forward_without_the_edits_is_found_out_though_its_clock_ticks(language, then):
    """torch.compile leaves the hooks of the outermost module outside the graph: they run although the edits do not."""
    layers = [language.module(site) for site in strong(language).attributes[0].direction.sites]
    message = r"the stack 'text' ran, but not the edits in it.*compiled before steering"
    with pytest.raises(SteeringError, match=message), steer(language, strong(language)):
        without_hooks(language, layers, then)


def test_a_session_in_which_nothing_runs_is_refused_unless_something_else_went_wrong(language):
    with pytest.raises(SteeringError, match="where there is nothing to run, do not steer"):
        with steer(language, strong(language)):
            pass
    with pytest.raises(KeyError), steer(language, strong(language)):
        raise KeyError
    with steer(language, Steering()):
        pass


def test_a_forward_that_failed_is_no_compiled_code(language):
    with steer(language, strong(language)), torch.no_grad():
        with pytest.raises(IndexError):
            language.model(input_ids=IDS + 1000, use_cache=False)
        found = language.model(input_ids=IDS, use_cache=False).logits
    amounts = torch.full((1, 1, 1), 6.0)
    with pushed(language, strong(language).attributes[0].direction, amounts), torch.no_grad():
        assert torch.equal(found, language.model(input_ids=IDS, use_cache=False).logits)


# Schedules and positions that miss the output.


@pytest.mark.parametrize(
    "schedule",
    ["window(50steps..60steps)", "fade-in 20steps..30steps", "window(2steps..4steps)*window(5steps..6steps)"],
)
def test_a_schedule_that_misses_the_output_is_refused(language, schedule):
    with pytest.raises(SteeringError, match="is 0 at each of the 6 steps of this output"):
        with steer(language, one(language, schedule)):
            language.model.generate(IDS, max_new_tokens=NEW)


@pytest.mark.parametrize("schedule", ["constant(0)", "0*linear", "constant(1) - constant(1)", "bernoulli(0, 3)"])
def test_a_schedule_that_is_zero_always_is_meant(language, schedule):
    plain = language.model.generate(IDS, max_new_tokens=NEW)
    with steer(language, one(language, schedule, strength=9.0)):
        assert torch.equal(language.model.generate(IDS, max_new_tokens=NEW), plain)


def test_no_strength_needs_no_moment(language):
    with steer(language, one(language, "window(50steps..60steps)", strength=0.0)):
        language.model.generate(IDS, max_new_tokens=NEW)


@pytest.mark.parametrize(
    ("positions", "schedule"),
    [("generated", "constant(1)"), ("generated", "window(0steps..1steps)"), ("1..9steps", "constant(1)")],
)
def test_one_new_token_has_no_generated_one(language, positions, schedule):
    with pytest.raises(PositionsError, match="makes one step, which the last token of the prompt predicts"):
        with steer(language, one(language, schedule, positions=positions)):
            language.model.generate(IDS, max_new_tokens=1)


def test_positions_and_schedule_that_never_meet_are_refused(language):
    with pytest.raises(PositionsError, match="at which the schedule is not 0"):
        with steer(language, one(language, "window(0steps..1steps)", positions="generated")):
            language.model.generate(IDS, max_new_tokens=NEW)


def both(adapter):
    """One attribute for long answers and one for answers of one word, as a recipe that asks both ways has them."""
    items = [one(adapter, positions=positions).attributes[0] for positions in ("generated", "last")]
    return Steering(tuple(items))


@pytest.mark.parametrize("lengths", [(1,), (1, NEW), (NEW, 1)])
def test_an_attribute_for_long_answers_may_rest_in_a_short_one(language, lengths):
    with steer(language, both(language)) as session:
        for length in lengths:
            language.model.generate(IDS, max_new_tokens=length)
    assert session.receipt().tokens == sum(2 * length for length in lengths)


@pytest.mark.parametrize(
    "schedule",
    [
        "fade-in",
        "constant(2) + 0.5*linear.shift(2steps)",
        "constant(1).then(linear(0%..50%, 0, 1), 2steps)",
        "window(0steps..3steps).reverse()",
    ],
)
def test_an_own_loop_has_no_length(language, schedule):
    with pytest.raises(SteeringError, match="depends on the length of the output"):
        with steer(language, one(language, schedule)):
            loop(language, IDS)


# Numbers that a state cannot hold.


@pytest.mark.parametrize("strength", [1e39, 1e300, 1e20, -1e20])
@pytest.mark.parametrize("operator", ["add", "rotate", "clamp"])
def test_a_push_that_no_state_can_hold_is_refused(language, strength, operator):
    with pytest.raises(SteeringError, match="so the output would be no numbers; choose lower strengths"):
        with steer(language, one(language, strength=strength, operator=operator)):
            language.model.generate(IDS, max_new_tokens=NEW)


@pytest.mark.parametrize(
    ("dtype", "strength", "is_held"),
    [("float16", 1e5, False), ("float16", 1e4, True), ("bfloat16", 1e5, True), ("float32", 1e12, True)],
)
def test_how_much_a_state_can_hold_depends_on_its_dtype(language, dtype, strength, is_held):
    adapter = copy.deepcopy(language)
    adapter.model.to(getattr(torch, dtype))
    found = one(adapter, strength=strength)
    (vector,) = found.attributes[0].direction.vectors.values()
    vector.zero_()[3] = 1.0
    if is_held:
        with steer(adapter, found), torch.no_grad():
            assert adapter.model(input_ids=IDS).logits.isfinite().all()
        return
    with (
        pytest.raises(SteeringError, match=r"a state of float16 holds entries up to 6\.55e\+04"),
        steer(adapter, found),
    ):
        adapter.model(input_ids=IDS)


# Training.


def gradients(adapter, run):
    adapter.model.zero_grad()
    embeds = adapter.model.get_input_embeddings()(IDS).detach().requires_grad_()
    with run():
        adapter.model(inputs_embeds=embeds, use_cache=False).logits.logsumexp(-1).sum().backward()
    found = [
        embeds.grad,
        *(parameter.grad.clone() for parameter in adapter.model.parameters() if parameter.grad is not None),
    ]
    adapter.model.zero_grad()
    return found


@pytest.mark.parametrize("operator", ["add", "rotate", "project_out"])
def test_gradients_pass_a_steered_layer(language, operator):
    last = max(site.layer for site in language.sites)
    plain = gradients(language, torch.enable_grad)
    zero = gradients(language, lambda: steer(language, one(language, strength=0.0, operator=operator)))
    steered = gradients(
        language, lambda: steer(language, one(language, strength=0.7, layers=[last], operator=operator))
    )
    assert all(torch.equal(*pair) for pair in zip(zero, plain, strict=True))
    assert all(found.isfinite().all() and found.norm() > 0 for found in steered[:1])
    assert not torch.equal(steered[0], plain[0])


def test_gradients_of_a_sum_are_those_of_hooks_by_hand(language):
    steering = strong(language)
    amounts = torch.full((1, 1, 1), 6.0)
    found = gradients(language, lambda: steer(language, steering))
    wanted = gradients(language, lambda: pushed(language, steering.attributes[0].direction, amounts))
    assert all(torch.equal(*pair) for pair in zip(found, wanted, strict=True))


def test_training_draws_the_same_noise(tmp_path):
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=4,
        num_attention_heads=2,
        attention_dropout=0.5,
    )
    adapter = CausalAdapter(LlamaForCausalLM(config).train())
    adapter.model.model.norm.eval()
    steering = Steering((Attribute(planted(adapter, "c", range(4)), 0.0),))
    found = []
    for run in (torch.no_grad, lambda: steer(adapter, steering)):
        torch.manual_seed(0)
        with run():
            found.append(adapter.model(input_ids=IDS, use_cache=False).logits)
    assert torch.equal(*found)
    assert adapter.model.training
    assert not adapter.model.model.norm.training


def test_modes_may_change_within_a_session(language):
    """What was made in inference mode is not changed outside of it."""
    direction = planted(language, "c", [1])
    gated = Steering((Attribute(direction, 0.5, parse_schedule(RAMP), gate=Gate(direction, -1e6)),))
    with steer(language, gated) as session:
        for mode in (torch.inference_mode, torch.no_grad, torch.inference_mode):
            with mode():
                language.model.generate(IDS, max_new_tokens=NEW)
                language.model(input_ids=IDS, use_cache=False)
        language.model(input_ids=IDS, use_cache=False).logits.sum().backward()
    assert session.receipt().calls == 7
    language.model.zero_grad()


def test_what_is_proven_is_not_proven_again(llama, monkeypatch):
    adapter = CausalAdapter(copy.deepcopy(llama))
    proofs = []
    canary = type(adapter).canary
    monkeypatch.setattr(type(adapter), "canary", lambda self: proofs.append(1) or canary(self))

    def proven(layers):
        proofs.clear()
        with steer(adapter, Steering((Attribute(planted(adapter, "d", layers), 0.1),))) as session:
            adapter.model.generate(input_ids=torch.tensor([[3, 4]]), max_new_tokens=2, do_sample=False, pad_token_id=0)
        assert session.receipt().tokens == 3
        return len(proofs)

    assert [proven([1, 2]), proven([1, 2]), proven([1]), proven([1])] == [2, 0, 2, 0]
    adapter.model.model.layers[3].register_forward_hook(lambda *_: None)
    assert [proven([1]), proven([1])] == [2, 0]
    with torch.no_grad():
        adapter.model.model.layers[0].mlp.up_proj.weight += 1
    assert [proven([1]), proven([1])] == [2, 0]
