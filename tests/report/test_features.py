"""The feature browser: a small random model, and values worked out by hand."""

from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from mmsteer.errors import DictionaryError
from mmsteer.latents.maximal import Maximal, Moment
from mmsteer.report import features
from mmsteer.report.feature_views import density_chart, shared, words
from mmsteer.report.spectrograms import LOWEST_HZ, ROWS, spectrogram
from mmsteer.sae import SparseDictionary, Usage
from mmsteer.types import Positions, Raw, Sample, Site
from mmsteer.worlds.training.dictionary_data import Group
from tests.report.html import Page


def moment(sample: str, word: str = "dog", place: int = 3) -> Moment:
    return Moment(sample, place, 2.0, (1,), word, 0, None, None)


def test_a_tone_is_a_dark_line_at_its_height():
    wave = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)
    grey = np.asarray(Image.open(BytesIO(spectrogram(wave, 16000))))
    # Rows are spaced evenly in log frequency from 60 Hz at the bottom to 8000 Hz at the top.
    row = int(ROWS * np.log(1000 / LOWEST_HZ) / np.log(8000 / LOWEST_HZ))
    assert abs(int(grey[:, grey.shape[1] // 2].argmin()) - (ROWS - 1 - row)) <= 1


def test_what_moments_share_is_compared_with_all_samples():
    labels = {str(at): {"scene": "park" if at < 2 else "street"} for at in range(8)}
    # Both moments are in a park; a quarter of all samples is: +75 %.
    assert shared(Maximal(0, (moment("0", "a"), moment("1", "b"))), labels, words=False) == ("park scene (+75 %)", 0.75)
    # A word that is always at the moment tells more.
    said, telling = shared(Maximal(0, (moment("0"), moment("1"))), labels, words=True)
    assert said.startswith("“dog” (100 %)")
    assert telling == 1.0


def test_nothing_is_claimed_of_samples_that_are_not_known():
    assert shared(Maximal(0, (moment("0"),)), {}, words=False) == ("", 0.0)


def test_words_are_shaded_by_activation():
    found = words(["a", "dog"], torch.tensor([0.5, 2.0]), moment("0"), 2)
    assert [(word.level, word.peak) for word in found] == [(0.25, False), (1.0, True)]


def test_the_chart_counts_every_feature():
    chart = density_chart(torch.tensor([0.0, 1e-6, 1e-2, 1e-2, 1.0]))
    # Bars are as high as their counts: two silent or rare ones, two at 1 %, one always active.
    heights = sorted(float(part.split('height="')[1].split('"')[0]) for part in chart.split("<rect")[1:])[-3:]
    assert heights[1] == pytest.approx(heights[2])
    assert heights[0] == pytest.approx(heights[2] / 2)


@pytest.fixture(scope="module")
def group():
    rng = np.random.default_rng(0)
    samples = tuple(
        Sample(f"clip-{at}", "a slow piano melody", output=0.1 * rng.standard_normal(8000).astype(np.float32))
        for at in range(4)
    )
    labels = {sample.id: {"kind": "<first>" if at == 0 else "other"} for at, sample in enumerate(samples)}
    return Group("noise", samples, Positions("all"), 16, labels)


@pytest.fixture(scope="module")
def dictionary(musicgen):
    decoder = torch.nn.functional.normalize(torch.randn(6, 32, generator=torch.Generator().manual_seed(1)), dim=1)
    zeros = torch.zeros
    found = SparseDictionary(decoder.T.contiguous(), zeros(6), decoder, zeros(32), zeros(6))
    return found.at(Site("decoder", 1), musicgen.fingerprint)


def used(density: float) -> Usage:
    ones = torch.ones(6)
    return Usage(0.1 * ones, ones, 2 * ones, density * ones, 3.0, 100)


def test_the_page_shows_plays_and_steers(musicgen, dictionary, group, tmp_path, monkeypatch):
    monkeypatch.setattr(features, "SECONDS", 0.2)
    monkeypatch.setattr(features, "MOMENTS", 2)
    path = features.write_browser(tmp_path / "new", musicgen, dictionary, used(0.05), group, features=3, steered=1)
    page = Page(path.read_text())
    assert len(page.all("article")) == 3
    players = [player["src"] for player in page.all("audio")]
    # Two moments of each of three features, and one feature unsteered and steered.
    assert len(players) == 3 * 2 + 2
    assert all((path.parent / name).is_file() for name in [*players, *(image["src"] for image in page.all("img"))])
    assert page.text.count("codebook 4") == 3
    assert "http" not in path.read_text().replace("http://www.w3.org", "")
    assert "<first>" not in path.read_text()


def test_the_outlined_word_is_the_most_active_one_of_texts_of_any_length(talker, tmp_path, monkeypatch):
    monkeypatch.setattr(features, "MOMENTS", 2)
    texts = ("cup is red", "say red cup", "say blue table", "the cup is red", "say the table is blue is red is blue")
    samples = tuple(Sample(str(at), Raw(text)) for at, text in enumerate(texts))
    decoder = torch.nn.functional.normalize(torch.randn(6, 32, generator=torch.Generator().manual_seed(1)), dim=1)
    zeros = torch.zeros
    found = SparseDictionary(decoder.T.contiguous(), zeros(6), decoder, zeros(32), zeros(6))
    found = found.at(Site("text", 1), talker.fingerprint)
    group = Group("texts", samples, Positions("all"), 16, {})
    path = features.write_browser(tmp_path / "new", talker, found, used(0.05), group, features=3, steered=0)
    spans = [span for span in Page(path.read_text()).all("span") if "style" in span]
    outlined = [span["style"] for span in spans if span.get("class") == "peak"]
    # Full shade is the largest activation of a sample.
    assert len(outlined) == 3 * 2
    assert all("60%" in style for style in outlined)


def test_a_page_is_never_overwritten(musicgen, dictionary, group, tmp_path):
    with pytest.raises(DictionaryError, match="not overwritten"):
        features.write_browser(tmp_path, musicgen, dictionary, used(0.05), group)


def test_features_that_are_always_active_make_no_page(musicgen, dictionary, group, tmp_path):
    with pytest.raises(DictionaryError, match="no feature is active in these 4 samples"):
        features.write_browser(tmp_path / "new", musicgen, dictionary, used(0.9), group)
    assert not (tmp_path / "new").exists()
