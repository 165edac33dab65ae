"""A planted steering vector: pursuits find both of its features, the encoder one."""

import pytest
import torch
from torch.nn import functional

from mmsteer.errors import DictionaryError
from mmsteer.sae import SparseDictionary
from mmsteer.sae.decomposition import PURSUITS, decompose, diagnose, latent_difference

WIDTH, FEATURES = 64, 512


def dictionary(rows, bias=0.0, threshold=0.0):
    """The encoder reads along the rows; every feature has the same bias and threshold."""
    features, width = rows.shape
    return SparseDictionary(
        rows.T.contiguous(),
        torch.full((features,), bias),
        rows,
        torch.zeros(width),
        torch.full((features,), threshold),
    )


@pytest.fixture(scope="module")
def toy():
    """512 features of width 64, a dozen active at a time: a vector of +3 on feature 5 and -3 on feature 9."""
    generator = torch.Generator().manual_seed(0)
    rows = functional.normalize(torch.randn(FEATURES, WIDTH, generator=generator), dim=1)

    def states(amounts):
        z = 6 * torch.relu(torch.randn(2000, FEATURES, generator=generator) - 2)
        for feature, amount in amounts.items():
            z[:, feature] += amount
        return z @ rows

    positive, negative = states({5: 3.0}), states({9: 3.0})
    return dictionary(rows, bias=-1.5), positive, negative, positive.mean(0) - negative.mean(0)


def test_signed_pursuit_finds_both_signs(toy):
    made, _, _, v = toy
    found = decompose(made, v, 4)
    by_feature = {term.feature: term.coefficient for term in found.terms}
    assert by_feature[5] == pytest.approx(3, abs=0.3)
    assert by_feature[9] == pytest.approx(-3, abs=0.3)
    assert found.explained > 0.97
    assert found.negative == pytest.approx(0.5, abs=0.1)


def test_non_negative_pursuit_misses_what_is_below_zero(toy):
    made, _, _, v = toy
    found = decompose(made, v, 4, "non_negative")
    assert 9 not in {term.feature for term in found.terms}
    assert min(term.coefficient for term in found.terms) >= 0
    assert found.explained < 0.9
    assert found.negative == 0


def test_gradient_pursuit_is_nearly_orthogonal_pursuit(toy):
    made, _, _, v = toy
    found = decompose(made, v, 4, "gradient")
    assert [term.feature for term in found.terms[:2]] == [term.feature for term in decompose(made, v, 4).terms[:2]]
    assert 0.95 < found.explained <= decompose(made, v, 4).explained + 1e-9


def test_the_encoder_hears_one_sign_and_latent_differences_both(toy):
    made, positive, negative, v = toy
    z = made.encode(v)
    assert z[5] > 1
    assert z[9] == 0
    difference = latent_difference(made, positive, negative)
    assert difference.abs().topk(2).indices.sort().values.tolist() == [5, 9]
    assert difference[5] > 1.5
    assert difference[9] < -1.5


def test_the_diagnosis_of_a_planted_vector(toy):
    made, positive, negative, v = toy
    found = diagnose(made, v, torch.cat([positive, negative]), (positive, negative))
    assert found.percentile < 0.1  # it is shorter than nearly every state
    assert 0 < found.recovered < 0.9
    assert found.agreement > 0.7
    assert 0.3 < found.negative < 0.7


def test_by_hand():
    """Rows at 0 and 60 degrees: v = 2 a - b, and least squares says so once both are chosen."""
    rows = torch.tensor([[1.0, 0.0], [0.5, 3**0.5 / 2]])
    v = 2 * rows[0] - rows[1]  # (1.5, -0.866), of square norm 3; components 1.5 and 0
    found = decompose(dictionary(rows), v, 2)
    assert [term.feature for term in found.terms] == [0, 1]
    assert [term.coefficient for term in found.terms] == pytest.approx([2, -1])
    assert [term.explained for term in found.terms] == pytest.approx([0.75, 1])
    assert [term.cosine for term in found.terms] == pytest.approx([1.5 / 3**0.5, 0], abs=1e-6)
    only = decompose(dictionary(rows), v, 2, "non_negative")
    assert [(term.feature, term.coefficient) for term in only.terms] == [(0, pytest.approx(1.5))]


