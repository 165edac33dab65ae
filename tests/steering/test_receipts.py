"""What receipts say of strength: ratios at every step, units that a sink made, sums over sites."""

import re
from dataclasses import replace

import pytest
import torch
from transformers import DynamicCache, StoppingCriteria, StoppingCriteriaList

from mmsteer import hooks
from mmsteer.adapters.caches import cache_name
from mmsteer.errors import SteeringError
from mmsteer.schedules import parse_schedule
from mmsteer.steering import Attribute, Gate, Steering, parse_attribute, steer, totals
from mmsteer.steering.plan import length
from mmsteer.types import Call, Direction, NormSpread, Site, SiteStats
from tests.conftest import planted
from tests.steering.causal import CausalAdapter

SITES = [Site("text", layer) for layer in range(4)]
SPREAD = NormSpread(0.8, 1.2, 100)


@pytest.fixture
def adapter(llama):
    adapter = CausalAdapter(llama)
    adapter.prompt_tokens = 4
    return adapter


def generate(adapter, tokens=16):
    ids = torch.tensor([[3, 4, 5, 6], [9, 8, 7, 6]])
    options = {"max_new_tokens": tokens, "min_new_tokens": tokens, "do_sample": False, "pad_token_id": 0}
    return adapter.model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **options)


def received(adapter, *attributes):
    with steer(adapter, Steering(attributes)) as session:
        generate(adapter)
    return session.receipt()


def test_a_schedule_between_the_measured_steps_is_seen_whole(adapter):
    """Steps 9 to 14, of which none is measured: nothing was known of them before."""
    direction = planted(adapter, "d", [3])
    found = received(adapter, Attribute(direction, 0.5, parse_schedule("window(9steps..15steps)"), unit="absolute"))
    states = []
    with hooks.readings({adapter.port(SITES[3]): states.append}):
        generate(adapter)
    site = found.sites["text.3"]
    assert site.ratios.count == found.tokens == 6 * 2
    # The last step that was measured before them is 8.
    assert site.ratio == pytest.approx(float((0.5 / states[8].norm(dim=-1)).mean()), rel=1e-4)
    assert not found.sampled


def test_the_prompt_is_counted_by_the_change_that_its_tokens_have(adapter):
    """Several columns, of which rows use different ones, at layers of different weights, on some tokens alone."""
    found = {name: planted(adapter, name, [1, 3], seed=seed) for seed, name in enumerate("abc")}
    lines = (["a 0.3", "b -0.2 at last"], ["c 0.5 at prompt - last", "a 0.1 on text.3"])
    steerings = [Steering(tuple(parse_attribute(line, found) for line in some)) for some in lines]
    plain, steered = [], []
    ids = torch.tensor([[3, 4, 5, 6], [9, 8, 7, 6]])
    with hooks.readings({adapter.port(SITES[1]): plain.append}):
        adapter.model(input_ids=ids)
    with steer(adapter, steerings) as session, session.call(Call(1, 1, 4)):
        with hooks.readings({adapter.port(SITES[1]): steered.append}):
            adapter.model(input_ids=ids)
        moved = session.moved()["text.1"]
    measured = (steered[0] - plain[0]).norm(dim=-1) / plain[0].norm(dim=-1)
    assert (measured > 0).tolist() == [[True] * 4, [True, True, True, False]]
    torch.testing.assert_close(moved.float(), measured, rtol=1e-4, atol=1e-6)


def test_all_chunks_of_a_prompt_count(adapter):
    item = Attribute(planted(adapter, "d", [3]), 0.1, unit="token")
    ids = torch.tensor([[3, 4, 5, 6, 7, 8]])
    with steer(adapter, Steering((item,))) as session, session.call(Call(1, 8, 6)), torch.no_grad():
        cache = DynamicCache()
        for chunk in ids.split(4, dim=1):
            adapter.model(input_ids=chunk, **{cache_name(adapter.model): cache})
    assert session.receipt().sites["text.3"].ratios.count == 6


def test_pushes_that_cancel_are_not_counted_by_length(adapter):
    direction = planted(adapter, "d", [3])
    window = parse_schedule("window(9steps..15steps)")
    other = Direction("e", {SITES[3]: -direction.vectors[SITES[3]]}, direction.stats, direction.model)
    pair = Attribute(direction, 0.5, window, unit="absolute"), Attribute(other, 0.375, window, unit="absolute")
    alone = received(adapter, Attribute(direction, 0.125, window, unit="absolute")).sites["text.3"]
    assert received(adapter, *pair).sites["text.3"].ratio == pytest.approx(alone.ratio, rel=0.05)


