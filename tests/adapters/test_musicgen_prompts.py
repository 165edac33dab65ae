"""Audio prompts and melodies in transformers' MusicGen."""

import copy

import numpy as np
import pytest
import torch

from mmsteer import hooks
from mmsteer.adapters import adapt
from mmsteer.errors import AdapterError, PositionsError, SteeringError
from mmsteer.schedules import parse_schedule
from mmsteer.steering import Attribute, Steering, steer
from mmsteer.types import Positions, Sample, Sampling, Site, Waveform
from tests.conftest import planted

FRAME = 320
"""Samples of audio a frame of the small codec."""

LIKELIEST = Sampling(seconds=0.5, temperature=0)  # 25 frames


def clip(frames, seed=0, rate=16000):
    rng = np.random.default_rng(seed)
    return Waveform(0.1 * rng.standard_normal(frames * FRAME).astype(np.float32), rate)


def continued(name, frames=5, seed=0, **more):
    return Sample(name, "a slow piano", audio_prompt=clip(frames, seed), **more)


def codes_of(adapter, monkeypatch, samples, sampling=LIKELIEST):
    """The codes that are decoded, (samples, streams, frames)."""
    seen, decode = [], adapter.model.audio_encoder.decode
    monkeypatch.setattr(
        adapter.model.audio_encoder, "decode", lambda ids, **more: seen.append(ids[0].clone()) or decode(ids, **more)
    )
    adapter.generate(samples, sampling)
    monkeypatch.undo()
    return torch.cat(seen)


@pytest.mark.parametrize("name", ["musicgen", "melody"])
def test_the_output_begins_with_the_codes_of_the_audio_prompt(name, request, monkeypatch):
    adapter = request.getfixturevalue(name)
    samples = [continued("a"), continued("b", seed=1)]
    made = codes_of(adapter, monkeypatch, samples)
    for row, sample in enumerate(samples):
        wave = torch.from_numpy(sample.audio_prompt.samples)[None, None]
        with torch.no_grad():
            given = adapter.model.audio_encoder.encode(wave).audio_codes[0, 0]
        assert torch.equal(made[row, :, :5], given)
    assert made.shape[-1] == 25


def last_state(adapter, sample):
    """What the last block makes of the last token: at random weights tokens hardly depend on what came before."""
    seen = []
    with hooks.readings({adapter.module(Site("decoder", 3)): lambda state: seen.append(state[:, -1].clone())}):
        adapter.generate([sample], LIKELIEST)
    return seen[-1]


def test_what_follows_an_audio_prompt_depends_on_it(musicgen):
    plain, some, longer = (
        last_state(musicgen, one) for one in (Sample("a", "a slow piano"), continued("a"), continued("a", 9))
    )
    assert not torch.allclose(plain, some, atol=1e-4)
    assert not torch.allclose(some, longer, atol=1e-4)


def test_a_stereo_model_takes_a_mono_clip_on_both_channels(stereo, monkeypatch):
    seen = []
    encode = stereo.model.audio_encoder.encode
    monkeypatch.setattr(stereo.model.audio_encoder, "encode", lambda audio: seen.append(audio) or encode(audio))
    (made,) = stereo.generate([continued("a")], LIKELIEST)
    assert made.output.shape == (25 * FRAME, 2)
    assert seen[0].shape == (2, 1, 5 * FRAME)
    assert torch.equal(seen[0][0], seen[0][1])


def test_another_sample_rate_is_resampled(musicgen, monkeypatch):
    slow = Waveform(clip(10).samples, 32000)
    made = codes_of(musicgen, monkeypatch, [Sample("a", "a slow piano", audio_prompt=slow)])
    with torch.no_grad():
        from scipy.signal import resample_poly

        wave = torch.from_numpy(resample_poly(slow.samples, 1, 2).astype(np.float32))[None, None]
        given = musicgen.model.audio_encoder.encode(wave).audio_codes[0, 0]
    assert torch.equal(made[0, :, :5], given)


def test_a_prompt_plays_the_same_beside_prompts_of_other_lengths(musicgen):
    samples = [continued("a"), continued("b", 7, seed=1), Sample("c", "a slow piano"), continued("d", seed=2)]
    together = musicgen.generate(samples, LIKELIEST)
    assert [one.id for one in together] == ["a", "b", "c", "d"]
    for sample, made in zip(samples, together, strict=True):
        np.testing.assert_allclose(made.output, musicgen.generate([sample], LIKELIEST)[0].output, atol=1e-4)


def test_one_steering_each_needs_prompts_of_one_length(musicgen):
    direction = planted(musicgen, "note:C", [1])
    each = [Steering((Attribute(direction, 1.0),)), Steering()]
    with steer(musicgen, each):
        musicgen.generate([continued("a"), continued("b", seed=1)], LIKELIEST)
    with (
        pytest.raises(SteeringError, match="the steering is for 2 samples, generate was given 1"),
        steer(musicgen, each),
    ):
        musicgen.generate([continued("a"), continued("b", 7)], LIKELIEST)


