import numpy as np
import pytest

from mmsteer.errors import ProbeError
from mmsteer.probes import RFM, Ranges, Setting
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
