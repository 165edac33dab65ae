"""A direction found in one model and used in another: in Python, and from the command line."""

import peft
import pytest
import torch

import mmsteer
import mmsteer.steering
from mmsteer.errors import DirectionError
from mmsteer.probes import MeanDifference, sweep
from mmsteer.record import record
from mmsteer.types import Sample, Site
from tests.adapters.checkpoints import FAMILIES, save
from tests.steering.calling import by_hand

WORDS = ["cup", "table", "the", "there"]
SITES = [Site("text", 1), Site("text", 2)]
IDS = torch.tensor([[1, 20, 21, 22]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save("llama", tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def file(folder, tmp_path_factory):
    """Directions read from the model in float32, and saved."""
    adapter = mmsteer.load(folder)
    samples = [Sample(f"{word}{more}", f"{word} {more}") for word in WORDS for more in ("yes", "no") * 2]
    activations = record(adapter, [Sample(str(at), one.text) for at, one in enumerate(samples)], SITES)
    labels = ["yes" if "yes" in one.text else "no" for one in samples]
    found = sweep(MeanDifference(), activations, labels, family="says", task="multiclass", progress=False)
    path = tmp_path_factory.mktemp("directions") / "says.safetensors"
    mmsteer.save_directions(path, found.directions.values())
    return path


@pytest.fixture
def tuned(folder):
    adapter = mmsteer.load(folder)
    with torch.no_grad():
        adapter.model.model.layers[0].mlp.down_proj.weight.mul_(1.05)
    return adapter


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_cast_needs_no_word(folder, file, dtype):
    adapter = mmsteer.load(folder, dtype=dtype)
    with mmsteer.steer(adapter, "says:yes 1", file) as session:
        adapter.model(input_ids=IDS)
    assert session.receipt().compatibility == "exact"
    assert "another model" not in str(session.receipt())


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("is_zero", [True, False])
def test_a_lora_needs_no_word(folder, file, is_zero):
    adapter = mmsteer.load(folder)
    config = peft.LoraConfig(target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM", init_lora_weights=is_zero)
    outer = peft.get_peft_model(adapter.model, config).eval()
    outer.generation_config.eos_token_id, outer.generation_config.pad_token_id = None, 0
    adapter = mmsteer.adapt(outer, adapter.processor)
    line = "says:yes 6abs at generated"
    found = mmsteer.steering.parse_attribute(line, mmsteer.load_directions(file))
    wanted = by_hand(adapter, mmsteer.steering.Steering((found,)), IDS, 4)
    with mmsteer.steer(adapter, line, file) as session:
        made = outer.generate(input_ids=IDS, max_new_tokens=4)
    assert torch.equal(made, wanted)
    assert not torch.equal(made, outer.generate(input_ids=IDS, max_new_tokens=4))
    assert session.receipt().compatibility == "exact"


def test_a_fine_tune_is_steered_where_that_is_said(tuned, file):
    with (
        pytest.raises(DirectionError, match="compatibility='architecture'"),
        mmsteer.steer(tuned, "says:yes 1", file),
    ):
        pass
    known = mmsteer.load_directions(file, compatibility="architecture")
    for more in ({"directions": known}, {"directions": file, "compatibility": "architecture"}):
        with mmsteer.steer(tuned, "says:yes 1 when says:no > 0", **more) as session:
            tuned.model(input_ids=IDS)
        assert session.receipt().compatibility == "architecture"
        assert "found in another model (same architecture)" in str(session.receipt())
    with pytest.raises(DirectionError), mmsteer.steer(tuned, "says:yes 1", known, compatibility="exact"):
        pass


def test_another_architecture_is_steered_where_its_widths_fit(file):
    opt = mmsteer.adapt(*checkpoint("opt"))
    with (
        pytest.raises(DirectionError, match="compatibility='dimension'"),
        mmsteer.steer(opt, "says:yes 1", file, compatibility="architecture"),
    ):
        pass
    with mmsteer.steer(opt, "says:yes 1", file, compatibility="dimension") as session:
        opt.model(input_ids=IDS)
    assert session.receipt().compatibility == "dimension"


def checkpoint(family):
    torch.manual_seed(0)
    model, processor = FAMILIES[family]()
    return model.eval(), processor


def test_the_command_line_says_what_it_would_accept(mmsteer, tuned, file, tmp_path):
    tuned.model.save_pretrained(tmp_path / "tuned")
    tuned.processor.save_pretrained(tmp_path / "tuned")
    words = ["--prompt", "the cup", "--model", tmp_path / "tuned", "--directions", file, "--tokens", 2]
    words += ["--steer", "says:yes 1"]
    code, _, err = mmsteer("generate", *words)
    assert code == 2
    assert "--compatibility architecture" in err
    code, out, _ = mmsteer("generate", *words, "--compatibility", "architecture")
    assert code == 0
    assert "found in another model (same architecture)" in out
