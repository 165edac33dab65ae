"""Every probe finds what was planted, in norm, sign and angle, and nothing where there is nothing."""

import json
from dataclasses import FrozenInstanceError

import pytest
import torch
from sklearn.metrics import roc_auc_score

from mmsteer.errors import ProbeError
from mmsteer.probes import PROBES, RFM, Chance, MeanDifference
from tests.probes.toys import classes, mean_shift, sign_linear, values

SMALL = {"mean_difference": MeanDifference(), "rfm": RFM(draws=6, iterations=4)}
PAIRED = {"pca", "vti", "lat"}  # in test_paired_probes.py and test_lat.py
KNOWS_NOTHING = {"random"}
OVER_SITES = {"aggregation"}  # in test_aggregation.py; at one site it is rfm
WEIGHTS = {"logistic", "linear"}  # in test_regressions.py: a weight is not the shift where the noise is not round


@pytest.fixture(params=list(SMALL))
def probe(request):
    return SMALL[request.param]


def test_every_probe_is_covered():
    assert PROBES.keys() == SMALL.keys() | PAIRED | OVER_SITES | WEIGHTS | KNOWS_NOTHING


def test_the_random_control_ignores_the_labels():
    x, y, truth = mean_shift()
    fitted = Chance().fit(x, y, task="binary")
    found = fitted.directions["yes"]
    torch.testing.assert_close(found.norm(), torch.tensor(1.0))
    assert abs(float(found @ truth)) < 0.4  # three times 1 / sqrt(64)
    assert torch.equal(found, Chance().fit(x, 1 - y, task="binary").directions["yes"])
    assert not torch.equal(found, Chance(seed=1).fit(x, y, task="binary").directions["yes"])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_planted_shift_is_recovered(probe, seed):
    x, y, truth = mean_shift(seed=seed)
    fitted = probe.fit(x, y, task="binary")
    found = fitted.directions["yes"]
    torch.testing.assert_close(found.norm(), torch.tensor(1.0))
    assert found.dtype == torch.float32
    assert found @ truth > 0.9
    assert fitted.metric == "auc"
    assert fitted.score > 0.95
    assert fitted.label_scores["yes"] > 0.95


def test_sign_follows_the_labels(probe):
    x, y, truth = mean_shift()
    assert probe.fit(x, 1 - y, task="binary").directions["yes"] @ truth < -0.9


def test_positives_project_higher(probe):
    x, y, _ = mean_shift(shift=2.0)
    projection = x @ probe.fit(x, y, task="binary").directions["yes"]
    assert projection[y == 1].mean() > projection[y == 0].mean()


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_shuffled_labels_find_nothing(probe, seed):
    # 450 held-out samples: the standard error of a chance AUC is sqrt(451 / (12 * 225 * 225)) = 0.027.
    x, y, truth = mean_shift(n=3000, d=64, seed=seed)
    y = y[torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))]
    fast = probe if isinstance(probe, MeanDifference) else RFM(draws=1, iterations=1)
    fitted = fast.fit(x[:1000], y[:1000], task="binary")
    scores = fitted.scores(x[1000:])[:, 0]
    assert (
        abs(roc_auc_score(y[1000:].numpy(), scores.numpy()) - 0.5) < 0.05
    )  # 2000 new samples: four standard errors of 0.013
    assert abs(float(fitted.score) - 0.5) < 0.2  # 150 samples: four standard errors of 0.047
    assert abs(float(fitted.directions["yes"] @ truth)) < 0.6


def test_multiclass_finds_one_direction_a_class(probe):
    x, y, truth = classes()
    fitted = probe.fit(x, y, task="multiclass")
    assert list(fitted.directions) == [f"class {k}" for k in range(6)]
    # One against the rest: the truth minus the mean of the others' truths.
    wanted = truth - (truth.sum(dim=0) - truth) / 5
    for k, found in enumerate(fitted.directions.values()):
        assert found @ wanted[k] / wanted[k].norm() > 0.85
    assert fitted.metric == "accuracy"
    assert fitted.score > 0.8
    assert min(fitted.label_scores.values()) > 0.9


