"""Models as people hold them: in wrappers, training, offloaded, in half precision, with tied weights."""

from contextlib import contextmanager

import peft
import pytest
import torch
from torch import distributed, nn
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

from mmsteer.adapters import adapt
from mmsteer.errors import AdapterError
from mmsteer.record import record
from mmsteer.steering import Attribute, Steering, steer
from mmsteer.types import Positions, Sample
from tests.adapters.checkpoints import FAMILIES, save
from tests.conftest import planted

IDS = torch.tensor([[1, 20, 21, 22]])
GENERATED = Positions("generated | last")
OPTIONS = {"max_new_tokens": 4, "min_new_tokens": 4, "do_sample": False}

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


def fresh(family="llama", **options):
    torch.manual_seed(0)
    model, processor = FAMILIES[family](**options)
    return model.eval(), processor


def with_lora(model, **options):
    config = peft.LoraConfig(target_modules=["q_proj", "down_proj", "fc2"], init_lora_weights=False, **options)
    return peft.get_peft_model(model, config).eval()


def merged(model):
    outer = with_lora(model, task_type="CAUSAL_LM")
    outer.merge_adapter()
    return outer


def data_parallel_of_lora(model):
    return nn.DataParallel(with_lora(model))


def compiled_after_use(model):
    """A wrapper that has compiled a forward already, without a guard on hooks."""
    torch._dynamo.config.skip_nnmodule_hook_guards = True
    outer = compiled(model)
    with torch.no_grad():
        outer(input_ids=IDS)
    return outer


def compiled(model):
    return torch.compile(model, backend="eager")


def causal_lora(model):
    return with_lora(model, task_type="CAUSAL_LM")


@contextmanager
def process_group():
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    try:
        yield
    finally:
        distributed.destroy_process_group()


@pytest.fixture
def _compiler():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def steering(adapter):
    return Steering((Attribute(planted(adapter, "c", range(3)), 5.0),))


@torch.no_grad()
def check_calls(outer, adapter):
    """Calls of the wrapper are those of the model inside, steered and not, and counted once."""
    plain, steered = outer(input_ids=IDS).logits, []
    for model in (adapter.model, outer):
        with steer(adapter, steering(adapter)) as session:
            steered.append(model(input_ids=IDS).logits)
        assert (session.receipt().calls, session.receipt().tokens) == (1, 4)
    torch.testing.assert_close(steered[1], steered[0])
    assert (steered[0] - plain).abs().max() > 0.1
    with steer(adapter, Steering()):
        assert torch.equal(outer(input_ids=IDS).logits, plain)
    assert torch.equal(outer(input_ids=IDS).logits, plain)


@pytest.mark.usefixtures("_compiler")
@pytest.mark.parametrize(
    "wrap", [with_lora, causal_lora, merged, nn.DataParallel, data_parallel_of_lora, compiled, compiled_after_use]
)
def test_calls_of_a_wrapper_are_steered(wrap):
    model, tokenizer = fresh()
    outer = wrap(model)
    adapter = adapt(outer, tokenizer)
    assert adapter.model is model
    check_calls(outer, adapter)


def test_calls_of_distributed_data_parallel_are_steered():
    model, tokenizer = fresh()
    with process_group():
        outer = nn.parallel.DistributedDataParallel(model)
        check_calls(outer, adapt(outer, tokenizer))


@pytest.mark.usefixtures("_compiler")
@pytest.mark.parametrize("wrap", [causal_lora, merged, compiled])
def test_generate_of_a_wrapper_is_steered_once(wrap):
    model, tokenizer = fresh()
    outer = wrap(model)
    adapter = adapt(outer, tokenizer)
    plain = outer.generate(input_ids=IDS, **OPTIONS)
    with steer(adapter, steering(adapter)) as session:
        steered = outer.generate(input_ids=IDS, **OPTIONS)
        inside = adapter.model.generate(input_ids=IDS, **OPTIONS)
    assert torch.equal(steered, inside)
    assert not torch.equal(steered, plain)
    assert (session.receipt().calls, session.receipt().steps) == (2, 8)
    assert torch.equal(outer.generate(input_ids=IDS, **OPTIONS), plain)


