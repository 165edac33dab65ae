"""LoReFT and DiReFT: the trained graph is what the engine does, and what was planted is found."""

import json

import pytest
import torch
from safetensors import safe_open

from mmsteer.direction_file import load_directions, save_directions
from mmsteer.errors import DirectionError, SteeringError
from mmsteer.fold import fold
from mmsteer.likelihood import output_likelihood
from mmsteer.steering import Attribute, Steering, parse_attribute, steer
from mmsteer.tuning import Likelihood, LowRankEdits, Schedule, measure_sites, train
from mmsteer.types import LowRank, Positions, Sampling, random_direction
from tests.tuning.test_vectors import PROMPTS, answered

KINDS = ["loreft", "direft"]


@pytest.fixture(scope="module")
def where(talker):
    return measure_sites(talker, answered("cup cup"), "text.1-2", Positions("all"))


def moved(edits, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for part in edits.parameters():
            part += 0.3 * torch.randn(part.shape, generator=generator)
    edits.constrain()
    return edits


def trained(edits, steps=60):
    train(edits, Likelihood(answered("cup cup")), Schedule(steps, 0.1), settings={})
    return edits.direction("word:cup", {"probe": edits.kind})


def test_an_edit_by_hand():
    """h = (1, 2, 3), R = the second axis, W h = 2 * h_1, b = 5: h_2 becomes 2 * 1 + 5 = 7."""
    h, rows = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([[0.0, 1.0, 0.0]])
    edit = LowRank(torch.tensor([[2.0, 0.0, 0.0]]) - rows, torch.tensor([5.0]), rows)
    assert (h + edit.change(h)).tolist() == [1.0, 7.0, 3.0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("positions", ["all", "last | generated", "prompt"])
def test_the_trained_graph_is_what_the_engine_applies(talker, kind, positions):
    where = measure_sites(talker, answered("cup cup"), "text.1-2", Positions(positions))
    edits, samples = moved(LowRankEdits(where, 3, kind)), answered("cup cup")[:3]
    read = edits.outputs(samples, gradient=False).sums.double()
    steered = output_likelihood(talker, samples, edits.steering())[:, 0]
    torch.testing.assert_close(read, steered, rtol=1e-5, atol=1e-5)
    assert (steered - output_likelihood(talker, samples)[:, 0]).abs().min() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_an_edit_begins_as_none(talker, where, kind):
    read = LowRankEdits(where, 3, kind).outputs(answered("cup")[:2], gradient=False).sums.double()
    torch.testing.assert_close(read, output_likelihood(talker, answered("cup")[:2])[:, 0])


def test_only_loreft_moves_inside_the_rows_it_writes(where):
    for kind in KINDS:
        edit = moved(LowRankEdits(where, 3, kind)).direction("a:b", {}).edits[where.sites[0]]
        assert torch.allclose(edit.write @ edit.write.T, torch.eye(3), atol=1e-5) == (kind == "loreft")


@pytest.mark.parametrize("kind", KINDS)
def test_training_makes_the_wanted_likely_and_a_tenth_of_an_edit_less_so(talker, where, kind):
    direction = trained(LowRankEdits(where, 2, kind))

    def likely(strength):
        steering = Steering((Attribute(direction, strength, unit="trained"),))
        return float(output_likelihood(talker, answered("cup cup"), steering)[:, 0].mean())

    assert likely(1.0) > likely(0.1) > likely(0.0)
    assert likely(1.0) > likely(0.0) + 1.0
    with steer(talker, Steering((Attribute(direction, 1.0, unit="trained"),))):
        said = [str(one.output) for one in talker.generate(PROMPTS, Sampling(tokens=2, temperature=0.0))]
    assert sum("cup" in one for one in said) >= 6


def test_what_was_stopped_goes_on_as_if_not(where, tmp_path):
    def run(folder, halt=99):
        class Halting(Likelihood):
            def accumulate(self, vectors, step, share, past):
                if step == halt:
                    raise KeyboardInterrupt
                return super().accumulate(vectors, step, share, past)

        edits = LowRankEdits(where, 2)
        return edits, train(edits, Halting(answered("cup")), Schedule(6, 0.1), settings={}, folder=folder)

    whole, log = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "part", 3)
    again, more = run(tmp_path / "part")
    assert more == log
    assert all(torch.equal(one, other) for one, other in zip(whole.parameters(), again.parameters(), strict=True))


def test_the_file_is_of_its_own_kind_and_keeps_the_edit(talker, where, tmp_path):
    direction = moved(LowRankEdits(where, 2)).direction("word:cup", {"probe": "loreft"})
    path = tmp_path / "edit.safetensors"
    save_directions(path, [direction])
    with safe_open(path, "pt") as file:
        assert json.loads(file.metadata()["mmsteer"])["format"] == "mmsteer edits"
    known = load_directions(path)
    item = parse_attribute("word:cup 0.5trained on text.1", known)
    samples = answered("cup cup")
    given = Steering((Attribute(direction, 0.5, sites="text.1", unit="trained"),))
    assert torch.equal(output_likelihood(talker, samples, Steering((item,))), output_likelihood(talker, samples, given))


def test_what_an_edit_cannot_do_is_refused(talker, where):
    direction = moved(LowRankEdits(where, 2)).direction("word:cup", {})
    with pytest.raises(SteeringError, match="write such as '1trained'"):
        Attribute(direction, 0.1)
    with pytest.raises(SteeringError, match="without an operator"):
        Attribute(direction, 1.0, unit="trained", operator="rotate")
    item = Attribute(direction, 1.0, unit="trained")
    with pytest.raises(SteeringError, match="no single vector to add"):
        output_likelihood(talker, answered("cup"), Steering((item,), budget=0.1))
    with pytest.raises(DirectionError, match="low-rank edit, which no weight leaves out"):
        fold(talker, [trained_at_the_mlp(talker)])
    with pytest.raises(DirectionError, match="finite numbers"):
        LowRank(torch.ones(2, 4), torch.ones(3), torch.ones(2, 4))
    assert not random_direction(direction, 0).edits


def trained_at_the_mlp(talker):
    where = measure_sites(talker, answered("cup"), "text.1.mlp", Positions("all"))
    return moved(LowRankEdits(where, 2)).direction("word:cup", {})