def test_a_gradient_step_by_hand():
    """After the first row the rest is r = (0, -0.866): the gradient is (0, -0.75), and the exact step is 1."""
    rows = torch.tensor([[1.0, 0.0], [0.5, 3**0.5 / 2]])
    found = decompose(dictionary(rows), 2 * rows[0] - rows[1], 2, "gradient")
    assert [term.coefficient for term in found.terms] == pytest.approx([1.5, -0.75])
    assert found.explained == pytest.approx(1 - 0.1875 / 3)


def test_a_gradient_step_in_two_coefficients_by_hand():
    """Turn three: rest (0.375, -0.2165, 0.1), gradient (0.375, 0, 0.305): step 0.23365 / 0.3709."""
    rows = torch.tensor([[1.0, 0.0, 0.0], [0.5, 3**0.5 / 2, 0.0], [0.6, 0.0, 0.8]])
    found = decompose(dictionary(rows), torch.tensor([1.5, -(3**0.5) / 2, 0.1]), 3, "gradient")
    assert [term.feature for term in found.terms] == [0, 1, 2]  # 0 has most of what is left, but was chosen
    assert [term.coefficient for term in found.terms] == pytest.approx([1.73623, -0.75, 0.19214], abs=1e-4)


def test_long_rows_give_the_same_lengths():
    rows = torch.eye(3) * torch.tensor([1.0, 2.0, 5.0])[:, None]
    found = decompose(dictionary(rows), torch.tensor([1.0, 2.0, -4.0]), 3)
    assert [(term.feature, term.coefficient) for term in found.terms] == [
        (2, pytest.approx(-4)),
        (1, pytest.approx(2)),
        (0, pytest.approx(1)),
    ]


def test_a_bias_answers_for_a_short_vector():
    """The bias lifts features 0 and 1 of zero to 5; a vector of length 0.1 leaves them on top."""
    made = dictionary(torch.eye(4))
    biased = SparseDictionary(
        made.encoder, torch.tensor([5.0, 5.0, 0.0, 0.0]), made.decoder, made.decoder_bias, made.threshold
    )
    v = torch.tensor([0.0, 0.0, 0.1, -0.1])
    found = diagnose(biased, v, 10 * torch.eye(4), top=2)
    assert found.overlap == 1
    assert found.percentile == 0
    assert found.negative == pytest.approx(0.5)
    assert found.recovered == pytest.approx(0.5**0.5)
    assert found.agreement is None
    assert diagnose(made, 20 * v.flip(0), torch.eye(4), top=2).overlap == 0


def test_a_silent_encoder_recovers_nothing():
    found = diagnose(dictionary(torch.eye(4), threshold=9.0), torch.ones(4), torch.eye(4))
    assert found.recovered is None
    assert found.overlap == 0
    assert "nothing is" in found.table()


def test_tables_are_readable(toy):
    made, positive, negative, v = toy
    lines = decompose(made, v, 4).table().splitlines()
    assert lines[0].startswith("signed pursuit, 4 features: ")
    assert {int(line.split()[0]) for line in lines[2:4]} == {5, 9}
    diagnosis = diagnose(made, v, positive, (positive, negative))
    assert f"{diagnosis.recovered:.3f} (cosine" in diagnosis.table()


@pytest.mark.parametrize(
    ("v", "terms", "method", "message"),
    [
        (torch.ones(3), 1, "signed", "shape \\(3,\\)"),
        (torch.zeros(4), 1, "signed", "norm 0"),
        (torch.ones(4), 0, "signed", "0 terms"),
        (torch.ones(4), 5, "signed", "5 terms"),
        (torch.ones(4), 1, "greedy", "no pursuit 'greedy'"),
    ],
)
def test_what_cannot_be_decomposed_is_refused(v, terms, method, message):
    with pytest.raises(DictionaryError, match=message):
        decompose(dictionary(torch.eye(4)), v, terms, method)


def test_examples_have_two_sides():
    with pytest.raises(DictionaryError, match="0 positive"):
        latent_difference(dictionary(torch.eye(4)), torch.zeros(0, 4), torch.eye(4))
    with pytest.raises(DictionaryError, match="no hidden states"):
        diagnose(dictionary(torch.eye(4)), torch.ones(4), torch.zeros(0, 4))


def test_every_pursuit_stops_when_nothing_is_left():
    for method in PURSUITS:
        assert len(decompose(dictionary(torch.eye(4)), torch.tensor([0.0, 1.0, 0.0, 0.0]), 3, method).terms) == 1
