"""Stock transformers and PEFT say of what is written what mmsteer's steering says."""

from copy import deepcopy

import pytest
import torch
from peft import PeftModel
from torch import nn
from torch.testing import assert_close
from transformers import AutoModelForCausalLM, AutoTokenizer

import mmsteer
from mmsteer.api import parse_steering
from mmsteer.errors import AdapterError, SiteError, SteeringError
from mmsteer.folding import additions, projections, save_biased, save_peft
from mmsteer.types import Direction, Site, SiteStats

# Of layers without a bias PEFT says that what is added to them cannot be merged; and it asks transformers for what is
# deprecated there.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`lora_bias=True`"),
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning"),
]
PROMPTS = ["say the red cup", "the table is blue here"]
LINE = "style:a 3 on text.1; style:b -4abs on text.0.mlp, text.2.attention, text.3.mid, text.1.mlp"


def direction(adapter, name, sites, seed=0):
    draw = torch.Generator().manual_seed(seed)
    found = {site: torch.randn(adapter.widths[site], generator=draw) for site in map(Site.parse, sites)}
    units = {site: vector / vector.norm() for site, vector in found.items()}
    return Direction(name, units, {site: SiteStats(0.9, 0.0, 1.0, 1.0) for site in units}, adapter.fingerprint)


@pytest.fixture
def adapter(talker):
    """A model of its own: biases change it."""
    return mmsteer.adapt(deepcopy(talker.model), talker.processor)


@pytest.fixture
def known(adapter):
    sites = ["text.0.mlp", "text.1", "text.1.mlp", "text.2.attention", "text.3.mid"]
    return {name: direction(adapter, name, sites, seed) for seed, name in enumerate(("style:a", "style:b"))}


def inputs(tokenizer):
    tokenizer.padding_side = "left"
    return tokenizer(PROMPTS, padding=True, return_tensors="pt", return_token_type_ids=False)


@torch.no_grad()
def outputs(model, tokenizer):
    """Logits of real tokens, and what is generated."""
    given = inputs(tokenizer)
    logits = model(**given).logits[given["attention_mask"].bool()]
    return logits, model.generate(**given, max_new_tokens=12, do_sample=False)


def same(one, two):
    assert_close(one[0], two[0], atol=2e-4, rtol=1e-4)
    assert torch.equal(one[1], two[1])


def test_additions_as_an_adapter(adapter, known, talker_folder, tmp_path):
    plain = outputs(adapter.model, adapter.processor)
    steering = parse_steering(LINE, known)
    with mmsteer.steer(adapter, steering):
        expected = outputs(adapter.model, adapter.processor)
    assert (expected[0] - plain[0]).abs().max() > 1
    changes = additions(adapter, steering)
    # A block and its MLP are one weight; mid and attention another.
    assert [one.module.split(".", 2)[2] for one in changes] == [
        "0.mlp.down_proj",
        "1.mlp.down_proj",
        "2.self_attn.o_proj",
        "3.self_attn.o_proj",
    ]
    save_peft(adapter, tmp_path / "lora", changes, "card")
    stock = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(talker_folder), tmp_path / "lora").eval()
    same(outputs(stock, adapter.processor), expected)
    with stock.disable_adapter():
        same(outputs(stock, adapter.processor), plain)
    assert (tmp_path / "lora" / "README.md").read_text() == "card"


def test_additions_as_biases(adapter, known, tmp_path):
    steering = parse_steering("style:a 3 on text.1; style:b 4 on text.0.mlp", known)
    with mmsteer.steer(adapter, steering):
        expected = outputs(adapter.model, adapter.processor)
    save_biased(adapter, tmp_path / "biased", additions(adapter, steering), "card")
    stock = AutoModelForCausalLM.from_pretrained(tmp_path / "biased").eval()
    assert stock.config.mlp_bias
    same(outputs(stock, AutoTokenizer.from_pretrained(tmp_path / "biased")), expected)
    # Where there are biases, they are added to.
    again = mmsteer.load(tmp_path / "biased")
    other = {name: direction(again, name, ["text.2"], seed) for seed, name in enumerate(("style:a", "style:b"))}
    with mmsteer.steer(again, "style:a 2", other):
        expected = outputs(again.model, again.processor)
    save_biased(again, tmp_path / "twice", additions(again, parse_steering("style:a 2", other)), "card")
    same(outputs(AutoModelForCausalLM.from_pretrained(tmp_path / "twice").eval(), again.processor), expected)


def test_biases_of_two_kinds_of_layers(adapter, known, tmp_path):
    steering = parse_steering("style:a 3 on text.1; style:b 4 on text.2.attention", known)
    with mmsteer.steer(adapter, steering):
        expected = outputs(adapter.model, adapter.processor)
    save_biased(adapter, tmp_path / "biased", additions(adapter, steering), "card")
    stock = AutoModelForCausalLM.from_pretrained(tmp_path / "biased").eval()
    assert (stock.config.mlp_bias, stock.config.attention_bias) == (True, True)
    same(outputs(stock, adapter.processor), expected)