def test_lora_in_the_vision_tower_leaves_the_sites_as_they_are():
    bare = adapt(*fresh("llava"))
    model, processor = fresh("llava")
    assert adapt(with_lora(model), processor).widths == bare.widths


def test_what_cannot_be_unwrapped():
    model, tokenizer = fresh()
    with pytest.raises(AdapterError, match=r"expected a transformers model.*got Linear"):
        adapt(nn.Linear(2, 2), tokenizer)
    prompt = peft.get_peft_model(model, peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2))
    with pytest.raises(AdapterError, match="PROMPT_TUNING puts tokens of its own before the prompt"):
        adapt(prompt, tokenizer)


def test_copies_on_several_devices_are_refused():
    model, tokenizer = fresh()
    outer = nn.DataParallel(model)
    outer.device_ids = [0, 1]
    with pytest.raises(AdapterError, match="copies of the model on 2 devices"):
        adapt(outer, tokenizer)


def test_a_model_that_is_trained_stays_so():
    model, tokenizer = fresh(attention_dropout=0.5)
    model.train()
    model.model.norm.eval()
    adapter = adapt(model, tokenizer)
    with steer(adapter, steering(adapter)):
        assert torch.equal(adapter.canary(), adapter.canary())
        assert model.training
        assert model.model.layers[0].training
        assert not model.model.norm.training
        assert not torch.equal(model(input_ids=IDS).logits, model(input_ids=IDS).logits)


# Older releases compare with the place of the embeddings, which are on disk.
@pytest.mark.filterwarnings("ignore:You are calling .generate:UserWarning")
@pytest.mark.parametrize("family", ["llama", "llava"])
def test_offloaded_weights_are_steered(family, tmp_path):
    folder = save(family, tmp_path / "model")
    auto = AutoModelForCausalLM if family == "llama" else AutoModelForImageTextToText
    whole = adapt(auto.from_pretrained(folder), FAMILIES[family]()[1])
    # The input embeddings, whose device a model gives for its own, are on disk too.
    places = {"model": "disk", "lm_head": "cpu"}
    model = auto.from_pretrained(folder, device_map=places, offload_folder=tmp_path / "weights")
    assert model.device.type == "meta"
    adapter = adapt(model, whole.processor)
    assert adapter.device.type == "cpu"
    assert adapter.fingerprint == whole.fingerprint
    with steer(whole, steering(whole)):
        expected = whole.canary()
    with steer(adapter, steering(whole)) as session:
        torch.testing.assert_close(adapter.canary(), expected)
    assert session.receipt().tokens > 0
    if family == "llama":
        made = []
        for one in (whole, adapter):
            plain = one.model.generate(IDS, **OPTIONS)
            with steer(one, steering(whole)):
                made.append(one.model.generate(IDS, **OPTIONS))
        assert torch.equal(*made)
        assert not torch.equal(made[0], plain)


@pytest.mark.parametrize("family", ["llama", "llava"])
def test_a_batch_of_one_is_a_row_of_eight_in_half_precision(family):
    adapter = adapt(fresh(family)[0].to(torch.bfloat16), FAMILIES[family]()[1])
    prompts = ["the cup", "is there a table", "describe the image", "a", "the", "no cup is there", "yes", "shows a cup"]
    samples = [Sample(str(at), prompt, output="a cup is there"[: 1 + 2 * at]) for at, prompt in enumerate(prompts)]
    alone, together = (record(adapter, samples, "text.*", positions=GENERATED, batch=batch) for batch in (1, 8))
    for site, states in together.values.items():
        # A number of bfloat16 has 8 bits.
        assert (states - alone.values[site]).norm() < 2**-7 * states.norm()
    with steer(adapter, steering(adapter)):
        rows = torch.cat([adapter.read(adapter.reading([one]))[:, -1] for one in samples[:1]])
        batch = adapter.read(adapter.reading(samples))
    real = adapter.reading(samples).arguments["attention_mask"][0].nonzero().max()
    assert (batch[0, real] - rows[0]).norm() < 2**-6 * rows.norm()


def test_half_precision_and_tied_weights_are_steered():
    model, tokenizer = fresh(tie_word_embeddings=True)
    adapter = adapt(model.to(torch.bfloat16), tokenizer)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    check_calls(model, adapter)
