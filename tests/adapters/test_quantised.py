"""A direction found in float32, used in weights of 8 and 4 bits: the tokens of torch's own hooks, on any device.

Skipped where the package that quantises is not installed (`bitsandbytes`, `torchao`); both run on a CPU.
"""

import importlib.util
from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, TorchAoConfig

import mmsteer
from mmsteer.adapters import adapt
from mmsteer.steering import Steering, steer
from tests.adapters.checkpoints import FAMILIES
from tests.steering.calling import IDS, by_hand, strong

NEW = 6


def _torchao(bits):
    from torchao.quantization import Int4WeightOnlyConfig, Int8WeightOnlyConfig

    return TorchAoConfig(Int8WeightOnlyConfig() if bits == 8 else Int4WeightOnlyConfig())


HOW = {
    ("bitsandbytes", 8): lambda: BitsAndBytesConfig(load_in_8bit=True),
    ("bitsandbytes", 4): lambda: BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=torch.float32),
    ("torchao", 8): lambda: _torchao(8),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    # Packages for 4 bits want more numbers in a row than the usual tiny model has.
    folder = tmp_path_factory.mktemp("llama")
    torch.manual_seed(0)
    for part in FAMILIES["llama"](hidden_size=64, intermediate_size=128, head_dim=32):
        part.save_pretrained(folder)
    return folder


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("package", "bits"), HOW)
def test_a_direction_of_whole_weights_steers_quantised_ones(folder, package, bits):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    whole = mmsteer.load(folder, dtype="float32")
    model = AutoModelForCausalLM.from_pretrained(folder, quantization_config=HOW[package, bits](), device_map="cpu")
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = None, 0
    quantised = adapt(model, AutoTokenizer.from_pretrained(folder))
    (item,) = strong(whole, positions="generated | last").attributes
    found = replace(item.direction, sketch=whole.sketch)
    steering = Steering((replace(item, direction=found),))
    assert quantised.fingerprint != whole.fingerprint
    wanted = by_hand(quantised, steering, IDS, NEW)
    assert not torch.equal(wanted, by_hand(quantised, Steering((replace(item, strength=0.0),)), IDS, NEW))
    with steer(quantised, steering) as session:
        made = model.generate(IDS, max_new_tokens=NEW)
    assert torch.equal(made, wanted)
    assert session.receipt().compatibility == "exact"
