"""What identifies weights: not their precision, place or adapters, but every change of the weights themselves."""

import copy
import math

import peft
import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM

from mmsteer.adapters import adapt, load
from mmsteer.adapters.fingerprint import Weights
from mmsteer.bundled import bundled_path
from mmsteer.types import Sketch
from tests.adapters.checkpoints import save
from tests.adapters.test_wrapped import causal_lora, fresh, merged, with_lora

CASTS = (torch.float32, torch.bfloat16, torch.float16)
SEEDS = ("vision-seed1", "vision-seed2", "vision-unbiased")

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


@pytest.fixture(scope="module")
def vision():
    return load(bundled_path("vision"), dtype="float32")


def cast(model, *dtypes):
    other = copy.deepcopy(model)
    for dtype in dtypes:
        other.to(dtype)
    return Weights(other)


class Packed(nn.Module):
    """A linear layer as quantisation keeps it: packed numbers, and others that say how to unpack them."""

    def __init__(self, linear):
        super().__init__()
        self.in_features, self.out_features, self.bias = linear.in_features, linear.out_features, linear.bias
        self.weight = nn.Parameter(torch.zeros(linear.weight.numel() // 2, 1, dtype=torch.uint8), requires_grad=False)
        self.register_buffer("scales", torch.ones(linear.out_features))


def quantised(model):
    other = copy.deepcopy(model)
    for layer in other.model.layers:
        for part in (layer.self_attn, layer.mlp):
            for name, child in part.named_children():
                if isinstance(child, nn.Linear):
                    setattr(part, name, Packed(child))
    return other


@pytest.mark.parametrize(("name", "expected"), [("music", "3c60c7ac64ad6d4b"), ("vision", "2041ead117658b46")])
def test_bundled_models_keep_the_fingerprints_that_files_name(name, expected):
    """As they are written in the bundled directions and dictionaries."""
    assert load(bundled_path(name)).fingerprint == expected


@pytest.mark.parametrize("first", CASTS)
@pytest.mark.parametrize("second", CASTS)
def test_no_cast_makes_another_model(vision, first, second):
    assert cast(vision.model, first).sketch().is_of(cast(vision.model, second).sketch())
    assert vision.sketch.is_of(cast(vision.model, first, second).sketch())


def test_numbers_of_every_size_survive_casts():
    """Also those that float16 has no more than a few bits of, and midpoints of bfloat16, where two roundings differ."""
    around = torch.logspace(math.log10(2.0**-26), math.log10(6e4), 4096)
    midpoints = torch.arange(1, 257) / 256 + torch.tensor([[2.0**-9], [2.0**-9 + 2.0**-13]])
    numbers = torch.cat([around, midpoints.flatten(), torch.zeros(1)])
    sketches = [Sketch("a", numbers.to(dtype).bfloat16()) for dtype in CASTS]
    assert not torch.equal(sketches[0].numbers, sketches[2].numbers)
    assert all(one.is_of(other) for one in sketches for other in sketches)


@pytest.mark.parametrize("seed", SEEDS)
def test_another_seed_is_another_model_of_the_same_architecture(vision, seed):
    other = load(bundled_path(seed), dtype="float32")
    assert other.sketch.architecture == vision.sketch.architecture
    assert other.fingerprint != vision.fingerprint
    assert not other.sketch.is_of(vision.sketch)


@pytest.mark.parametrize("size", [1e-1, 1e-2, 1e-3, 1e-4])
def test_a_fine_tune_is_another_model(vision, size):
    tuned = copy.deepcopy(vision.model)
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in tuned.parameters():
            weight.add_(torch.randn(weight.shape, generator=noise), alpha=size * float(weight.std(correction=0)))
    assert not Weights(tuned).sketch().is_of(vision.sketch)


def test_changes_after_adapt_are_seen():
    adapter = adapt(*fresh())
    before, sketch = adapter.fingerprint, adapter.sketch
    assert (adapter.fingerprint, adapter.sketch.is_of(sketch)) == (before, True)
    adapter.model.lm_head.weight.data.mul_(1.1)
    assert adapter.fingerprint != before
    assert not adapter.sketch.is_of(sketch)
    assert adapter.sketch.architecture == sketch.architecture


@pytest.mark.parametrize("wrap", [with_lora, causal_lora])
def test_adapters_do_not_count(wrap):
    model, tokenizer = fresh()
    bare = adapt(copy.deepcopy(model), tokenizer)
    adapter = adapt(wrap(model), tokenizer)
    assert adapter.fingerprint == bare.fingerprint
    assert adapter.sketch.is_of(bare.sketch)


def test_merged_adapters_are_weights():
    model, tokenizer = fresh()
    bare = adapt(copy.deepcopy(model), tokenizer)
    adapter = adapt(merged(model), tokenizer)
    assert not adapter.sketch.is_of(bare.sketch)
    assert adapter.sketch.architecture == bare.sketch.architecture


def test_trained_copies_of_modules_do_not_count():
    model, tokenizer = fresh()
    bare = adapt(copy.deepcopy(model), tokenizer)
    adapter = adapt(with_lora(model, modules_to_save=["lm_head"]), tokenizer)
    assert adapter.fingerprint == bare.fingerprint


def test_the_identity_of_a_run_counts_active_adapters_and_what_they_hold():
    model, tokenizer = fresh()
    bare = adapt(copy.deepcopy(model), tokenizer).run_identity
    outer = with_lora(model, modules_to_save=["lm_head"])
    adapter, found = adapt(outer, tokenizer), []
    found.append(adapter.run_identity)
    outer.add_adapter("idle", peft.LoraConfig(target_modules=["q_proj"], init_lora_weights=False))
    assert adapter.run_identity == found[0]
    with outer.disable_adapter():
        assert adapter.run_identity == bare
    layer = outer.base_model.model.model.layers[0].self_attn.q_proj
    layer.scaling["default"] *= 2
    found.append(adapter.run_identity)
    layer.lora_A["default"].weight.data.mul_(1.001)
    found.append(adapter.run_identity)
    outer.base_model.model.lm_head.modules_to_save["default"].weight.data.mul_(1.001)
    found.append(adapter.run_identity)
    outer.set_adapter("idle")
    found.append(adapter.run_identity)
    assert len({bare, *found}) == 6


def test_the_identity_of_a_run_counts_how_weights_are_held():
    model, _ = fresh()
    told = copy.deepcopy(model)
    told.config.quantization_config = {"load_in_8bit": True}
    others = [*(cast(model, *dtypes) for dtypes in [[one] for one in CASTS[1:]] + [[torch.bfloat16, torch.float32]])]
    others += [Weights(told), Weights(quantised(model))]
    assert len({one.run_identity() for one in [Weights(model), *others]}) == 6
    assert Weights(copy.deepcopy(model)).run_identity() == Weights(model).run_identity()


def test_what_is_quantised_is_not_compared():
    model, _ = fresh()
    whole, packed = Weights(model).sketch(), Weights(quantised(model)).sketch()
    assert packed.is_of(whole)
    assert whole.is_of(packed)
    assert packed.numbers.isnan().sum() == 3 * 7 * 8
    other, _ = fresh()
    other.model.norm.weight.data.mul_(1.1)
    assert not packed.is_of(Weights(other).sketch())
    nothing = Sketch(whole.architecture, torch.full_like(whole.numbers, torch.nan))
    assert not nothing.is_of(whole)


def test_another_width_is_another_architecture():
    wide, _ = fresh(intermediate_size=56)
    usual, _ = fresh()
    assert Weights(wide).sketch().architecture != Weights(usual).sketch().architecture


def test_offloaded_weights_are_read_once(tmp_path, monkeypatch):
    folder = save("llama", tmp_path / "model")
    whole = Weights(AutoModelForCausalLM.from_pretrained(folder))
    places = {"model": "disk", "lm_head": "cpu"}
    model = AutoModelForCausalLM.from_pretrained(folder, device_map=places, offload_folder=tmp_path / "weights")
    weights = Weights(model)
    assert weights.sketch().is_of(whole.sketch())
    assert weights.fingerprint() == whole.fingerprint()
    assert weights.run_identity() == whole.run_identity()
    loader = type(model.model.norm._hf_hook.weights_map.dataset)
    monkeypatch.setattr(loader, "__getitem__", None)
    assert weights.fingerprint() == whole.fingerprint()


def test_a_sketch_reads_back():
    sketch = Weights(fresh()[0]).sketch()
    again = Sketch.read({"model": "a", **sketch.written()})
    assert again.architecture == sketch.architecture
    assert torch.equal(again.numbers, sketch.numbers)
    assert Sketch.read({"model": "a"}) is None
    with pytest.raises(ValueError, match="base64"):
        Sketch.read({**sketch.written(), "sketch": "?"})


def test_the_fingerprint_of_a_tower_does_not_depend_on_the_release():
    # The first part of a digest that files of directions hold; releases before 5.23 group the tower's weights.
    assert load(bundled_path("vision"), dtype="float32").fingerprint == "2041ead117658b46"


def test_weights_that_older_releases_group_have_the_names_of_later_ones(vision):
    class Grouped(nn.Module):
        def __init__(self, tower):
            super().__init__()
            self.vision_model = tower

    model = copy.deepcopy(vision.model)
    tower = model.model.vision_tower
    if hasattr(tower, "vision_model"):
        model.model.vision_tower = tower.vision_model
    else:
        model.model.vision_tower = Grouped(tower)
    assert Weights(model).fingerprint() == vision.fingerprint
    assert Weights(model).sketch().architecture == vision.sketch.architecture