def test_where_the_state_decides_the_receipt_says_sampled(adapter):
    direction = planted(adapter, "d", [3])
    for more in ({"unit": "token"}, {"operator": "rotate"}, {"gate": Gate(direction, -1e6)}):
        found = received(adapter, Attribute(direction, 0.1, **more))
        assert found.sites["text.3"].sampled
        # The prompt, and steps 1, 2, 4 and 8 of two rows.
        assert found.sites["text.3"].ratios.count == 2 * (4 + 4)
        assert "sampled at the prompt and steps 1, 2, 4, 8" in str(found)
    own = received(adapter, Attribute(direction, 0.1, unit="token")).ratios
    assert own.median == pytest.approx(0.1, rel=0.006)


def test_strong_pushes_are_warned_of(adapter):
    direction = planted(adapter, "d", [2, 3])
    weak, strong = (received(adapter, Attribute(direction, size, unit="token")) for size in (0.45, 0.55))
    assert weak.warnings == ()
    (warning,) = strong.warnings
    assert "more than 50% of their norm" in warning
    assert "at text.2" in warning
    assert f"warning: {warning}" in str(strong)
    assert re.search(r"tokens changed by 5[45]\.\d% of their norm \(5 to 95 %: 5[45]", str(strong))


def test_a_unit_that_a_sink_made_is_warned_of(adapter):
    norm = received(adapter, Attribute(planted(adapter, "d", [3]), 0.1)).sites["text.3"].norm
    for factor, spread, warned in ((2, None, True), (2, SPREAD, False), (1.2, None, False)):
        stats = {SITES[3]: SiteStats(0.9, 0.0, 1.0, factor * norm, spread)}
        direction = Direction("d", planted(adapter, "d", [3]).vectors, stats, adapter.fingerprint)
        found = received(adapter, Attribute(direction, 0.1)).stale
        assert bool(found) == warned
    stale = Direction("d", direction.vectors, {SITES[3]: SiteStats(0.9, 0, 1, 2 * norm)}, adapter.fingerprint)
    (line,) = received(adapter, Attribute(stale, 0.1)).warnings
    assert "the unit of 'd' at text.3 is a mean over all tokens" in line
    assert received(adapter, Attribute(stale, 0.1, unit="token")).warnings == ()


def along(cosine, norms=(1.0, 2.0, 4.0, 8.0), scores=(0.5, 0.6, 0.8, 1.0)):
    """At each site one vector, which the next has a cosine with; in a plane of its own, so that sums are by hand."""
    common, rest = cosine**0.5, (1 - cosine) ** 0.5
    vectors = {site: common * torch.eye(5)[0] + rest * torch.eye(5)[1 + place] for place, site in enumerate(SITES)}
    stats = {site: SiteStats(s, 0, 1, n) for site, n, s in zip(SITES, norms, scores, strict=True)}
    return Direction("d", vectors, stats, "m")


def test_sums_over_sites_by_hand():
    (parallel,) = totals([Steering((Attribute(along(1.0), 0.1),))])
    # 0.1 (1 + 2 + 4 + 8) / 8.
    assert (parallel.sites, parallel.last) == (4, "text.3")
    assert parallel.ratio == pytest.approx(0.1 * 15 / 8)
    (orthogonal,) = totals([Steering((Attribute(along(0.0), -0.1),))])
    # 0.1 sqrt(1 + 4 + 16 + 64) / 8.
    assert orthogonal.ratio == pytest.approx(0.1 * 85**0.5 / 8)
    (absolute,) = totals([Steering((Attribute(along(1.0), 2.0, unit="absolute"),))])
    assert absolute.ratio == pytest.approx(2 * 4 / 8)
    assert "add up to 18.8% at text.3" in str(parallel)
    for single in (Attribute(along(1.0), 0.1, sites="text.2"), Attribute(along(1.0), 0.1, operator="clamp")):
        assert totals([Steering((single,))]) == ()


