"""The machine against calculus, against xrfm, and against itself in fewer dimensions."""

import contextlib
import io
import math
import warnings

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mmsteer.probes import rfm_model as module
from mmsteer.probes.kernel import Setting
from mmsteer.probes.metrics import auc
from mmsteer.probes.rfm_model import Points, directions_of, fixed_trace, learn
from mmsteer.probes.space import span_of
from tests.probes.toys import classes, mean_shift

WIDE = Setting(bandwidth=8.0, exponent=1.0)


@pytest.fixture
def whole(monkeypatch):
    """Machines stay in all dimensions, whatever their metric needs."""
    monkeypatch.setattr(module, "carriers", lambda *_: None)


def _learn(x, columns, held_out, setting=WIDE, *, rounds=2, reduce=True, unit="absolute", normalise=None):
    """The machine after exactly `rounds` updates of the metric: quality grows with every round."""
    points = Points.of(span_of(x, unit, reduce=reduce), x, held_out)
    order = iter(range(1, 100))
    return learn(
        points, columns, setting, rounds, lambda scores: float(next(order)), normalise or fixed_trace(x.shape[1])
    )


def _binary(n, d, held_out=50):
    x, y, _ = mean_shift(n=n + held_out, d=d)
    columns = (y - y[:n].mean())[:, None]
    return x[:n], columns[:n], x[n:], columns[n:]


def _cosine(a, b):
    return float((a * b).sum() / (a.norm() * b.norm()))


def _predict(machine, x, output):
    """The predictor by its definition, from differences; at x_j the two sides of the own cusp cancel."""
    train, metric = machine.points.train, machine.metric
    difference = x[:, None] - train
    d2 = (difference @ (torch.eye(x.shape[1]).double() if metric is None else metric) * difference).sum(dim=2)
    values = torch.exp(-((d2.clamp(min=0).sqrt() / machine.setting.bandwidth) ** machine.setting.exponent))
    return values @ machine.coefficients[:, output]


@pytest.mark.parametrize("exponent", [0.7, 1.0, 1.4, 2.0])
@pytest.mark.parametrize("rounds", [0, 2])
@pytest.mark.usefixtures("whole")
def test_gradients_are_finite_differences_of_the_predictor(exponent, rounds):
    x, y, held_out, _ = (part.double() for part in _binary(40, 5))
    machine = _learn(x, torch.cat([y, y * x[:, :1]], dim=1), held_out, Setting(8.0, exponent), rounds=rounds)
    points, gradients, step = machine.points.train, machine.gradients(), 1e-5
    for output in range(2):
        sides = [
            _predict(machine, points + step * e, output) - _predict(machine, points - step * e, output)
            for e in torch.eye(5).double()
        ]
        wanted = torch.stack(sides, dim=1) / (2 * step)
        torch.testing.assert_close(gradients.of(output), wanted, rtol=1e-4, atol=1e-7)
        torch.testing.assert_close(gradients.outer(output), wanted.T @ wanted / 40, rtol=1e-4, atol=1e-7)


def test_metric_is_the_mean_over_outputs_and_centring_takes_the_mean_gradient_off():
    x, y, held_out, _ = _binary(60, 6)
    machine = _learn(x, torch.cat([y, -2 * y, y * x[:, :1]], dim=1), held_out)
    gradients = machine.gradients()
    together = torch.cat([gradients.of(k) for k in range(3)])
    torch.testing.assert_close(gradients.metric(centre=False), together.T @ together / 180)
    torch.testing.assert_close(gradients.metric(centre=True), together.T.cov(correction=0), rtol=1e-3, atol=1e-7)


def _xrfm(x, columns, held_out, truth, setting, rounds):
    from xrfm.rfm_src import RFM

    model = RFM(
        "l2_high_dim",
        bandwidth=setting.bandwidth,
        exponent=setting.exponent,
        device="cpu",
        verbose=False,
        tuning_metric="mse",
    )
    model.fit(
        (x, columns),
        (held_out, truth),
        iters=rounds,
        reg=setting.ridge,
        center_grads=setting.centre,
        early_stop_rfm=False,
        get_agop_best_model=True,
        verbose=False,
    )
    return model.agop_best_model, model.predict(held_out)


@pytest.mark.parametrize(("n", "d"), [(400, 60), (150, 300)])
@pytest.mark.parametrize("rounds", [0, 4])
@pytest.mark.parametrize(
    "setting",
    [WIDE, Setting(20.0, 0.8, 1e-2), Setting(10.0, 1.3, 1e-3, centre=True)],
    ids=["laplace", "flat", "centred"],
)
def test_agrees_with_xrfm(n, d, rounds, setting, monkeypatch):
    x, columns, held_out, truth = _binary(n, d, 200)
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        reference, predicted = _xrfm(x, columns, held_out, truth, setting, rounds)
    theirs = auc(predicted[:, 0], truth[:, 0] + 0.5)

    def compare(normalise, agreement):
        points = Points.of(span_of(x, "absolute", reduce=False), x, held_out)
        machine = learn(points, columns, setting, rounds, lambda s: 1 / float((s - truth).square().mean()), normalise)
        assert _cosine(_in_all_dimensions(machine, setting.centre), reference) > agreement
        # 200 samples: one swapped pair moves the AUC by 1e-4, and the two scales differ by a few percent.
        assert auc(machine(held_out)[:, 0], truth[:, 0] + 0.5) >= theirs - 0.005

    compare(fixed_trace(d), 0.99)
    monkeypatch.setattr(module, "carriers", lambda *_: None)  # the largest entry depends on the coordinates
    compare(lambda metric: metric / metric.max(), 0.9999)