@pytest.mark.parametrize("strength", [1.0, 0.3])
def test_projections_as_an_adapter(adapter, known, tmp_path, strength):
    for layer in adapter.model.model.layers:
        layer.mlp.down_proj.bias = nn.Parameter(torch.randn(32, generator=torch.Generator().manual_seed(1)))
    known = {
        "style:a": direction(adapter, "style:a", ["text.1.mlp", "text.2.attention"], 0),
        "style:b": direction(adapter, "style:b", ["text.2.attention"], 1),
    }
    base = deepcopy(adapter.model)
    plain = outputs(base, adapter.processor)
    save_peft(adapter, tmp_path / "lora", projections(adapter, list(known.values()), None, strength), "card")
    mmsteer.fold.fold(adapter, list(known.values()), None, strength)
    expected = outputs(adapter.model, adapter.processor)
    assert (expected[0] - plain[0]).abs().max() > 1e-2
    same(outputs(PeftModel.from_pretrained(base, tmp_path / "lora").eval(), adapter.processor), expected)


def test_what_is_not_exact_is_refused(adapter, known, tmp_path, monkeypatch):
    with pytest.raises(SteeringError, match="positions"):
        additions(adapter, parse_steering("style:a 1 at generated", known))
    deep = {"a": direction(adapter, "a", ["text.0.embedding"])}
    with pytest.raises(SiteError, match="no bias adds to it"):
        additions(adapter, parse_steering("a 1", deep))
    changes = additions(adapter, parse_steering("style:a 1 on text.2.attention", known))
    monkeypatch.setattr("mmsteer.folding.biases.FLAGS", ())  # as in an architecture that has no word for it
    with pytest.raises(AdapterError, match="--as peft"):
        save_biased(adapter, tmp_path / "biased", changes, "card")
    assert not (tmp_path / "biased").exists()


def test_a_model_that_scales_what_its_parts_add_is_refused(adapter, known):
    class Scaled(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return 0.5 * self.inner(x)

    layer = adapter.model.model.layers[1]
    layer.mlp = Scaled(layer.mlp)
    scaled = mmsteer.adapt(adapter.model, adapter.processor)
    moved = {"a": direction(scaled, "a", ["text.1"])}
    with pytest.raises(AdapterError):
        additions(scaled, parse_steering("a 3", moved))


def test_the_command(mmsteer, talker_folder, talker, tmp_path):
    from mmsteer.direction_file import save_directions

    one = direction(talker, "style:a", ["text.1", "text.1.mlp"])
    save_directions(tmp_path / "a.safetensors", [one])
    words = ["fold", "--model", talker_folder, "--directions", tmp_path / "a.safetensors"]
    code, out, _ = mmsteer(*words, "--steer", "style:a 3 on text.1", "--as", "peft", "--out", tmp_path / "lora")
    assert (code, "PeftModel.from_pretrained" in out) == (0, True)
    code, _, _ = mmsteer(*words, "--steer", "style:a 3 on text.1", "--as", "bias", "--out", tmp_path / "biased")
    assert code == 0
    lora = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(talker_folder), tmp_path / "lora").eval()
    biased = AutoModelForCausalLM.from_pretrained(tmp_path / "biased").eval()
    same(outputs(lora, talker.processor), outputs(biased, talker.processor))
    code, _, err = mmsteer(*words, "--steer", "style:a 3", "--out", tmp_path / "x")
    assert (code, "--as peft is for both" in err) == (2, True)
    code, _, err = mmsteer(*words, "--as", "peft", "--out", tmp_path / "x")
    assert (code, "--name" in err) == (2, True)
    code, _, _ = mmsteer(*words, "--name", "style:a", "--on", "text.1.mlp", "--as", "peft", "--out", tmp_path / "out")
    assert code == 0
    assert "50% of" not in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.slow
def test_real_weights(smollm2, tmp_path):
    one = direction(smollm2, "style:a", ["text.10", "text.14"])
    line = parse_steering("style:a 20abs", {"style:a": one})
    with mmsteer.steer(smollm2, line):
        expected = outputs(smollm2.model, smollm2.processor)
    save_peft(smollm2, tmp_path / "lora", additions(smollm2, line), "card")
    base = AutoModelForCausalLM.from_pretrained(smollm2.model.name_or_path)
    stock = outputs(PeftModel.from_pretrained(base, tmp_path / "lora").eval(), smollm2.processor)
    assert torch.equal(stock[1], expected[1])
    assert not torch.equal(outputs(smollm2.model, smollm2.processor)[1], expected[1])
