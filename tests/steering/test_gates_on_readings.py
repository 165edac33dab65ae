"""Gates on what is read in a token, on a LLaVA and on a plain language model in compiled decoding."""

from collections import Counter

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mmsteer.errors import MmsteerError, SteeringError
from mmsteer.schedules import parse_schedule
from mmsteer.steering import Attribute, Gate, Steering, parse_attribute, steer
from mmsteer.types import Direction, Positions, Sampling, Site, SiteStats
from tests.conftest import planted
from tests.steering.causal import CausalAdapter
from tests.steering.seeing import TOKENS, direction, llava, logits, samples, states, steering
from tests.steering.test_causal import NEW, compiled, generate

__all__ = ["llava"]

TEXT = Site("text", 1)


def reading(hidden, probe, site=TEXT):
    """z by hand: the component along the vector, from the mean, in spreads."""
    stats = probe.stats[site]
    return ((hidden * probe.vectors[site]).sum(-1) - stats.mean) / stats.spread


def probe_at_the_median(llava, site="text.1", **more):
    """A probe under which about half of the tokens are above 1.5 spreads."""
    flat = direction(llava, [site], seed=9, **more)
    along = reading(states(llava, site, lambda: logits(llava))[0], flat, Site.parse(site))
    spread = float(along.std())
    return direction(llava, [site], seed=9, mean=float(along.median()) - 1.5 * spread + 1e-4, spread=spread, **more)


@pytest.mark.parametrize("side", ["<", ">"])
@pytest.mark.parametrize("operator", ["add", "rotate", "project_out", "clamp"])
def test_a_gate_opens_for_tokens_beyond_the_threshold_and_no_others(llava, side, operator):
    probe = probe_at_the_median(llava)
    one = steering(direction(llava, ["text.1"]), operator=operator, gate=Gate(probe, 1.5, side))
    before = states(llava, "text.1", lambda: logits(llava))[0]
    with steer(llava, one) as session:
        after = states(llava, "text.1", lambda: logits(llava))[0]
    z = reading(before, probe)
    is_open = z > 1.5 if side == ">" else z < 1.5
    is_open[:, 0] &= operator != "rotate"  # the attention sink is left alone
    assert 0 < is_open.sum() < is_open.numel()
    assert torch.equal((after != before).any(-1), is_open)
    gate = session.receipt().gates["text.1"]
    assert (gate.asked, gate.passed) == (is_open.numel() - (operator == "rotate"), int(is_open.sum()))
    assert f"gates let {gate.passed} of {gate.asked} through" in str(session.receipt())


def test_an_open_gate_changes_nothing_and_a_closed_one_everything(llava):
    one = direction(llava, ["text.0", "text.1", "vision.1"])
    plain = logits(llava)
    with steer(llava, steering(one)):
        free = logits(llava)
    for threshold, expected in ((-1e6, free), (1e6, plain)):
        with steer(llava, steering(one, gate=Gate(one, threshold))) as session:
            found = logits(llava)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        assert torch.equal(found, expected) or threshold < 0
        assert set(session.receipt().gates) == {"text.0", "text.1", "vision.1"}
        assert (session.receipt().gates["text.1"].passed > 0) == (threshold < 0)


def test_a_gate_reads_the_state_before_every_edit_of_its_site(llava):
    """The first attribute moves every token far beyond the gate of the second; the gate does not see it."""
    probe = direction(llava, ["text.1"])
    push = Attribute(probe, 1e3)
    gated = Attribute(direction(llava, ["text.1"], seed=3), 1.0, gate=Gate(probe, 100.0))
    with steer(llava, Steering((push, gated))) as session:
        logits(llava)
    assert session.receipt().gates["text.1"].passed == 0


def test_a_gate_may_read_each_token_of_a_tower_along_its_own_vector(llava):
    probe = probe_at_the_median(llava, "vision.1", tokens=TOKENS)
    before = states(llava, "vision.1", lambda: logits(llava))[0]
    with steer(llava, steering(direction(llava, ["vision.1"]), gate=Gate(probe, 1.5))):
        after = states(llava, "vision.1", lambda: logits(llava))[0]
    expected = reading(before, probe, Site("vision", 1)) > 1.5
    assert 0 < expected.sum() < TOKENS
    assert torch.equal((after != before).any(-1), expected)


def test_gated_additions_keep_to_the_budget_and_are_composed(llava):
    one, two = direction(llava, ["text.1"], norm=5.0), direction(llava, ["text.1"], seed=1, norm=5.0)
    always = Gate(one, -1e6)
    for compose, budget in (("whiten", None), ("sum", 0.1)):
        free = Steering((Attribute(one, 0.4), Attribute(two, 0.4)), compose, budget)
        gated = Steering((Attribute(one, 0.4, gate=always), Attribute(two, 0.4)), compose, budget)
        found = []
        for each in (free, gated):
            with steer(llava, each):
                found.append(states(llava, "text.1", lambda: logits(llava))[0])
        torch.testing.assert_close(*found)


def test_each_row_has_its_own_gate(llava):
    one = direction(llava, ["text.1"])
    before = logits(llava, 3)
    with steer(llava, [steering(one, gate=Gate(one, size)) for size in (1e6, -1e6, 1e6)]):
        after = logits(llava, 3)
    assert [torch.equal(*pair) for pair in zip(after, before, strict=True)] == [True, False, True]


def test_the_prompt_that_runs_twice_is_counted_once(musicgen):
    one = planted(musicgen, "note:C", [1])
    with steer(musicgen, steering(one, gate=Gate(one, -1e6))) as session:
        musicgen.generate(["a slow piano"], Sampling(seconds=0.2), [0])
    receipt = session.receipt()
    assert receipt.gates["decoder.1"].passed == receipt.tokens