def _in_all_dimensions(machine, centre):
    agop, basis = machine.gradients().metric(centre=centre), machine.points.space.basis
    return agop if basis is None else basis @ agop @ basis.T


@pytest.mark.parametrize("setting", [WIDE, Setting(20.0, 1.3, 1e-3, centre=True)], ids=["laplace", "centred"])
@pytest.mark.parametrize(("n", "d"), [(600, 400), (150, 500)])
def test_the_directions_that_carry_the_metric_are_the_whole_machine(monkeypatch, n, d, setting):
    x, columns, held_out, _ = _binary(n, d, 200)
    few = _learn(x, columns, held_out, setting, rounds=5, unit="median")
    assert few.points.train.shape[1] < 20
    monkeypatch.setattr(module, "carriers", lambda *_: None)
    full = _learn(x, columns, held_out, setting, rounds=5, unit="median")
    assert full.points.train.shape[1] == min(n, d)
    torch.testing.assert_close(few(held_out), full(held_out), rtol=0, atol=2e-3)
    assert _cosine(*(m.points.space.leave(directions_of(m, columns)) for m in (few, full))) > 1 - 1e-6


@pytest.mark.parametrize("rounds", [0, 3])
@pytest.mark.parametrize("unit", ["absolute", "median"])
def test_row_span_is_all_dimensions(rounds, unit):
    x, columns, held_out, _ = (part.double() for part in _binary(80, 200))
    small, full = (_learn(x, columns, held_out, rounds=rounds, unit=unit, reduce=reduce) for reduce in (True, False))
    if rounds == 0:
        assert small.points.train.shape == (80, 80)
        assert full.points.train.shape == (80, 200)
    torch.testing.assert_close(small(held_out), full(held_out), rtol=1e-6, atol=1e-8)
    one, two = (machine.points.space.leave(directions_of(machine, columns)) for machine in (small, full))
    assert _cosine(one, two) > 1 - 1e-9


def test_residual_outside_the_span_counts_in_the_first_round():
    x, columns, _, _ = _binary(40, 100)
    far = x[:5] + 1e3 * torch.linalg.qr(x.T, mode="complete").Q[:, -1]
    machine = _learn(x, columns, far, rounds=0)
    assert machine(far).abs().max() < 1e-6
    assert machine(x[:5]).abs().max() > 0.1


def test_binary_spectrum_is_essentially_one_direction():
    x, columns, held_out, _ = _binary(500, 40)
    spectrum = torch.linalg.eigvalsh(_learn(x, columns, held_out).gradients().outer(0))
    assert spectrum[-1] > 0.95 * spectrum.sum()


def test_best_round_is_kept_and_a_falling_one_stops():
    x, columns, held_out, _ = _binary(60, 6)
    points = Points.of(span_of(x, "median"), x, held_out)
    seen = []

    def quality(_scores):
        seen.append([0.8, 0.9, 0.85, 0.81, 0.99][len(seen)])
        return seen[-1]

    machine = learn(points, columns, WIDE, 4, quality, fixed_trace(6))
    assert seen == [0.8, 0.9, 0.85, 0.81]  # .81 is below .9 / 1.1, .85 is not
    assert (machine.rounds, machine.quality) == (1, 0.9)
    assert machine.metric.trace() == pytest.approx(6 / (2 * math.log(6)))


def test_perfect_predictions_and_a_metric_that_stands_still_end_it():
    x, columns, held_out, _ = _binary(60, 6)
    points = Points.of(span_of(x, "median"), x, held_out)
    seen = []

    def rounds(qualities):
        seen.clear()
        values = iter(qualities)
        learn(
            points, columns, WIDE, 12, lambda scores: seen.append(scores) or next(values), fixed_trace(6), ceiling=1.0
        )
        return len(seen)

    assert rounds([0.8, 1.0]) == 2
    assert 3 < rounds([0.8] * 13) < 13
    torch.testing.assert_close(seen[-1], seen[-2], rtol=0, atol=1e-3)


class _Largest(TorchDispatchMode):
    """Records the most numbers that any one tensor had."""

    numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(tensor, torch.Tensor):
                self.numbers = max(self.numbers, tensor.numel())
        return out


def test_memory_of_many_outputs_is_that_of_one():
    x, y, _ = classes(n=600, d=24, count=20)
    columns = torch.nn.functional.one_hot(torch.tensor([int(name.split()[1]) for name in y]), 20).float()
    with _Largest() as largest:
        _learn(x, columns - columns.mean(dim=0), x[:50])
    assert largest.numbers == 600 * 600
