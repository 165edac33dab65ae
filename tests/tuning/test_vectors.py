"""Vectors that are trained: the graph is that of the engine, and training finds what makes outputs likely."""

from dataclasses import replace
from functools import partial

import pytest
import torch
import torch.distributed as dist

from mmsteer.atomic import append_whole
from mmsteer.direction_file import load_directions, save_directions
from mmsteer.errors import ProbeError, RanksError, SteeringError
from mmsteer.eval.rewards import parse_output_reward
from mmsteer.eval.text import Reference
from mmsteer.hooks import frozen
from mmsteer.likelihood import output_likelihood
from mmsteer.ranks import Ranks
from mmsteer.steering import Attribute, Steering, parse_attribute, steer
from mmsteer.tuning import (
    AdditiveVectors,
    GatedVectors,
    Likelihood,
    LowRankEdits,
    Preference,
    Reinforced,
    Schedule,
    advantages,
    measure_sites,
    train,
)
from mmsteer.types import Positions, Sample, Sampling
from tests.conftest import saying
from tests.tuning.ranked import PROMPTS, answered

# Of the few outputs of a step here all may earn the same.
pytestmark = pytest.mark.filterwarnings("ignore:.*all earned the same:UserWarning")
ALL = Positions("all")


@pytest.fixture(scope="module")
def where(talker):
    return measure_sites(talker, answered("cup cup"), "text.1-2", ALL)