@pytest.fixture
def causal(llama):
    torch.compiler.reset()
    adapter = CausalAdapter(llama)
    return adapter


def halfway(adapter, **more):
    """A gate that is open for some tokens and closed for others, at every layer."""
    one = planted(adapter, "concept", range(4), seed=4)
    probe = planted(adapter, "risk", range(4), seed=5)
    return Steering((Attribute(one, 2.0, gate=Gate(probe, 0.0), **more),))


@pytest.mark.parametrize("more", [{}, {"operator": "rotate", "unit": "token"}])
def test_compiled_decoding_is_gated_as_eager_decoding_is(causal, more):
    with steer(causal, halfway(causal, **more)) as session:
        eager = generate(causal)
    gates = session.receipt().gates
    assert all(0 < gate.passed < gate.asked for gate in gates.values())
    with steer(causal, halfway(causal, **more)) as session:
        assert torch.equal(compiled(causal), eager)
    assert session.receipt().gates == gates
    asked = 2 * (4 + NEW - 1)
    assert {gate.asked for gate in gates.values()} == {asked}


class Counted(TorchDispatchMode):
    """Counts the operations that wait for the device."""

    def __init__(self):
        super().__init__()
        self.waits = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        if name in ("_local_scalar_dense", "nonzero", "equal", "masked_select", "unique"):
            self.waits[name] += 1
        return function(*args, **(kwargs or {}))


def waits(adapter, tokens):
    with Counted() as counted:
        generate(adapter, max_new_tokens=tokens)
    return counted.waits


def test_a_step_of_gated_decoding_waits_for_nothing(causal):
    """Twelve more tokens wait as often as the same tokens unsteered, which is for the end of generation alone."""
    plain = waits(causal, 20) - waits(causal, 8)
    with steer(causal, halfway(causal, unit="token")):
        steered = waits(causal, 20) - waits(causal, 8)
    assert steered == plain
    assert plain


SITES = [Site("text", layer) for layer in range(3)]


def named(name, sites=SITES, spread=1.0):
    vector = torch.tensor([1.0, 0.0])
    return Direction(name, dict.fromkeys(sites, vector), dict.fromkeys(sites, SiteStats(0.9, 0, spread, 1)), "m")


KNOWN = {
    "risk:a": named("risk:a"),
    "care": named("care"),
    "one": named("one", SITES[:1]),
    "flat": named("flat", spread=0),
}


@pytest.mark.parametrize(
    ("line", "side", "threshold"),
    [
        ("care 0.1 when risk:a > 1.5", ">", 1.5),
        (
            "care 0.1token fade-in 0..4steps at image on text.1-2 by rotate when risk:a < -0.1234567891",
            "<",
            -0.1234567891,
        ),
        ("care 8% when care>2e-3", ">", 0.002),
        ("care 0.1 on text.0 when one > 1", ">", 1.0),
    ],
)
def test_gates_are_read_and_print_back(line, side, threshold):
    found = parse_attribute(line, KNOWN)
    assert (found.gate.side, found.gate.threshold) == (side, threshold)
    assert parse_attribute(str(found), KNOWN) == found


def test_the_unit_of_a_tokens_own_norm_is_read_and_prints_back():
    found = parse_attribute("care 0.09token by rotate", KNOWN)
    assert (found.strength, found.unit, str(found)) == (0.09, "token", "care 0.09token constant(1) by rotate")
    assert parse_attribute("care 9%", KNOWN).unit == "relative"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("care 0.1 when", "cannot read"),
        ("care 0.1 when high", "cannot read the gate 'high'; write NAME > NUMBER"),
        ("care 0.1 when risk:a >= 1", "cannot read the gate"),
        ("care 0.1 when risk:b > 1", "no direction 'risk:b'; choose from care, flat, one, risk:a"),
        ("care 0.1 when risk:a > 1.2.3", "'1.2.3' is not a number"),
        ("care 0.1 when care > 1 when care < 2", "says when twice"),
    ],
)
def test_gates_that_cannot_be_read(line, message):
    with pytest.raises(MmsteerError, match=message):
        parse_attribute(line, KNOWN)


@pytest.mark.parametrize(
    ("sites", "stats", "message"),
    [
        (["text.0"], {}, r"'d' was not read at text\.1"),
        (["text.1"], {"spread": 0.0}, r"'d' has a spread of zero at text\.1"),
    ],
)
def test_gates_that_say_nothing_where_the_edit_is(llava, sites, stats, message):
    mute = Gate(direction(llava, sites, **stats), 1.0)
    with pytest.raises(SteeringError, match=message), steer(llava, steering(direction(llava, ["text.1"]), gate=mute)):
        raise AssertionError("steered")


def test_gates_are_checked_in_python_too():
    with pytest.raises(SteeringError, match="no side '='"):
        Gate(KNOWN["care"], 1.0, "=")
    with pytest.raises(SteeringError, match="not a finite number"):
        Gate(KNOWN["care"], float("nan"))


def test_gates_schedules_and_positions_agree(llava):
    """A gate chooses among the tokens that positions and schedule leave."""
    one = direction(llava, ["text.1"])
    narrow = steering(
        one, positions=Positions("last"), schedule=parse_schedule("window(0steps..1steps)"), gate=Gate(one, -1e6)
    )
    with steer(llava, narrow) as session:
        llava.generate(samples(2), Sampling(4))
    assert session.receipt().gates["text.1"].asked == session.receipt().gates["text.1"].passed == 2
