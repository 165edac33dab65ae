"""The same weights in both libraries: the same identity, states and steered tokens."""

import numpy as np
import pytest
import torch

from mmsteer.record import record
from mmsteer.schedules import parse_schedule
from mmsteer.steering import Attribute, Steering, steer
from mmsteer.types import Direction, Sample, Sampling, SiteStats, Waveform
from tests.conftest import planted

# Of one length: where a batch is padded, transformers masks the padding and audiocraft attends to it.
PROMPTS = ["a slow piano melody", "a fast flute melody"]
LIKELIEST = Sampling(seconds=0.6, temperature=0)


def noise(frames, seed=0):
    rng = np.random.default_rng(seed)
    return Waveform(0.1 * rng.standard_normal(frames * 320).astype(np.float32), 16000)


def codes(adapter, samples, sampling=LIKELIEST, seeds=None):
    """The codes that an adapter has its codec decode."""
    codec, seen = getattr(adapter.model, "audio_encoder", None) or adapter.musicgen.compression_model.model, []
    decode = codec.decode
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            codec, "decode", lambda ids, *rest, **more: seen.append(ids[0].clone()) or decode(ids, *rest, **more)
        )
        adapter.generate(samples, sampling, seeds)
    return torch.cat(seen)


def pushing(direction, strength=8.0):
    return Steering((Attribute(direction, strength, schedule=parse_schedule("fade-in 0..0.4s")),))


def test_a_model_is_known_by_the_same_marks(transformed, crafted):
    assert crafted.fingerprint == transformed.fingerprint
    assert crafted.sketch.architecture == transformed.sketch.architecture
    assert crafted.sketch.is_of(transformed.sketch)
    assert crafted.widths == transformed.widths


def test_a_changed_weight_changes_the_marks(crafted):
    weight, before = crafted.model.transformer.layers[1].self_attn.in_proj_weight, crafted.fingerprint
    with torch.no_grad():
        weight.add_(1.0)
    changed = crafted.fingerprint
    with torch.no_grad():
        weight.sub_(1.0)
    assert changed != before


EVERY = "decoder.*, decoder.0.embedding, decoder.*.head.*, decoder.*." + ", decoder.*.".join(
    ("attention", "cross_attention", "mid", "mlp_input", "mlp")
)


def test_states_are_the_same(transformed, crafted):
    samples = [Sample(str(row), text, output=noise(20, row).samples) for row, text in enumerate(PROMPTS)]
    sites = transformed.select(EVERY)
    assert set(sites) == set(transformed.widths)
    theirs, ours = (record(adapter, samples, sites, pool="tokens") for adapter in (transformed, crafted))
    for site in sites:
        torch.testing.assert_close(ours.values[site], theirs.values[site], atol=1e-4, rtol=1e-4)
    assert ours.source["model"] == theirs.source["model"]


@pytest.mark.parametrize("guided", [False, True])
def test_logits_are_the_same(transformed, crafted, guided):
    samples = [Sample(str(row), text, output=noise(20, row).samples) for row, text in enumerate(PROMPTS)]
    theirs, ours = (one.read(one.reading(samples, guided=guided)) for one in (transformed, crafted))
    torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-4)


def test_steered_tokens_are_the_same(transformed, crafted):
    direction = planted(transformed, "note:C", [1, 3])
    plain = [codes(adapter, PROMPTS) for adapter in (transformed, crafted)]
    made = []
    for adapter in (transformed, crafted):
        with steer(adapter, pushing(direction)) as session:
            made.append(codes(adapter, PROMPTS))
            assert session.receipt().compatibility == "exact"
    assert torch.equal(plain[0], plain[1])
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], plain[0])


@pytest.mark.parametrize("sites", EVERY.split(", ")[1:])
def test_steered_tokens_are_the_same_at_every_point(transformed, crafted, sites):
    generator = torch.Generator().manual_seed(7)
    draws = {site: torch.randn(transformed.widths[site], generator=generator) for site in transformed.select(sites)}
    stats = {site: SiteStats(1.0, 0.0, 1.0, 1.0) for site in draws}
    vectors = {site: draw / draw.norm() for site, draw in draws.items()}
    direction = Direction("note:C", vectors, stats, transformed.fingerprint)
    made = []
    for adapter in (transformed, crafted):
        with steer(adapter, pushing(direction, 20.0)):
            made.append(codes(adapter, PROMPTS))
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], codes(crafted, PROMPTS))


def test_a_seed_draws_the_same_tokens(transformed, crafted):
    drawn = Sampling(seconds=0.6, temperature=1.0, top_k=20)
    theirs, ours = (codes(adapter, PROMPTS, drawn, [3, 4]) for adapter in (transformed, crafted))
    assert torch.equal(theirs, ours)
    assert not torch.equal(ours, codes(crafted, PROMPTS, drawn, [5, 6]))


def test_an_audio_prompt_is_continued_alike(transformed, crafted):
    samples = [Sample(str(row), text, audio_prompt=noise(9, row)) for row, text in enumerate(PROMPTS)]
    made = []
    for adapter in (transformed, crafted):
        with steer(adapter, pushing(planted(transformed, "note:C", [1, 3]))):
            made.append(codes(adapter, samples))
    assert torch.equal(made[0], made[1])
    assert made[0].shape == (2, 4, 30)


def melody(frequency):
    time = np.arange(16000) / 16000
    return Waveform((0.5 * np.sin(2 * np.pi * frequency * time)).astype(np.float32), 16000)


def test_a_melody_is_followed_alike(sung, sung_crafted):
    assert sung_crafted.fingerprint == sung.fingerprint
    samples = [Sample(str(row), PROMPTS[0], melody=melody(note)) for row, note in enumerate((262.0, 392.0))]
    direction = planted(sung, "note:C", [1, 3])
    plain = codes(sung_crafted, PROMPTS[:1])
    made = []
    for adapter in (sung, sung_crafted):
        with steer(adapter, pushing(direction)):
            made.append(codes(adapter, samples))
    assert torch.equal(made[0], made[1])
    assert torch.equal(plain, codes(sung, PROMPTS[:1]))
    # A G: a C is what the model is given where there is no melody.
    assert not torch.equal(codes(sung_crafted, samples[1:]), plain)
