import json

import numpy as np
import pytest

from mmsteer.errors import EvalError
from mmsteer.eval.distance import SIGNAL_EMBEDDING, embed, frechet_distance, kernel_distance, signal_embedding
from tests.eval.tones import RATE, noise, tone

NAMES = {"embedding": "test-v1", "reference_name": "draws"}


def draws(n=200, width=4, shift=0.0, scale=1.0, seed=0):
    return shift + scale * np.random.default_rng(seed).standard_normal((n, width))


@pytest.mark.parametrize("n", [3, 200])
def test_a_set_is_at_no_frechet_distance_from_itself(n):
    """Also where the covariance is singular, with fewer clips than numbers a clip."""
    x = draws(n, 12)
    assert frechet_distance(x, x, **NAMES).value == pytest.approx(0, abs=1e-8)


def test_a_shift_is_its_square():
    x = draws()
    assert frechet_distance(x, x + 2.0, **NAMES).value == pytest.approx(4 * 2.0**2)


def test_frechet_by_hand_in_one_dimension():
    """(m1 - m2)² + (s1 - s2)²: the points 0, 2 have mean 1 and s² = 2, the points 0, 4 mean 2 and s² = 8."""
    value = frechet_distance(np.array([[0.0], [2.0]]), np.array([[0.0], [4.0]]), **NAMES).value
    assert value == pytest.approx(1 + (np.sqrt(8) - np.sqrt(2)) ** 2)


def test_frechet_agrees_with_the_matrix_square_root():
    from scipy.linalg import sqrtm

    x, y = draws(50, 4) @ draws(4, 4, seed=3), draws(60, 4, 0.3, seed=1) @ draws(4, 4, seed=4)
    a, b = np.cov(x.T), np.cov(y.T)
    gap = x.mean(0) - y.mean(0)
    reference = gap @ gap + np.trace(a + b - 2 * sqrtm(a @ b).real)
    assert frechet_distance(x, y, **NAMES).value == pytest.approx(reference)


def test_kernel_distance_by_hand():
    """Reference 0, 1 (bandwidth 1), other 0, 2: within e^-0.5, e^-2; across 1, e^-2, e^-0.5, e^-0.5."""
    value = kernel_distance(np.array([[0.0], [1.0]]), np.array([[0.0], [2.0]]), **NAMES).value
    near, far = np.exp(-0.5), np.exp(-2)
    assert value == pytest.approx(100 * (near + far - 2 * (1 + far + near + near) / 4))


def test_kernel_distance_is_unbiased():
    values = [kernel_distance(draws(40, seed=s), draws(40, seed=1000 + s), **NAMES).value for s in range(60)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(60)
    assert min(values) < 0
    assert kernel_distance(draws(40), draws(40, shift=1.0, seed=1), **NAMES).value > 10 * np.std(values)


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
@pytest.mark.parametrize(
    ("one", "two", "message"),
    [
        (draws(1), draws(), "at least two"),
        (draws()[0], draws(), "at least two"),
        (draws(), draws() * np.nan, "not all finite"),
        (draws(), draws(width=3), "width 4 and 3"),
    ],
)
def test_sets_that_cannot_be_compared_are_refused(distance, one, two, message):
    with pytest.raises(EvalError, match=message):
        distance(one, two, **NAMES)


def test_a_reference_of_one_clip_repeated_has_no_bandwidth():
    with pytest.raises(EvalError, match="all the same"):
        kernel_distance(np.zeros((5, 2)), draws(5, 2), **NAMES)


def test_the_result_declares_what_it_was_taken_over():
    result = kernel_distance(draws(20), draws(30), embedding=SIGNAL_EMBEDDING, reference_name="unsteered")
    row = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert (row["metric"], row["embedding"], row["reference"]) == ("kad", "mmsteer-signal-v1", "unsteered")
    assert (row["n_reference"], row["n"]) == (20, 30)


@pytest.mark.parametrize("clip", [tone(60), np.zeros(RATE), noise(0.5), np.zeros(10)])
def test_every_clip_has_a_finite_embedding(clip):
    embedding = signal_embedding(clip, RATE)
    assert embedding.shape == (88,)
    assert np.isfinite(embedding).all()


def test_other_music_is_farther_than_the_same():
    piano = embed([(tone(60 + k, decay=0.4), RATE) for k in range(6)])
    again = embed([(tone(60 + k, decay=0.4, gain=0.28), RATE) for k in range(6)])
    bright = embed([(tone(60 + k, decay=0.95, harmonics=16), RATE) for k in range(6)])
    near, far = (frechet_distance(piano, other, **NAMES).value for other in (again, bright))
    assert far > 10 * near


def test_no_clips_cannot_be_embedded():
    with pytest.raises(EvalError, match="no clips"):
        embed([])