def test_the_last_site_is_the_one_that_the_model_computes_last():
    """Of a layer the whole comes after its parts, and what layer 0 is given before all."""
    points = ("embedding", "attention", "mlp", "block")
    sites = [Site("text", 0, point) for point in points]
    for last in range(1, len(sites)):
        norms = {site: float(2**place) for place, site in enumerate(sites[: last + 1])}
        stats = {site: SiteStats(0.9, 0, 1, norm) for site, norm in norms.items()}
        item = Attribute(Direction("d", dict.fromkeys(norms, torch.eye(3)[0]), stats, "m"), 0.3, unit="total")
        assert item.direction.sites == tuple(norms)
        (found,) = totals([Steering((item,))])
        assert (found.last, found.ratio) == (str(sites[last]), pytest.approx(0.3))


@pytest.mark.parametrize("weights", ["uniform", "linear", "top(2)", "power(0.5)"])
@pytest.mark.parametrize("sites", [None, "text.1-2"])
def test_a_total_is_what_parallel_pushes_add_up_to(weights, sites):
    item = Attribute(along(1.0), 0.3, unit="total", weights=weights, sites=sites)
    pushed = item.written
    lengths = [length(item, site) for site in pushed]
    assert 0.3 * sum(lengths) == pytest.approx(0.3 * item.direction.stats[pushed[-1]].residual_norm)
    assert [one.ratio for one in totals([Steering((item,))])] == [pytest.approx(0.3)] * (len(pushed) > 1)


def test_the_share_of_each_site_by_hand(adapter):
    stats = {site: SiteStats(0.9, 0, 1, norm, SPREAD) for site, norm in zip(SITES, (1.0, 2, 4, 8), strict=True)}
    direction = Direction("d", planted(adapter, "d", range(4)).vectors, stats, adapter.fingerprint)
    # N f with f = 8 / 15: lengths that sum to 0.3 * 8, as relative strengths of 0.16 do.
    total = received(adapter, Attribute(direction, 0.3, unit="total"))
    relative = received(adapter, Attribute(direction, 0.3 * 8 / 15))
    for site in total.sites:
        assert total.sites[site].ratio == pytest.approx(relative.sites[site].ratio, rel=1e-4)


def test_lines_with_a_total_are_read_and_print_back():
    known = {"d": along(0.5)}
    for line in ("d 0.3total", "d 0.3 total fade-in 0..4s weights linear"):
        found = parse_attribute(line, known)
        assert (found.unit, found.strength) == ("total", 0.3)
        assert parse_attribute(str(found), known) == found
    assert str(parse_attribute("d 0.3 total", known)) == "d 0.3total constant(1)"
    assert Steering((found,)).scaled(2).attributes[0].strength == 0.6
    with pytest.raises(SteeringError, match="a total is for pushes, add or rotate; 'clamp' has none"):
        parse_attribute("d 0.3total by clamp", known)


def test_no_push_leaves_nothing_to_say(adapter):
    found = received(adapter, Attribute(planted(adapter, "d", range(4)), 0.0, unit="total"))
    assert found.sites == {}
    assert found.warnings == ()


IDS = torch.tensor([[3, 4, 5, 6], [9, 8, 7, 6], [5, 5, 7, 2]])


def run(adapter, ids, steerings, tokens):
    options = {"max_new_tokens": tokens, "min_new_tokens": tokens, "do_sample": False, "pad_token_id": 0}
    with steer(adapter, steerings) as session:
        adapter.model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **options)
        return session


def test_each_sample_of_a_batch_has_the_receipt_that_it_has_alone(adapter):
    d = planted(adapter, "d", [1, 3])
    lines = ["d 0.1", "d 0.3 window(2steps..6steps) on text.3", "d 0.2 at generated"]
    steerings = [Steering((parse_attribute(line, {"d": d}),)) for line in lines]
    steps = [5, 7, 16]
    session = run(adapter, IDS, steerings, 16)
    together = [session.receipt_of(sample, count) for sample, count in enumerate(steps)]
    for place, (steering, count) in enumerate(zip(steerings, steps, strict=True)):
        alone = run(adapter, IDS[place : place + 1], [steering], count).receipt()
        mine = together[place]
        assert (mine.attributes, mine.steps, mine.tokens) == (alone.attributes, alone.steps, alone.tokens)
        assert mine.sites.keys() == alone.sites.keys()
        for site, one in alone.sites.items():
            assert mine.sites[site].ratio == pytest.approx(one.ratio, rel=1e-4)
            assert mine.sites[site].ratios.count == one.ratios.count
    assert len({one.ratio for one in together}) == 3


