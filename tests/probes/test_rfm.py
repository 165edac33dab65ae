import numpy as np
import pytest
import torch

from mmsteer.errors import ProbeError
from mmsteer.probes import RFM, Ranges, Setting
from mmsteer.probes.search import spread_rows
from tests.probes.toys import mean_shift


def test_draws_are_those_of_musicrfm():
    """Log-uniform 1..100, uniform .7...1.4, log-uniform 1e-5..10, and both kinds of centring (table 7)."""
    random = np.random.default_rng(0)
    draws = [Ranges().draw(random) for _ in range(4000)]
    for values, low, high in [
        (np.log10([d.bandwidth for d in draws]), 0, 2),
        ([d.exponent for d in draws], 0.7, 1.4),
        (np.log10([d.ridge for d in draws]), -5, 1),
    ]:
        # The mean and the spread of a uniform draw between the ends.
        assert np.mean(values) == pytest.approx((low + high) / 2, abs=0.03 * (high - low))
        assert np.std(values) == pytest.approx((high - low) / 12**0.5, rel=0.05)
        assert low <= min(values) <= max(values) <= high
    assert np.mean([d.centre for d in draws]) == pytest.approx(0.5, abs=0.04)


def test_more_draws_never_lower_the_validation_quality():
    x, y, _ = mean_shift(n=150, d=24, shift=1.5)
    few, many = (RFM(draws=n, iterations=2).fit(x, y, task="binary").settings for n in (1, 6))
    assert many["validation"] >= few["validation"]


def test_given_settings_are_used_instead_of_draws():
    x, y, _ = mean_shift(n=80, d=8)
    setting = Setting(bandwidth=20.0, exponent=1.1, ridge=0.01, centre=True)
    fitted = RFM(settings=(setting,), iterations=1).fit(x, y, task="binary")
    assert fitted.settings["chosen"] == {"bandwidth": 20.0, "exponent": 1.1, "ridge": 0.01, "centre": True}


def test_equal_quality_is_decided_by_the_gap_between_the_classes():
    """Every setting tells these classes apart; the chosen direction must not be the first that did."""
    x, y, truth = mean_shift(n=600, d=128, shift=5.0, seed=1)
    tries = [Setting(50.0, 1.3, 1e-5), Setting(10.0, 1.0, 1e-2)]
    cosines = {}
    for name, settings in {"one": tries[:1], "other": tries[1:], "both": tries}.items():
        fitted = RFM(settings=tuple(settings), iterations=1).fit(x, y, task="binary")
        assert fitted.settings["validation"] > 0.9995
        cosines[name] = float(fitted.directions["yes"] @ truth)
    assert cosines["other"] > cosines["one"] + 0.02
    assert cosines["both"] == pytest.approx(cosines["other"])


def test_settings_are_compared_on_some_samples_and_the_best_is_fitted_to_all():
    x, y, _ = mean_shift(n=300, d=24, shift=1.5)
    random = np.random.default_rng(1)
    tries, parts = tuple(Ranges().draw(random) for _ in range(4)), []
    screened = RFM(settings=tries, screen=60, iterations=2).fit(x, y, task="binary", progress=parts.append)
    assert parts == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    chosen = Setting(**screened.settings["chosen"])
    assert chosen in tries
    alone = RFM(settings=(chosen,), screen=60, iterations=2).fit(x, y, task="binary")
    assert torch.equal(screened.directions["yes"], alone.directions["yes"])
    few = RFM(settings=(chosen,), iterations=2).fit(x[:80], y[:80], task="binary")
    assert float(alone.directions["yes"] @ few.directions["yes"]) < 0.99


def test_some_samples_keep_the_share_of_every_class():
    mixed = torch.randperm(100, generator=torch.Generator().manual_seed(0))
    classes = torch.tensor([0] * 60 + [1] * 30 + [2] * 10)[mixed]
    member = torch.nn.functional.one_hot(classes).float()
    rows = spread_rows(member, 20, seed=0)
    assert classes[rows].bincount().tolist() == [12, 6, 2]
    assert rows.unique().tolist() == rows.tolist()
    assert rows.tolist() != spread_rows(member, 20, seed=1).tolist()


def test_some_samples_cover_the_values_evenly():
    values = torch.rand(1000, 1, generator=torch.Generator().manual_seed(0)).square()
    chosen = values[spread_rows(values, 50, seed=0), 0]
    wanted = torch.quantile(values[:, 0], torch.linspace(0.1, 0.9, 9))
    assert torch.quantile(chosen, torch.linspace(0.1, 0.9, 9)) == pytest.approx(wanted, abs=0.04)


def test_nothing_to_try():
    x, y, _ = mean_shift(n=60, d=8)
    with pytest.raises(ProbeError, match="nothing to try"):
        RFM(draws=0).fit(x, y, task="binary")


def test_a_kernel_too_narrow_for_the_data():
    x, y, _ = mean_shift(n=60, d=8)
    probe = RFM(settings=(Setting(bandwidth=1e-3),), unit="absolute")
    with pytest.raises(ProbeError, match="no gradient; take larger bandwidths"):
        probe.fit(x, y, task="binary")


def test_more_than_half_of_the_samples_equal():
    x, y, _ = mean_shift(n=60, d=8)
    x[:50] = x[0]
    with pytest.raises(ProbeError, match="no scale"):
        RFM(draws=1).fit(x, y, task="binary")