def moved(vectors, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for part in vectors.parts:
            part += 0.3 * torch.randn(part.shape, generator=generator)
    return vectors


@pytest.mark.parametrize("positions", ["all", "last | generated", "0..1steps"])
def test_the_trained_graph_is_what_the_engine_applies(talker, positions):
    vectors = moved(AdditiveVectors(measure_sites(talker, answered("cup cup"), "text.1-2", Positions(positions))))
    samples = answered("cup cup")[:3]
    read = vectors.outputs(samples, gradient=False)
    wanted = output_likelihood(talker, samples, vectors.steering())
    torch.testing.assert_close(read.sums.double(), wanted[:, 0], rtol=1e-5, atol=1e-5)
    assert read.sizes.tolist() == wanted[:, 1].tolist() == [2, 2, 2]
    unsteered = output_likelihood(talker, samples)
    assert (wanted[:, 0] - unsteered[:, 0]).abs().min() > 1e-3
    torch.testing.assert_close(vectors.outputs(samples, gradient=False, sign=0.0).sums.double(), unsteered[:, 0])


def test_of_music_too(musicgen):
    clips = musicgen.generate([Sample("a", "tune"), Sample("b", "song")], Sampling(seconds=0.3), [1, 2])
    vectors = moved(AdditiveVectors(measure_sites(musicgen, clips, "decoder.1", ALL)))
    with frozen(musicgen.model):
        read = vectors.outputs(clips)
        read.sums.sum().backward()
    wanted = output_likelihood(musicgen, clips, vectors.steering())
    torch.testing.assert_close(read.sums.detach().double(), wanted[:, 0], rtol=1e-5, atol=1e-4)
    assert all(part.grad.norm() > 0 for part in vectors.parts)


def test_a_gradient_is_the_slope(where):
    vectors = moved(AdditiveVectors(where))
    samples = answered("cup cup")[:2]
    with frozen(where.adapter.model):
        vectors.outputs(samples).sums.sum().backward()
    slope, at, step = float(vectors.parts[0].grad[5]), vectors.parts[0].data, 1e-2
    values = []
    for sign in (1, -1):
        at[5] += sign * step
        values.append(float(vectors.outputs(samples, gradient=False).sums.sum()))
        at[5] -= sign * step
    assert slope == pytest.approx((values[0] - values[1]) / (2 * step), rel=2e-2, abs=1e-3)


def test_only_the_vectors_have_gradients(where, talker):
    vectors = AdditiveVectors(where)
    train(vectors, Likelihood(answered("cup")), Schedule(1, 0.1), settings={})
    assert all(one.grad is None and one.requires_grad for one in talker.model.parameters())


@pytest.mark.parametrize("gated", [False, True])
def test_likelihood_makes_the_wanted_likely(talker, where, gated):
    vectors = GatedVectors(where, k=2) if gated else AdditiveVectors(where)
    log = train(vectors, Likelihood(answered("cup cup")), Schedule(60, 0.3 if gated else 0.1), settings={})
    assert log[-1]["loss"] < log[0]["loss"] - 1.0
    direction = vectors.direction("word:cup", {"method": "test"})
    with steer(talker, Steering((Attribute(direction, 1.0, unit="trained"),))):
        said = [str(one.output) for one in talker.generate(PROMPTS, Sampling(tokens=2, temperature=0.0))]
    plain = [str(one.output) for one in talker.generate(PROMPTS, Sampling(tokens=2, temperature=0.0))]
    assert sum("cup" in one for one in said) >= 6
    assert sum("cup" in one for one in plain) <= 2


def test_gated_vectors_read_and_write(where):
    """By hand: with k = 1 what is added is relu(max h w), and the charge is what the other tokens hold."""
    vectors = GatedVectors(where, k=1)
    site, width = where.sites[0], len(vectors.parts[0])
    hidden, mask = torch.zeros(1, 3, width), torch.tensor([[[1.0], [1.0], [0.0]]])
    axis = torch.eye(width)[0]
    hidden[0, :, 0] = torch.tensor([2.0, 5.0, 9.0])
    vectors.charge = torch.zeros(())
    edited = vectors._edited(site, hidden, axis, mask)
    assert edited[0, :, 0].tolist() == [7.0, 10.0, 9.0]
    assert float(vectors.charge) == 2.0
    assert vectors.lengths()[site] == 5.0
    vectors._edited(site, hidden, -axis, mask)  # nothing is found, so nothing is added
    assert vectors.lengths()[site] == pytest.approx(5 - 5 / 16)
    assert all(float(part.detach().norm() ** 2) == pytest.approx(width) for part in vectors.parts)


def test_alone_a_gated_vector_keeps_the_bits_of_what_it_added(where):
    vectors, added = GatedVectors(where), torch.rand(len(where.sites), generator=torch.Generator().manual_seed(0))
    for rows in range(1, 20):
        vectors._rows = rows
        vectors.get_buffer("added").copy_(added)
        vectors.reduce_gradients(Ranks())
        assert torch.equal(vectors.get_buffer("added"), added)


def test_preference_reads_each_pair_unsteered_once(where, monkeypatch):
    read = []
    outputs = AdditiveVectors.outputs

    def counted(self, samples, **more):
        read.extend(one.id for one in samples if more.get("sign") == 0.0)
        return outputs(self, samples, **more)

    monkeypatch.setattr(AdditiveVectors, "outputs", counted)
    better, worse = answered("cup"), answered("red")
    train(AdditiveVectors(where), Preference(better, worse), Schedule(6, 0.05), settings={})
    assert sorted(read) == sorted([one.id for one in better] * 2)


def test_preference_works_in_both_signs(talker, where):
    vectors = AdditiveVectors(where)
    objective = Preference(answered("cup"), answered("red"), beta=1.0)
    train(vectors, objective, Schedule(40, 0.05), settings={})
    direction = vectors.direction("word:cup", {})

    def margin(strength):
        steering = Steering((Attribute(direction, strength, unit="trained"),))
        sums = [output_likelihood(talker, answered(word), steering)[:, 0].mean() for word in ("cup", "red")]
        return float(sums[0] - sums[1])

    assert margin(1.0) > margin(0.0) + 0.5
    assert margin(-1.0) < margin(0.0) - 0.5


def reinforced(**more):
    references = [Reference(one.text) for one in PROMPTS]
    reward = parse_output_reward("contains:cup", "text")
    sampling = Sampling(tokens=3, temperature=1.0, top_k=0, top_p=1.0)
    return Reinforced(PROMPTS, references, reward, sampling, **{"asked": 4, "group": 6, **more})


@pytest.mark.parametrize(
    "edits", [AdditiveVectors, partial(LowRankEdits, rank=1, kind="direft")], ids=["vectors", "gates"]
)
@pytest.mark.parametrize("baseline", ["rloo", "grpo"])
def test_reward_grows(talker, where, baseline, edits):
    log = train(edits(where), reinforced(baseline=baseline), Schedule(25, 0.1), settings={})
    first, last = (sum(line["reward"] for line in part) / 4 for part in (log[:4], log[-4:]))
    assert last > first + 0.3
    assert log[-1]["tokens"] <= 3


def test_a_weight_of_the_divergence_keeps_near(talker, where):
    ends = [
        train(AdditiveVectors(where), reinforced(kl=weight), Schedule(10, 0.1), settings={})[-1]["length"]
        for weight in (0.0, 50.0)
    ]
    assert ends[1] < 0.7 * ends[0]


def test_a_budget_is_kept_to(where):
    def divergence(**more):
        log = train(AdditiveVectors(where), reinforced(**more), Schedule(60, 0.05, decay="constant"), settings={})
        return sum(line["kl"] for line in log[-20:]) / 20

    assert 0.15 < divergence(budget=0.3) < 0.45
    assert divergence(kl=1e-9) > 0.6


def test_the_weight_follows_the_divergence_by_hand():
    """Half beyond the budget adds half of .1, and .6 of what is more than before; a blank step adds nothing."""
    objective = reinforced(budget=0.3)

    def weight(*divergences, tokens=3, weight=0.2):
        return objective._weight([{"weight": weight, "kl": kl, "tokens": tokens} for kl in divergences])

    assert weight(0.45, 0.45) == pytest.approx(0.2 + 0.05)
    assert weight(0.3, 0.45) == pytest.approx(0.2 + 0.05 + 0.3)
    assert weight(0.3, 9.0) == pytest.approx(0.2 + 0.1 + 0.6)
    assert weight(0.15, 0.15) == pytest.approx(0.2 - 0.05)
    assert weight(0.0, 0.0, weight=0.05) == 0.0
    assert weight(0.45, 0.0, tokens=0) == 0.2
    assert weight() == 0.0


def test_the_weight_reads_no_more_than_two_measured_steps():
    unread, silent = [{}] * 50, {"weight": 0.3, "kl": 0.0, "tokens": 0.0}
    measured = [{"weight": 0.2, "kl": kl, "tokens": 3.0} for kl in (0.1, 0.15)]
    found = reinforced(budget=0.1)._weight([*unread, measured[0], silent, measured[1]])
    assert found == pytest.approx(0.2 + 0.1 * 0.5 + 0.6 * 0.5)


@pytest.mark.parametrize(
    ("objective", "kind"),
    [
        (Likelihood(answered("cup"), batch=3), "3 outputs"),
        (Preference(answered("cup"), answered("red"), batch=3), "3 pairs"),
        (reinforced(asked=3), "3 prompts"),
    ],
)
def test_a_step_has_something_for_each_process(where, monkeypatch, objective, kind):
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda: 4)
    monkeypatch.setattr(dist, "get_rank", lambda: 0)
    with pytest.raises(RanksError, match=f"{kind} a step are too few for 4 processes; start at most 3"):
        objective.accumulate(AdditiveVectors(where), 0, 0.0, [])