def at(adapter, positions, schedule="constant(1)"):
    direction = planted(adapter, "note:C", [1])
    return Steering((Attribute(direction, 1.0, parse_schedule(schedule), Positions(positions)),))


@pytest.mark.parametrize(
    ("positions", "columns"),
    # The start token and 5 frames are given; behind the last of 20 frames three codebooks come later.
    [("prompt", 6), ("generated", 19 + 3), ("all", 6 + 19 + 3), ("generated & 0..0.2s", 4), ("0..0.2s", 10)],
)
def test_a_receipt_counts_what_is_steered_behind_an_audio_prompt(musicgen, positions, columns):
    with steer(musicgen, at(musicgen, positions)) as session:
        musicgen.generate([continued("a")], LIKELIEST)
    receipt = session.receipt()
    (site,) = receipt.sites.values()
    assert receipt.tokens == 2 * columns  # in two branches
    assert site.ratios.count == session.receipt_of(0, receipt.steps).tokens == receipt.tokens


@pytest.mark.parametrize(
    ("positions", "schedule"), [("generated & 0..0.1s", "constant(1)"), ("generated", "window(0s..0.1s)")]
)
def test_what_would_steer_nothing_behind_an_audio_prompt_is_refused(musicgen, positions, schedule):
    with pytest.raises(PositionsError, match="none of the tokens that follow"):
        with steer(musicgen, at(musicgen, positions, schedule)):
            musicgen.generate([continued("a")], LIKELIEST)


def test_the_last_frame_alone_may_follow_an_audio_prompt(musicgen):
    """The prompt's last token predicts it in the first codebook; its further codebooks come later."""
    with steer(musicgen, at(musicgen, "generated")) as session:
        musicgen.generate([continued("a", 24)], LIKELIEST)
    assert session.receipt().tokens == 2 * 3


def test_a_clip_that_was_continued_is_read_with_its_prompt_as_prompt(musicgen):
    (made,) = musicgen.generate([continued("a")], LIKELIEST)
    reading = musicgen.reading([made])
    assert reading.call.prompt == 1 + 5
    with pytest.raises(AdapterError, match="last 5 to 7 frames"):
        musicgen.reading(musicgen.generate([continued("a"), continued("b", 7)], LIKELIEST))


class Chroma:
    """Stands in for the feature extractor of the melody variant, which needs torchaudio."""

    model_input_names = ("input_features",)
    sampling_rate = 16000

    def __call__(self, waves, *, sampling_rate, return_tensors):
        loud = torch.tensor([int(1000 * abs(wave).max()) % 12 for wave in waves])
        assert {wave.ndim for wave in waves} == {1}
        return {"input_features": torch.eye(12)[loud][:, None].repeat(1, 7, 1)}


@pytest.fixture
def singer(melody):
    processor = copy.copy(melody.processor)
    processor.feature_extractor = Chroma()
    return adapt(melody.model, processor)


def sung(name, loudness):
    wave = np.full(5 * FRAME, loudness, dtype=np.float32)
    return Sample(name, "a slow piano", melody=Waveform(wave, 16000))


def test_a_melody_reaches_the_decoder(singer):
    low, high, none = (
        last_state(singer, one) for one in (sung("a", 0.003), sung("b", 0.005), Sample("c", "a slow piano"))
    )
    assert not torch.allclose(low[0], high[0], atol=1e-4)
    assert not torch.allclose(low[0], none[0], atol=1e-4)
    torch.testing.assert_close(low[1], none[1])  # the null branch follows none


def test_a_melody_is_read_as_it_was_generated_under(singer):
    (made,) = singer.generate([sung("a", 0.003)], LIKELIEST)
    reading = singer.reading([made], guided=True)
    features = reading.arguments["input_features"]
    assert features[0].argmax(-1).tolist() == [3] * 7
    assert features[1].argmax(-1).tolist() == [0] * 7
    assert singer.read(reading).shape[0] == 2


@pytest.mark.parametrize(
    ("name", "sample", "message"),
    [
        ("musicgen", continued("a", 25), "lasts 0.5 s and the output 0.5 s"),
        ("musicgen", sung("a", 0.1), "follows no melody"),
        ("melody", sung("a", 0.1), "EncodecFeatureExtractor, which makes no chroma"),
        ("musicgen", Sample("a", "x", audio_prompt=Waveform(np.zeros(0), 16000)), "a, audio prompt: expected finite"),
        ("musicgen", Sample("a", "x", audio_prompt=Waveform([np.nan] * 900, 16000)), "expected finite audio"),
        ("musicgen", Sample("a", "x", audio_prompt=Waveform(np.zeros((9, 3)), 16000)), r"got shape \(9, 3\)"),
    ],
)
def test_what_cannot_be_given(name, sample, message, request):
    with pytest.raises(AdapterError, match=message):
        request.getfixturevalue(name).generate([sample], LIKELIEST)