def test_beside_a_sample_whose_edit_depends_on_the_state_the_measured_steps_count(adapter):
    d = planted(adapter, "d", [1])
    steerings = [Steering((parse_attribute(line, {"d": d}),)) for line in ("d 0.1", "d 0.2 by rotate")]
    session = run(adapter, IDS[:2], steerings, 8)
    added, rotated = session.receipt_of(0, 8), session.receipt_of(1, 8)
    assert added.sampled
    assert rotated.sampled
    assert added.sites["text.1"].ratios.count == 4 + 3  # the prompt, and steps 1, 2 and 4
    assert added.tokens == 4 + 7


def test_an_unsteered_sample_of_a_batch_has_an_empty_receipt(adapter):
    steered = Steering((Attribute(planted(adapter, "d", [1]), 0.1),))
    session = run(adapter, IDS[:2], [steered, Steering()], 4)
    first, second = session.receipt_of(0, 4), session.receipt_of(1, 4)
    assert first.tokens == 7
    assert (second.attributes, second.sites, second.tokens) == ((), {}, 0)


def test_a_sample_has_its_receipt_while_the_others_go_on(adapter):
    steerings = [Steering((Attribute(planted(adapter, "d", [2]), strength),)) for strength in (0.1, 0.2)]
    seen = {}

    class Look(StoppingCriteria):
        def __call__(self, ids, scores, **_):
            made = ids.shape[1] - 4
            seen[made] = session.receipt_of(1, made)
            return torch.zeros(len(ids), dtype=torch.bool)

    with steer(adapter, steerings) as session:
        options = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0}
        stop = StoppingCriteriaList([Look()])
        adapter.model.generate(
            input_ids=IDS[:2], attention_mask=torch.ones_like(IDS[:2]), stopping_criteria=stop, **options
        )
    for steps in (1, 3, 6):
        assert seen[steps].tokens == 3 + steps
        assert seen[steps].ratio == pytest.approx(session.receipt_of(1, steps).ratio)


def test_a_token_that_the_first_forward_held_behind_the_prompt_counts_once(adapter):
    """An output that is read again: four tokens are given, three were made."""
    item = Attribute(planted(adapter, "d", [2]), 0.1)
    with steer(adapter, Steering((item,))) as session, session.call(Call(1, None, 4)):
        adapter.model(input_ids=torch.tensor([[3, 4, 5, 6, 7, 8, 9]]))
    assert session.receipt_of(0, 4).tokens == session.receipt().tokens == 7


def test_padding_behind_outputs_that_are_read_again_is_not_counted(adapter):
    ids = torch.tensor([[3, 4, 5, 6, 7, 8, 9], [9, 8, 7, 6, 5, 0, 0]])
    item = Attribute(planted(adapter, "d", [2]), 0.1)
    with steer(adapter, Steering((item,))) as session, session.call(Call(1, None, 4)):
        adapter.model(input_ids=ids, attention_mask=(ids != 0).long())
    assert session.receipt().tokens == 7 + 5


def test_branches_that_run_one_after_another_have_rows_of_their_own(adapter, monkeypatch):
    """Two branches of two samples: the rows of the second branch stand behind those of the first."""
    plain, branch = type(adapter).forward, []
    monkeypatch.setattr(
        type(adapter), "forward", lambda self, *given: replace(plain(self, *given), branch=len(branch) - 1)
    )
    d = planted(adapter, "d", [2])
    ids = torch.tensor([[3, 4, 5, 6], [5, 6, 7, 8]])
    with steer(adapter, [Steering((Attribute(d, strength),)) for strength in (0.1, 0.2)]) as session:
        with session.call(Call(2, 4, 4)):
            for _ in range(2):
                branch.append(True)
                adapter.model(input_ids=ids)
        moved = session.moved()["text.2"]
    assert moved.shape == (4, 4)
    torch.testing.assert_close(moved[:2], moved[2:])
    first, second = session.receipt_of(0, 1), session.receipt_of(1, 1)
    assert first.tokens == second.tokens == 2 * 4
    assert first.sites["text.2"].ratio == pytest.approx(float(moved[0].mean()))
    assert second.sites["text.2"].ratio == pytest.approx(float(moved[1].mean()))
