"""Families that cannot be located are refused by name, with the reason or with what to add; the guide names all."""

import re
from pathlib import Path

import pytest
import torch
import transformers as hf

from mmsteer.adapters import adapt, load
from mmsteer.adapters.families import FAMILIES, REFUSED
from mmsteer.errors import AdapterError
from tests.adapters.checkpoints import FAMILIES as TESTED
from tests.adapters.checkpoints import TEXT, tokenizer
from tests.releases import skip_where_faulty


def streams(kind):
    """A language model whose residual stream is several in parallel."""
    skip_where_faulty(kind)
    config = hf.AutoConfig.for_model(kind, **TEXT, n_routed_experts=4, num_experts_per_tok=2, moe_intermediate_size=16)
    with torch.device("meta"):
        return hf.AutoModelForCausalLM.from_config(config)


@pytest.mark.parametrize(
    ("kind", "reason"), [("deepseek_v4", "several side by side"), ("hy_v4", "several side by side")]
)
def test_language_models_without_one_residual_stream(kind, reason):
    with pytest.raises(AdapterError, match=f"models of type '{kind}' cannot be steered: .*{reason}.*choose another"):
        adapt(streams(kind), tokenizer())


@pytest.mark.parametrize("kind", ["minicpmv4_6", "minicpmv4_7"])
def test_vision_language_models_that_cannot_be_steered_are_refused_before_they_are_read(tmp_path, kind):
    skip_where_faulty(kind)
    hf.AutoConfig.for_model(kind).save_pretrained(tmp_path)
    with pytest.raises(AdapterError, match=f"models of type '{kind}' cannot be steered: .*tower"):
        load(tmp_path)


def test_a_family_without_a_row_names_what_is_missing(tmp_path):
    hf.AutoConfig.for_model("kosmos-2").save_pretrained(tmp_path)
    with pytest.raises(
        AdapterError, match=r"path of their projector is not known; a row in FAMILIES of mmsteer/adapters"
    ):
        load(tmp_path)


def test_the_guide_names_every_family():
    guide = Path("docs/families.md").read_text(encoding="utf-8")
    steered = re.findall(r"^\| (\w+) \| (?:all|embedding)", guide, re.MULTILINE)
    assert steered == list(TESTED)
    assert set(FAMILIES) <= set(TESTED)
    assert all(f"`{kind}`" in guide for kind in REFUSED)
