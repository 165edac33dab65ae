"""Machines whose kernel is centred at some of the samples, against their definition and against whole machines."""

import pytest
import torch

from mmsteer.probes import RFM, Setting
from mmsteer.probes.distances import Distances
from mmsteer.probes.kernel import kernel, predict, solve, solve_on_centres
from mmsteer.probes.metrics import auc
from mmsteer.probes.rfm_model import Points, fixed_trace, learn
from mmsteer.probes.space import span_of
from tests.probes.toys import mean_shift, sign_linear

WIDE = Setting(bandwidth=8.0, exponent=1.0, ridge=1e-2)


def _points(n=60, d=6):
    x, y, _ = mean_shift(n=n, d=d)
    return x.double(), (y - y.mean())[:, None].double()


def _kernel(x, z, setting):
    return kernel(torch.cdist(x, z).square(), setting)


def test_coefficients_minimise_what_they_are_said_to():
    x, columns = _points()
    some = torch.arange(0, 60, 4)
    found = solve_on_centres(Distances.among(x, x, some), Distances.among(x[some], x[some]), columns, WIDE)
    to_centres, among = _kernel(x, x[some], WIDE), _kernel(x[some], x[some], WIDE)
    gradient = to_centres.T @ (to_centres @ found - columns) + WIDE.ridge * among @ found
    assert gradient.abs().max() < 1e-6 * (to_centres.T @ columns).abs().max()


def test_every_sample_a_centre_is_the_whole_machine():
    x, columns = _points()
    whole = Distances.among(x, x)
    found = solve_on_centres(whole, whole, columns, WIDE)
    expected = predict(whole, solve(whole, columns, WIDE), WIDE)
    torch.testing.assert_close(predict(whole, found, WIDE), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("rounds", [0, 2])
def test_gradients_are_finite_differences_of_the_predictor(rounds, monkeypatch):
    monkeypatch.setattr("mmsteer.probes.rfm_model.carriers", lambda *_: None)
    x, columns = _points(40, 5)
    points = Points.of(span_of(x, "absolute"), x, x[:10]).centred(torch.arange(0, 40, 3))
    order = iter(range(1, 9))
    machine = learn(points, columns, WIDE, rounds, lambda _: float(next(order)), fixed_trace(5))
    assert machine.coefficients.shape == (14, 1)
    # Centres are cusps of the kernel; between them a predictor has differences.
    others = [at for at in range(40) if at % 3]
    step = 1e-5 * torch.eye(5, dtype=torch.float64)
    sides = [(machine(x[others] + e) - machine(x[others] - e))[:, 0] / 2e-5 for e in step]
    torch.testing.assert_close(machine.gradients().of(0)[others], torch.stack(sides, dim=1), rtol=1e-4, atol=1e-7)


def test_all_samples_in_the_span_of_some_say_more_than_these_alone():
    x, y, truth = sign_linear(n=2800, d=128)
    learned, labels, held_out, wanted = x[:2400], y[:2400].int().tolist(), x[2400:], y[2400:]

    def reached(n, centres=None):
        probe = RFM(settings=(Setting(10.0, 1.0, 1e-3),), iterations=1, centres=centres)
        found = probe.fit(learned[:n], labels[:n], task="binary")
        return float(next(iter(found.directions.values())) @ truth), auc(found.scores(held_out)[:, 0], wanted)

    # 238 of 340 samples train, as many as there are centres.
    alone, centred, whole = reached(340), reached(2400, 238), reached(2400)
    assert alone[0] + 0.05 < centred[0] < whole[0]
    assert alone[1] + 0.03 < centred[1] > whole[1] - 0.03


def test_centres_are_bounded_where_samples_are_many(monkeypatch):
    monkeypatch.setattr("mmsteer.probes.search.EXACT", 100)
    monkeypatch.setattr("mmsteer.probes.search.CENTRES", 40)
    x, y, _ = mean_shift(n=300, d=8)
    seen = []
    monkeypatch.setattr(
        "mmsteer.probes.rfm_model.solve_on_centres",
        lambda d2, centres, *rest: seen.append((len(d2), len(centres))) or solve_on_centres(d2, centres, *rest),
    )
    RFM(draws=1, iterations=1).fit(x, y.int().tolist(), task="binary")
    assert set(seen) == {(210, 40)}
    seen.clear()
    RFM(draws=1, iterations=1).fit(x[:120], y[:120].int().tolist(), task="binary")
    assert not seen
