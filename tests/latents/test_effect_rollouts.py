"""Effects of vectors on a small model's clips: row by row as alone, taken up where they stopped."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from mmsteer.calibrate import divergence
from mmsteer.errors import StoreError
from mmsteer.eval.chair_parser import object_parser
from mmsteer.latents.effect_meters import feature_meter, music_meter, object_meter
from mmsteer.latents.effect_rollouts import EffectMeter, EqualDose, Rollouts, measure_effects
from mmsteer.latents.effects import StateStatistics
from mmsteer.record import record
from mmsteer.sae import SparseDictionary
from mmsteer.steering import Attribute, Steering
from mmsteer.types import Sample, Sampling, Site
from tests.conftest import outputs

SITE = Site("decoder", 1)
ITEMS = [("slow piano melody", 0), ("fast flute melody", 1)]
LOUDNESS = EffectMeter(
    ("loudness", "length"), lambda items, waves: torch.tensor([[np.abs(w).mean(), len(w)] for w in waves])
)


class Clips:
    """Makes clips, and counts how often it was asked."""

    def __init__(self, adapter):
        self.adapter, self.calls = adapter, 0

    def __call__(self, items):
        self.calls += 1
        prompts, seeds = zip(*items, strict=True)
        return outputs(self.adapter.generate(prompts, Sampling(seconds=0.2), seeds))


def rollouts(adapter, meter=LOUDNESS, items=ITEMS, settings="0.2 s", rows=5):
    return Rollouts(adapter, items, Clips(adapter), meter, settings, rows)


@pytest.fixture(scope="module")
def directions(musicgen):
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(64, musicgen.widths[SITE], generator=generator)
    ground = StateStatistics(SITE, musicgen.fingerprint, states)
    return [ground.direction(f"v:{i}", torch.randn(32, generator=generator)) for i in range(3)]


@dataclass(frozen=True)
class Fixed:
    strength: float

    @property
    def content(self):
        return repr(self)

    def __call__(self, direction):
        return Attribute(direction, self.strength)


strong = Fixed(5.0)


def test_vectors_of_a_batch_do_what_each_does_alone(musicgen, directions):
    together = measure_effects(rollouts(musicgen), directions, strong)
    assert together.names == ("loudness", "length")
    assert together.values.shape == (3, 2)
    assert (together.values[:, 0] != 0).all()
    assert (together.values[:, 1] == 0).all()  # no vector makes a clip longer
    alone = measure_effects(rollouts(musicgen), directions[1:2], strong)
    torch.testing.assert_close(alone.values[0], together.values[1], rtol=1e-4, atol=1e-7)
    assert together.strengths.tolist() == [5, 5, 5]
    assert together.unscored == 0


def test_no_strength_has_no_effect(musicgen, directions):
    found = measure_effects(rollouts(musicgen), directions, Fixed(0.0))
    assert (found.values == 0).all()


def test_a_measurement_that_was_stopped_goes_on(musicgen, directions, tmp_path):
    whole = measure_effects(rollouts(musicgen), directions, strong, folder=tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == [f"effects-0000{i}.safetensors" for i in range(3)]
    (tmp_path / "effects-00001.safetensors").unlink()
    again = rollouts(musicgen)
    taken_up = measure_effects(again, directions, strong, folder=tmp_path)
    assert again.make.calls == 1
    assert torch.equal(taken_up.values, whole.values)


def longer(direction):
    stats = {site: replace(one, residual_norm=2 * one.residual_norm) for site, one in direction.stats.items()}
    return replace(direction, stats=stats)


def test_another_measurement_is_not_taken_up(musicgen, directions, tmp_path, monkeypatch):
    measure_effects(rollouts(musicgen), directions, strong, folder=tmp_path)
    meter = EffectMeter(LOUDNESS.names, LOUDNESS.read, "another dictionary")
    for other, vectors, dose in [
        (rollouts(musicgen, items=[("fast flute", 0), ITEMS[1]]), directions, strong),  # as many, but others
        (rollouts(musicgen, settings="0.4 s"), directions, strong),
        (rollouts(musicgen, meter), directions, strong),
        (rollouts(musicgen), directions[::-1], strong),
        (rollouts(musicgen), [longer(directions[0]), *directions[1:]], strong),
        (rollouts(musicgen), directions, Fixed(500.0)),
    ]:
        with pytest.raises(StoreError, match="is of another measurement"):
            measure_effects(other, vectors, dose, folder=tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(type(musicgen), "run_identity", "with another LoRA")
        with pytest.raises(StoreError, match="is of another measurement"):
            measure_effects(rollouts(musicgen), directions, strong, folder=tmp_path)
    (tmp_path / "effects-00000.safetensors").write_bytes(b"\0")
    with pytest.raises(StoreError, match="damaged"):
        measure_effects(rollouts(musicgen), directions, strong, folder=tmp_path)


def test_what_an_output_does_not_say_is_left_out(musicgen, directions):
    """Only the first item's clips are read: the second is unknown, and so is the length of all."""

    def first(items, waves):
        return torch.tensor(
            [
                [np.abs(wave).mean() if seed == 0 else math.nan, math.nan]
                for (_, seed), wave in zip(items, waves, strict=True)
            ]
        )

    found = measure_effects(rollouts(musicgen, EffectMeter(("loudness", "length"), first)), directions, strong)
    assert found.unscored == pytest.approx(0.75)
    assert not found.values[:, 0].isnan().any()
    assert found.values[:, 1].isnan().all()