def test_equal_rewards_move_nothing_and_are_warned_of_once(where):
    idle = replace(reinforced(), reward=parse_output_reward("contains:zzz", "text"))
    vectors = AdditiveVectors(where)
    with pytest.warns(UserWarning, match=r"contains:zzz: the outputs of each prompt .* earned the same") as found:
        log = train(vectors, idle, Schedule(2, 0.1), settings={})
    assert len(found) == 1
    assert log[0]["gradient"] == 0.0
    with pytest.raises(ProbeError, match=r"every vector is zero, .* other prompts or a higher temperature"):
        vectors.direction("asked:rloo", {})


@pytest.mark.parametrize("more", [{}, {"budget": 0.005}])
def test_what_was_stopped_goes_on_as_if_not(where, tmp_path, more):
    def run(folder, steps):
        vectors = AdditiveVectors(where)
        return vectors, train(vectors, reinforced(**more), steps, settings={"seed": 0}, folder=folder)

    whole, log = run(tmp_path / "whole", Schedule(6, 0.1))

    class Stopped(Exception):
        pass

    class Halting(Reinforced):
        def accumulate(self, vectors, step, share, past):
            if step == 3:
                raise Stopped
            return super().accumulate(vectors, step, share, past)

    halting = Halting(**vars(reinforced(**more)))
    with pytest.raises(Stopped):
        train(AdditiveVectors(where), halting, Schedule(6, 0.1), settings={"seed": 0}, folder=tmp_path / "part")
    again, resumed = run(tmp_path / "part", Schedule(6, 0.1))
    assert resumed == log
    assert log[-1].get("weight", 1.0) > 0
    for one, other in zip(whole.parts, again.parts, strict=True):
        assert torch.equal(one, other)
    assert (tmp_path / "part" / "steps.jsonl").read_bytes() == (tmp_path / "whole" / "steps.jsonl").read_bytes()
    with pytest.raises(ProbeError, match="another training, which differs in seed"):
        train(AdditiveVectors(where), reinforced(), Schedule(6, 0.1), settings={"seed": 1}, folder=tmp_path / "part")


def test_a_step_without_a_gradient_counts_as_one(where, tmp_path):
    """Adam does not count a step in which all outputs are blank."""

    class Blank(Likelihood):
        def accumulate(self, vectors, step, share, past):
            return {"loss": 0.0} if step == 0 else super().accumulate(vectors, step, share, past)

    def run(folder, steps):
        vectors = AdditiveVectors(where)
        return train(vectors, Blank(answered("cup")), Schedule(steps, 0.1), settings={}, folder=folder)

    class Stopped(Blank):
        def accumulate(self, vectors, step, share, past):
            if step == 2:
                raise KeyboardInterrupt
            return super().accumulate(vectors, step, share, past)

    with pytest.raises(KeyboardInterrupt):
        train(AdditiveVectors(where), Stopped(answered("cup")), Schedule(4, 0.1), settings={}, folder=tmp_path / "part")
    assert run(tmp_path / "part", 4) == run(tmp_path / "whole", 4)


