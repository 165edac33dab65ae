"""Histograms on a logarithmic scale."""

import pytest
import torch

from mmsteer.types import LogHistogram, binned


def norms(n, scale=150.0, seed=0):
    return scale * (0.2 * torch.randn(n, generator=torch.Generator().manual_seed(seed))).exp()


@pytest.mark.parametrize("scale", [1e-3, 1.0, 2.5e4])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_quantiles_are_right_to_half_a_percent(scale, share):
    values = norms(4001, scale)
    exact = float(torch.quantile(values, share, interpolation="lower"))
    assert LogHistogram.of(values).quantile(share) == pytest.approx(exact, rel=0.0055)


@pytest.mark.parametrize("value", [1.0, 3.0, 149.7])
def test_a_single_number_is_its_own_median(value):
    assert LogHistogram.of(torch.tensor([value])).median == pytest.approx(value, rel=0.003)


def test_the_histogram_of_parts_is_their_sum():
    values = norms(1000)
    parts = [LogHistogram.of(part) for part in values.split([1, 299, 700])]
    assert sum(parts, LogHistogram({})) == LogHistogram.of(values)
    # Medians do not add up.
    uneven = LogHistogram.of(torch.ones(9)) + LogHistogram.of(torch.full((2,), 100.0))
    assert uneven.median == pytest.approx(1, rel=0.006)
    assert uneven.count == 11


def test_only_the_chosen_count():
    values = torch.tensor([[1.0, 2.0], [4.0, 8.0]])
    chosen = torch.tensor([[False, True], [True, False]])
    assert LogHistogram.of_bins(binned(values, chosen)).counts == {128: 1, 256: 1}


def test_what_lies_outside_counts_at_the_ends():
    found = LogHistogram.of(torch.tensor([0.0, 1e-30, 1e30, torch.inf]))
    assert found.counts == {-4096: 2, 4095: 2}


def test_nothing_has_no_median():
    with pytest.raises(ValueError, match="of nothing"):
        _ = LogHistogram({}).median
