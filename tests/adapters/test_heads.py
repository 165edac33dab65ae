"""Attention heads: one addition a layer on what the output projection is given, equal to a hook written by hand."""

from contextlib import ExitStack

import pytest
import torch
from transformers import CompileConfig

from mmsteer import hooks
from mmsteer.errors import SiteError, SteeringError
from mmsteer.steering import Attribute, Steering, parse_attribute, steer, totals
from mmsteer.types import Direction, Site, SiteStats
from tests.adapters.test_families import samples
from tests.steering.calling import IDS

FAMILIES = ("llama", "opt", "bloom", "mpt", "olmo2", "qwen3_next", "recurrent_gemma", "llava", "gemma3", "mllama")


def heads_of(adapter, pattern="text.*.head.*", spread=2.0):
    generator = torch.Generator().manual_seed(3)
    draws = {site: torch.randn(adapter.widths[site], generator=generator) for site in adapter.select(pattern)}
    vectors = {site: draw / draw.norm() for site, draw in draws.items()}
    stats = {site: SiteStats(0.5 + 0.01 * at, 0.0, spread, 1.0) for at, site in enumerate(vectors)}
    return Direction("truth:yes", vectors, stats, adapter.fingerprint)


def by_hand(adapter, direction, size):
    """torch's own hooks on the output projections: each head's part of their input, moved by itself."""
    exits = ExitStack()
    for site, vector in direction.vectors.items():

        def before(_, args, site=site, vector=vector):
            state = args[0].clone()
            state[..., site.head * len(vector) : (site.head + 1) * len(vector)] += size * vector
            return (state, *args[1:])

        exits.callback(adapter.module(site).register_forward_pre_hook(before).remove)
    return exits


@pytest.mark.parametrize("family", FAMILIES)
def test_steered_heads_are_those_of_a_hook_by_hand(families, family):
    adapter = families(family)
    direction = heads_of(adapter)
    # One sample: padding is not steered, and a recurrent layer carries on what it is pushed to by hand.
    reading = adapter.reading(samples(family)[:1])
    plain = adapter.read(reading)
    with by_hand(adapter, direction, 3.0):
        wanted = adapter.read(reading)
    with steer(adapter, Steering((Attribute(direction, 3.0),))) as session, session.call(reading.call):
        found = adapter.read(reading)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(found, plain, atol=1e-4)
    with steer(adapter, Steering((Attribute(direction, 0.0),))) as session, session.call(reading.call):
        assert torch.equal(adapter.read(reading), plain)


@pytest.mark.parametrize("more", [{}, {"num_beams": 2}, {"cache_implementation": "static", "disable_compile": True}])
def test_generation_is_that_of_a_hook_by_hand(families, more):
    adapter = families("llama")
    ids = torch.cat([torch.tensor([[0, 0], [5, 6]]), IDS], dim=1)
    options = {"attention_mask": (ids != 0).long(), "max_new_tokens": 6, "do_sample": False, "pad_token_id": 0} | more
    direction = heads_of(adapter, "text.0-1.head.*")
    with by_hand(adapter, direction, 5.0):
        wanted = adapter.model.generate(ids, **options)
    with steer(adapter, Steering((Attribute(direction, 5.0),))) as session:
        assert torch.equal(adapter.model.generate(ids, **options), wanted)
    assert set(session.receipt().sites) == {f"text.{layer}.head.{head}" for layer in (0, 1) for head in (0, 1)}
    assert not torch.equal(adapter.model.generate(ids, **options)[:, : wanted.shape[1]], wanted)


def test_compiled_generation_is_that_of_a_hook_by_hand(families):
    adapter = families("llama")
    direction = heads_of(adapter, "text.0-1.head.*")
    options = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0, "cache_implementation": "static"}
    with by_hand(adapter, direction, 5.0):
        wanted = adapter.model.generate(IDS, **options, disable_compile=True)
    torch.compiler.reset()
    config = CompileConfig(backend="eager", mode=None, fullgraph=True)
    config._compile_all_devices = True
    with steer(adapter, Steering((Attribute(direction, 5.0),))) as session:
        assert torch.equal(adapter.model.generate(IDS, **options, compile_config=config), wanted)
    assert len(session.receipt().sites) == len(direction.vectors)
    torch.compiler.reset()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_stream_before_the_mlp_has_the_attention_in_it_and_is_written_like_it(families, family):
    adapter = families(family)
    layer = next(site.layer for site in adapter.widths if site.stack == "text" and site.point == "attention")
    before = Site("text", 0, "embedding") if layer == 0 else Site("text", layer - 1)
    sites = [before, Site("text", layer, "attention"), Site("text", layer, "mid")]
    reading = adapter.reading(samples(family))
    states = {}
    with hooks.readings(
        {adapter.port(one): lambda state, one=one: states.update({one: state.clone()}) for one in sites}
    ):
        plain = adapter.read(reading)
    start, attention, mid = (states[one].reshape(plain.shape[0], plain.shape[1], -1) for one in sites)
    torch.testing.assert_close(mid, start + attention, atol=1e-5, rtol=1e-4)
    bump = torch.randn(mid.shape[-1], generator=torch.Generator().manual_seed(1))
    with hooks.edits({adapter.port(sites[1]): lambda state: state + bump}):
        wanted = adapter.read(reading)
    with hooks.edits({adapter.port(sites[2]): lambda state: state + bump}):
        torch.testing.assert_close(adapter.read(reading), wanted, atol=1e-5, rtol=1e-4)
    assert not torch.equal(wanted, plain)


def test_standard_deviations_and_the_best_heads(families):
    adapter = families("llama")
    direction = heads_of(adapter)
    line = parse_attribute("truth:yes 1.5std on text.1-2.head.* weights top(2)", {"truth:yes": direction})
    assert list(map(str, line.written)) == ["text.2.head.0", "text.2.head.1"]
    assert str(line) == "truth:yes 1.5std constant(1) on text.1-2.head.* weights top(2)"
    (total,) = totals([Steering((line,))])
    # Both heads are moved by 1.5 spreads of 2, and have a typical norm of 1.
    assert (total.sites, total.last, total.ratio) == (2, "all of these heads", pytest.approx(3.0))
    with pytest.raises(SteeringError, match="a total is of pushes that add up"):
        parse_attribute("truth:yes 1total", {"truth:yes": direction}).check(adapter)


def test_what_a_model_lacks_is_said(families):
    with pytest.raises(SiteError, match="head is the output of one attention head"):
        families("mamba").select("text.0.head.0")
    with pytest.raises(SiteError, match="mid is the residual stream"):
        families("mamba").select("text.0.mid")


def test_an_interrupted_forward_leaves_the_session_to_other_threads(families):
    adapter = families("llama")
    direction = heads_of(adapter)

    def interrupt(*_):
        raise KeyboardInterrupt

    with steer(adapter, Steering((Attribute(direction, 1.0),))) as session:
        adapter.model(IDS)
        handle = adapter.module(Site("text", 2)).register_forward_hook(interrupt)
        with pytest.raises(KeyboardInterrupt):
            adapter.model(IDS)
        handle.remove()
        assert not session._lock._is_owned()