def test_a_row_whose_outputs_have_no_value_is_named(where):
    objective = replace(reinforced(asked=8), reward=parse_output_reward("exact", "text"))
    told = [Reference(one.text, "cup" if one.id != "5" else None) for one in PROMPTS]
    with pytest.raises(ProbeError, match=r"row '5' .* has no value for any of its outputs"):
        train(AdditiveVectors(where), replace(objective, references=told), Schedule(1, 0.1), settings={})


@pytest.mark.parametrize("options", [("zebra", "yak"), ()])
def test_a_row_whose_outputs_name_no_option_is_no_fault_if_it_has_options(where, options):
    objective = replace(reinforced(asked=8), reward=parse_output_reward("choice", "text"))
    objective = replace(objective, references=[Reference(one.text, "zebra", options) for one in PROMPTS])
    if options:
        (step,) = train(AdditiveVectors(where), objective, Schedule(1, 0.1), settings={})
        assert (step["unscored"], step["gradient"]) == (48, 0.0)
    else:
        with pytest.raises(ProbeError, match="has no value for any of its outputs"):
            train(AdditiveVectors(where), objective, Schedule(1, 0.1), settings={})


@pytest.mark.parametrize("baseline", ["rloo", "grpo"])
def test_an_output_without_a_value_has_no_part_in_the_others(baseline):
    """A blank output is no bad one: the others are compared with one another alone."""
    nan = torch.nan
    found = advantages(torch.tensor([[1.0, nan, 0.0, 0.0], [nan, nan, nan, 1.0], [nan] * 4]), baseline)
    alone = advantages(torch.tensor([[1.0, 0.0, 0.0]]), baseline)
    torch.testing.assert_close(found[0, [0, 2, 3]], alone[0])
    assert found[0, 1] == 0
    assert not found[1:].any()


def test_outputs_without_a_value_are_counted(where, monkeypatch):
    def rate(reward, outputs, references, sample_rate):
        return [None if at % 3 == 0 else float("cup" in one) for at, one in enumerate(outputs)]

    monkeypatch.setattr("mmsteer.tuning.reinforced.rate_outputs", rate)
    (line,) = train(AdditiveVectors(where), reinforced(), Schedule(1, 0.1), settings={})
    assert line["unscored"] == 8


def test_the_log_is_written_on(where, tmp_path, monkeypatch):
    """A step adds its own line: the bytes that are written do not grow with the steps."""
    written = []

    def append(path, size, data):
        written.append(len(data))
        append_whole(path, size, data)

    monkeypatch.setattr("mmsteer.tuning.step_log.append_whole", append)
    log = train(AdditiveVectors(where), Likelihood(answered("cup")), Schedule(5, 0.1), settings={}, folder=tmp_path)
    lines = (tmp_path / "steps.jsonl").read_bytes().splitlines(keepends=True)
    assert written == [len(line) for line in lines]
    assert len(log) == len(lines) == 5


def test_the_file_keeps_the_length(talker, where, tmp_path):
    vectors = moved(AdditiveVectors(where))
    direction = vectors.direction("word:cup", {"method": "test"})
    save_directions(tmp_path / "d.safetensors", [direction])
    known = load_directions(tmp_path / "d.safetensors")
    assert known["word:cup"].stats == direction.stats
    item = parse_attribute("word:cup 0.5trained on text.1", known)
    assert (item.strength, item.unit, str(item)) == (0.5, "trained", "word:cup 0.5trained constant(1) on text.1")
    with steer(talker, Steering((item,))) as session:
        talker.generate(PROMPTS[:1], Sampling(tokens=2))
    applied = session.receipt().sites["text.1"]
    assert applied.ratio * applied.norm == pytest.approx(0.5 * vectors.lengths()[where.sites[0]], rel=0.05)


def test_what_makes_no_sense_is_refused(talker, where):
    with pytest.raises(ProbeError, match="every vector is zero"):
        AdditiveVectors(where).direction("a:b", {})
    with pytest.raises(SteeringError, match="no length was trained"):
        Attribute(saying(talker, "cup", "word:cup"), 1.0, unit="trained")
    with pytest.raises(ProbeError, match="draw 2 or more"):
        reinforced(group=1)
    with pytest.raises(ProbeError, match="give a budget above 0, or a weight"):
        reinforced(budget=0.1, kl=0.1)
    with pytest.raises(ProbeError, match="give one step or more"):
        Schedule(0, 0.1)
    with pytest.raises(ProbeError, match=r"a rate above 0, up to 1e\+06"):
        Schedule(1, 1e300)
    with pytest.raises(ProbeError, match="one of each"):
        Preference(answered("cup"), [])
