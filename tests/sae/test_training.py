"""Training on planted dictionaries."""

import io
from dataclasses import replace
from itertools import islice

import pytest
import torch
from rich.console import Console
from torch.testing import assert_close

from mmsteer.errors import DictionaryError
from mmsteer.folders import save_checkpoint
from mmsteer.sae import (
    BatchTopK,
    Gated,
    Held,
    JumpReLU,
    Shuffled,
    SparseDictionary,
    TopK,
    Training,
    matryoshka,
    measure,
    progress_bar,
    train_dictionary,
)
from mmsteer.sae.dictionary import _SHAPES
from mmsteer.sae.weights import Weights
from mmsteer.types import Site
from tests.sae.planted import planted, recovered

SHORT = Training(64, 250, rate=2e-2, warmup=20, dead_after=2000)
ALL = [TopK(3), BatchTopK(3, threshold_start=10), JumpReLU(3, 0.05, 0.05, warmup=50), Gated(0.3, warmup=50)]


@pytest.fixture(scope="module")
def data():
    directions, states = planted(rows=10240, offset=3.0)
    return directions, Shuffled(Held(states[:8192]), batch=256), states[8192:]


def same(one, other):
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in _SHAPES)


def test_topk_finds_a_planted_dictionary(data):
    directions, source, held = data
    found = train_dictionary(source, TopK(3), SHORT)
    assert recovered(found, directions) > 0.95
    quality = measure(found, [held])
    assert quality.fvu < 0.15
    assert quality.l0 == pytest.approx(3, abs=0.05)
    # A dictionary of noise finds nothing but the best of 64 random rows.
    noise = Shuffled(Held(torch.randn(2048, 24, generator=torch.Generator().manual_seed(3))), batch=256)
    assert recovered(train_dictionary(noise, TopK(3), replace(SHORT, steps=20)), directions) < 0.6


@pytest.mark.parametrize("architecture", [*ALL[1:], replace(matryoshka(3), threshold_start=10)])
def test_the_others_find_it_too(data, architecture):
    directions, source, held = data
    found = train_dictionary(source, architecture, replace(SHORT, steps=400))
    assert recovered(found, directions) > 0.9
    quality = measure(found, [held])
    assert 2.5 < quality.l0 < 5.5
    assert quality.fvu < 0.3


@pytest.mark.parametrize("architecture", [*ALL, matryoshka(3)])
def test_a_dictionary_is_whole_on_the_device_that_it_was_trained_on(architecture, monkeypatch):
    """The device without data stands in for a card; what checks the numbers of a dictionary has none to read there."""
    monkeypatch.setattr(SparseDictionary, "__post_init__", lambda self: None)
    weights = Weights(torch.zeros(6, device="meta"), 12, seed=0)
    found = architecture.freeze(weights, architecture.start(weights), 1.0)
    assert {getattr(found, name).device.type for name in _SHAPES} == {"meta"}
    assert found.encode(torch.empty(2, 6, device="meta")).device.type == "meta"


class Killed:
    """A source that stops a training as a signal would."""

    def __init__(self, source, after):
        self.source, self.after = source, after
        self.width, self.fingerprint = source.width, source.fingerprint

    def batches(self, start):
        yield from islice(self.source.batches(start), self.after - start)
        raise KeyboardInterrupt


@pytest.mark.parametrize("architecture", ALL)
def test_a_killed_training_goes_on_bit_for_bit(data, tmp_path, architecture):
    training = replace(SHORT, steps=60, dead_after=512, scale_batches=5)
    whole = train_dictionary(data[1], architecture, training)
    kept = {"checkpoint": tmp_path / "run" / "state.safetensors", "checkpoint_steps": 20}
    for after in (33, 47):
        with pytest.raises(KeyboardInterrupt):
            train_dictionary(Killed(data[1], after), architecture, training, **kept)
    resumed = train_dictionary(data[1], architecture, training, **kept)
    assert same(whole, resumed)
    assert same(whole, train_dictionary(data[1], architecture, training, **kept))  # done: nothing is left to train
    assert not same(whole, train_dictionary(data[1], architecture, replace(training, seed=1)))