def test_regression_points_to_larger_values(probe):
    x, y, truth = values()
    fitted = probe.fit(x, 100 + 30 * y, task="regression")
    assert fitted.directions["more"] @ truth > 0.95
    assert fitted.metric == "r2"
    assert fitted.score > 0.5
    torch.testing.assert_close(fitted.scores(x).mean(), torch.tensor(100.0), atol=5, rtol=0)


def test_scores_need_the_fitted_width(probe):
    x, y, _ = mean_shift(n=60, d=8)
    fitted = probe.fit(x, y, task="binary")
    assert fitted.scores(x[:3]).shape == (3, 1)
    with pytest.raises(ProbeError, match=r"expected \(n, 8\), got \(3, 7\)"):
        fitted.scores(x[:3, :7])


def test_equal_settings_find_equal_directions(probe):
    x, y, _ = mean_shift(n=120, d=16)
    one, two = (probe.fit(x, y, task="binary") for _ in range(2))
    assert torch.equal(one.directions["yes"], two.directions["yes"])
    assert one.score == two.score


def test_settings_are_plain_json_and_the_fit_is_frozen(probe):
    x, y, _ = mean_shift(n=60, d=8)
    fitted = probe.fit(x, y, task="binary")
    assert json.loads(json.dumps(fitted.settings, allow_nan=False))["task"] == "binary"
    with pytest.raises(FrozenInstanceError):
        fitted.score = 1.0


def test_progress_ends_at_one(probe):
    x, y, _ = mean_shift(n=60, d=8)
    parts = []
    probe.fit(x, y, task="binary", progress=parts.append)
    assert parts == sorted(parts)
    assert parts[-1] == 1


def test_scale_and_offset_of_the_states_do_not_matter(probe):
    x, y, _ = mean_shift(n=200, d=16)
    plain = probe.fit(x, y, task="binary").directions["yes"]
    moved = probe.fit(1000 * x + 5000, y, task="binary").directions["yes"]
    assert plain @ moved > 0.999


def test_fewer_samples_than_dimensions(probe):
    x, y, truth = mean_shift(n=200, d=512, shift=8.0)
    fitted = probe.fit(x, y, task="binary")
    assert fitted.directions["yes"] @ truth > 0.85
    assert fitted.score > 0.95


def test_rfm_sees_the_boundary_where_the_means_mislead():
    x, y, truth = sign_linear()
    mean = MeanDifference().fit(x, y, task="binary").directions["yes"] @ truth
    rfm = SMALL["rfm"].fit(x, y, task="binary").directions["yes"] @ truth
    assert rfm > mean + 0.1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x, torch.ones_like(y)), "all 60 labels are"),
        (lambda x, y: (x[:-1], y), "59 hidden states for 60 labels"),
        (
            lambda x, y: (x.index_fill(0, torch.tensor(7), torch.nan), y),
            "NaN or infinite in 1 samples, the first is row 7",
        ),
        (lambda x, y: (x, torch.where(y > 0, torch.nan, 0.0)), "NaN or infinite"),
        (lambda x, y: (torch.ones_like(x), y), "all samples are equal"),
        (lambda x, y: (x[:, None, None], y), "pool them first"),
        (lambda x, y: (x[:6], torch.tensor([0, 1, 0, 1, 0, 1.0])), "give every class five sources"),
        (lambda x, y: (x, y + 1), "labels 0 and 1"),
        (lambda x, y: (x, ["a"] * 60), "as labels, got"),
        (lambda x, y: (x, y[:, None]), r"expected \(n,\)"),
    ],
)
def test_data_that_cannot_carry_a_probe(probe, change, message):
    x, y, _ = mean_shift(n=60, d=8)
    x, y = change(x, y)
    with pytest.raises(ProbeError, match=message):
        probe.fit(x, y, task="binary")


def test_unknown_task(probe):
    x, y, _ = mean_shift(n=60, d=8)
    with pytest.raises(ProbeError, match="no task 'ranking'; choose from binary"):
        probe.fit(x, y, task="ranking")


def test_constant_values(probe):
    x, _, _ = mean_shift(n=60, d=8)
    with pytest.raises(ProbeError, match="needs samples that differ"):
        probe.fit(x, torch.full((60,), 3.5), task="regression")
