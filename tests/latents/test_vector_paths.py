"""Where the effect of a vector runs, where a gate opens, and what a sibling makes of it: planted in small models."""

from contextlib import contextmanager
from dataclasses import replace
from types import MappingProxyType

import pytest
import torch

from mmsteer.adapters import load
from mmsteer.eval.rewards import parse_output_reward
from mmsteer.eval.text import Reference
from mmsteer.latents.vector_paths import read_paths
from mmsteer.latents.vector_scaling import read_scaling
from mmsteer.latents.vector_transfer import transfer
from mmsteer.steering import Attribute
from mmsteer.types import Positions, Sample, Sampling, Site
from tests.conftest import TALK, planted, saying
from tests.latents.dictionaries import clips

PROMPTS = [Sample(str(at), " ".join(TALK[at : at + 3]), output="red") for at in range(3)]


@contextmanager
def silent(adapter, factors=MappingProxyType({})):
    """All parts of the blocks write nothing, but some, which write so many times what they wrote."""
    parts = {
        f"text.{at}.{name}": part
        for at, block in enumerate(adapter.model.model.layers)
        for name, part in (("attention", block.self_attn.o_proj), ("mlp", block.mlp.down_proj))
    }
    kept = {name: part.weight.detach().clone() for name, part in parts.items()}
    try:
        with torch.no_grad():
            for name in kept:
                parts[name].weight.mul_(factors.get(name, 0.0))
        yield
    finally:
        with torch.no_grad():
            for name, weight in kept.items():
                parts[name].weight.copy_(weight)


def at(adapter, layers, size=5.0):
    return Attribute(planted(adapter, "a", layers), size, unit="absolute")


def test_only_what_is_behind_the_vector_can_carry_it(talker):
    found = read_paths(talker, at(talker, [1]), PROMPTS)
    assert [block.layer for block in found.blocks] == [2, 3]
    assert set(found.blocks[0].parts) == {"attention", "mlp"}
    last = read_paths(talker, at(talker, [3]), PROMPTS)
    assert (last.straight, last.blocks) == (pytest.approx(1.0), ())


def test_the_path_is_the_planted_component(talker):
    with silent(talker):
        none = read_paths(talker, at(talker, [1]), PROMPTS)
    assert none.straight == pytest.approx(1.0, abs=1e-5)
    with silent(talker, {"text.3.mlp": 3000.0}):
        one = read_paths(talker, at(talker, [1]), PROMPTS)
    (second, third) = one.blocks
    assert second.parts == {"attention": pytest.approx(0.0, abs=1e-5), "mlp": pytest.approx(0.0, abs=1e-5)}
    assert third.parts["attention"] == pytest.approx(0.0, abs=1e-5)
    assert third.parts["mlp"] == pytest.approx(1 - one.straight, abs=1e-5)
    assert abs(third.parts["mlp"]) > 0.05


def test_vectors_that_do_nothing_have_no_path(talker):
    assert read_paths(talker, at(talker, [1], 0.0), PROMPTS) is None


def test_music_has_paths(musicgen):
    found = read_paths(musicgen, at(musicgen, [0]), clips(2))
    assert {"attention", "cross_attention", "mlp"} >= set(found.blocks[0].parts) > {"mlp"}


def test_scaling_concentrates_at_the_planted_word(talker):
    """The vector reads the embedding of a word that stands once in each prompt."""
    word = "red"
    number = talker.processor.convert_tokens_to_ids(word)
    row = talker.model.get_input_embeddings().weight[number].detach()
    direction = planted(talker, "a", [0])
    with silent(talker):
        one = replace(direction, vectors={Site("text", 0): row / row.norm()})
        (found,) = read_scaling(talker, one, [Sample("a", f"{word} blue", output="cup")], k=1)
        (written,) = read_scaling(
            talker, one, [Sample("a", "blue", output=word)], k=1, positions=Positions("generated")
        )
    assert found.strongest[0][0] == word
    assert found.held > 2 * found.even
    assert found.outputs < 0.5
    assert written.outputs == pytest.approx(1.0)


def test_a_sibling_of_the_same_weights_does_the_same(talker, talker_folder):
    other = load(talker_folder)
    word = replace(saying(talker, "cup", "word:cup"), sketch=talker.sketch)
    said = Attribute(word, 30.0, sites="text.3", unit="absolute")
    asked = [Sample(str(at), word) for at, word in enumerate(("red", "blue", "image"))]
    reward, nothing = parse_output_reward("contains:cup", "text"), [Reference(one.prompt) for one in asked]
    found = transfer((talker, other), said, asked, nothing, reward, Sampling(tokens=4, temperature=0.0))
    assert found.own == found.sibling
    assert (found.own[0].value, found.own[1].value) == (0.0, 1.0)
    with torch.no_grad():
        other.model.lm_head.weight[talker.processor.convert_tokens_to_ids("cup")] *= -1
    moved = transfer((talker, other), said, asked, nothing, reward, Sampling(tokens=4, temperature=0.0))
    assert moved.own == found.own
    assert moved.sibling[1].value == 0.0