def test_a_checkpoint_of_another_run_is_refused(data, tmp_path):
    path, training = tmp_path / "state.safetensors", replace(SHORT, steps=3)
    train_dictionary(data[1], TopK(3), training, checkpoint=path)
    for architecture, other, source in (
        (TopK(4), training, data[1]),
        (TopK(3), replace(training, steps=4), data[1]),
        (TopK(3), training, replace(data[1], seed=5)),
    ):
        with pytest.raises(DictionaryError, match="is of another run"):
            train_dictionary(source, architecture, other, checkpoint=path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DictionaryError, match="damaged or no checkpoint"):
        train_dictionary(data[1], TopK(3), training, checkpoint=path)
    save_checkpoint(path, {"done": 3}, {"vector": torch.zeros(2)})  # of vectors that were trained
    with pytest.raises(DictionaryError, match="is of another run"):
        train_dictionary(data[1], TopK(3), training, checkpoint=path)


def test_the_scale_of_the_data_does_not_matter(data):
    states = data[1].chunks.states
    training = replace(SHORT, steps=10)
    one = train_dictionary(Shuffled(Held(states), batch=256), TopK(3), training)
    eight = train_dictionary(Shuffled(Held(8 * states), batch=256), TopK(3), training)
    assert_close(eight.decoder, one.decoder)
    assert_close(eight.encode(8 * states[:50]), 8 * one.encode(states[:50]), atol=1e-3, rtol=1e-4)
    assert_close(one.decoder.norm(dim=1), torch.ones(64))


def test_dead_features_are_revived(data):
    # All features but a few start where they lose against those few.
    _, source, held = data
    training = replace(SHORT, dead_after=512)

    class Buried(TopK):
        def start(self, weights):
            with torch.no_grad():
                weights.encoder_bias[6:] -= 0.5
            return super().start(weights)

    revived = measure(train_dictionary(source, Buried(3), training), [held])
    left = measure(train_dictionary(source, Buried(3, auxiliary=0.0), training), [held])
    assert revived.dead < left.dead - 0.1
    assert revived.fvu < 0.7 * left.fvu


def test_the_dictionary_says_where_it_comes_from(data):
    site = Site("decoder", 2)
    found = train_dictionary(data[1], TopK(3), replace(SHORT, steps=2), site=site, model="abc")
    assert (found.site, found.model) == (site, "abc")
    assert found.provenance["architecture"] == repr(TopK(3))
    assert found.provenance["data"] == data[1].fingerprint


def test_progress_is_told(data):
    told = []
    train_dictionary(data[1], TopK(3), replace(SHORT, steps=150, dead_after=100), report=told.append)
    assert [status.step for status in told] == [100, 150]
    assert told[1].quality.rows == 50 * 256
    assert told[1].quality.fvu < told[0].quality.fvu
    assert 0 <= told[1].dead < 1
    screen = io.StringIO()
    with progress_bar(Console(file=screen, force_terminal=True, width=140)) as report:
        report(told[1])
    assert "150/150" in screen.getvalue()
    assert str(told[1]).split("  ")[0] in screen.getvalue()


def test_rates():
    training = Training(2**14, 100, warmup=10, decay=0.2)
    assert [training.rate_at(step) / 2e-4 for step in (0, 9, 50, 80, 90, 99)] == pytest.approx(
        [0.1, 1, 1, 1, 0.5, 0.05]
    )


def test_refusals(data):
    with pytest.raises(DictionaryError, match="lower threshold_start"):
        train_dictionary(data[1], BatchTopK(3), SHORT)
    with pytest.raises(DictionaryError, match="counts are 1 or more"):
        Training(0, 10)
    with pytest.raises(DictionaryError, match="nothing to learn from"):
        train_dictionary(Shuffled(Held(torch.zeros(64, 2)), batch=8), TopK(1), Training(4, 2))
    with pytest.raises(DictionaryError, match="nothing to learn from"):
        train_dictionary(Shuffled(Held(torch.full((64, 2), torch.nan)), batch=8), TopK(1), Training(4, 2))
    late = data[1].chunks.states.clone()
    late[-1] = torch.inf
    with pytest.raises(DictionaryError, match=r"diverged|finite|nothing to explain"):
        train_dictionary(Shuffled(Held(late), batch=256), TopK(3), replace(SHORT, steps=40, scale_batches=1))