def test_every_vector_gets_the_same_dose(musicgen, directions):
    wave = np.sin(np.arange(6400) / 10).astype(np.float32)
    samples = [Sample("0", "slow piano melody", output=wave)]
    dosed = EqualDose(musicgen, samples, 0.05)
    for direction in directions[:2]:
        kl = divergence(musicgen, Steering((dosed(direction),)), samples)
        assert float(kl.double().quantile(0.95)) == pytest.approx(0.05, rel=0.1)


def test_notes_and_register_of_a_tone():
    """One second of A4, 440 Hz: MIDI 69; silence says nothing."""
    time = np.arange(16000) / 16000
    tone = sum(np.sin(2 * np.pi * 440 * k * time) / k for k in range(1, 6)).astype(np.float32)
    meter = music_meter(16000)
    found = meter.read([None, None], [0.2 * tone, np.zeros(16000, np.float32)])
    read = dict(zip(meter.names, found[0].tolist(), strict=True))
    assert read["note:A"] > 0.95
    assert read["register"] == pytest.approx(69, abs=0.5)
    assert found[1].isnan().all()
    assert music_meter(16000, tempo=True).names[-1] == "tempo"


def test_objects_that_are_mentioned():
    meter = object_meter(("dog", "cat"), object_parser())
    assert meter.names == ("object:dog", "object:cat")
    assert meter.read([None] * 2, ["two dogs and a puppy", "a cat with a dog"]).tolist() == [[1, 0], [1, 1]]


def test_features_of_outputs_that_are_read_again(musicgen):
    """The dictionary's features are the coordinates: their mean activation is that of the positive parts."""
    width = musicgen.widths[SITE]
    zero = torch.zeros(width)
    made = SparseDictionary(torch.eye(width), zero, torch.eye(width), zero, zero, site=SITE, model=musicgen.fingerprint)
    waves = [np.sin(np.arange(6400) / speed).astype(np.float32) for speed in (10, 20)]
    meter = feature_meter(musicgen, made)
    found = meter.read([Sample("same name", "slow piano")] * 2, waves)
    samples = [Sample(str(i), "slow piano", output=wave) for i, wave in enumerate(waves)]
    states = record(musicgen, samples, [SITE], pool="tokens").values[SITE]
    torch.testing.assert_close(found, states.relu().mean(dim=1).double())
    assert meter.names[:2] == ("sae:0", "sae:1")
