"""Directions from pairs: what was planted is found, in sign, angle and norm, at every token too."""

import pytest
import torch

from mmsteer.errors import ProbeError
from mmsteer.probes import LAT, PCA, VTI, MeanDifference
from mmsteer.probes.pairs import differences, first_component, paired
from mmsteer.probes.split import split_by_source
from mmsteer.probes.targets import encode
from mmsteer.types import Site
from tests.probes.toys import classes, pairs

PROBES = {"mean": MeanDifference(), "pca": PCA(), "lat": LAT(), "paper": VTI("paper"), "code": VTI("code")}
LAYERS = tuple(Site("text", layer) for layer in range(4))


@pytest.fixture(params=list(PROBES))
def probe(request):
    return PROBES[request.param]


def fit(probe, x, y, groups):
    return probe.fit(x, y, task="binary", groups=groups)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_planted_shift_between_pairs_is_recovered(probe, seed):
    x, y, groups, truth = pairs(seed=seed)
    fitted = fit(probe, x, y, groups)
    found = fitted.directions["yes"]
    torch.testing.assert_close(found.norm(), torch.tensor(1.0))
    assert found.dtype == torch.float32
    assert found @ truth > 0.9
    assert fitted.settings["task"] == "binary"


def test_the_pairs_are_used_where_the_states_mislead():
    x, y, groups, truth = pairs(shift=1.0, noise=0.1)
    assert fit(PCA(), x, y, groups).directions["yes"] @ truth > 0.9
    assert abs(fit(PCA(), x, y, None).directions["yes"] @ truth) < 0.5


def test_sign_follows_the_labels(probe):
    x, y, groups, truth = pairs()
    assert fit(probe, x, 1 - y, groups).directions["yes"] @ truth < -0.9


def test_what_varies_most_is_found_in_unpaired_states():
    x, y, _, truth = pairs(shift=30.0)
    fitted = fit(PCA(), x, y, None)
    assert fitted.directions["yes"] @ truth > 0.95
    assert fitted.settings["of"] == "states"
    assert fit(PCA(), x, 1 - y, None).directions["yes"] @ truth < -0.95


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_sides_changed_at_random_find_nothing(probe, seed):
    # 160 held-out pairs: the standard error of a chance AUC is about sqrt(321 / (12 * 160 * 160)) = 0.032.
    x, y, groups, truth = pairs(n=1000, d=32, shift=0.5, seed=seed)
    swapped = (torch.rand(1000, generator=torch.Generator().manual_seed(seed)) < 0.5).float().repeat_interleave(2)
    y = torch.where(swapped > 0, 1 - y, y)
    fitted = fit(probe, x, y, groups)
    assert abs(fitted.score - 0.5) < 0.13
    if not isinstance(probe, PCA | LAT) and probe != VTI("paper"):  # a component about zero is blind to sides changed
        assert abs(float(fitted.directions["yes"] @ truth)) < 0.7


def test_every_token_finds_its_own_direction(probe):
    x, y, groups, truth = pairs(tokens=5)
    fitted = fit(probe, x, y, groups)
    found = fitted.directions["yes"]
    assert found.shape == (5, 48)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(5))
    cosines = found @ truth.T
    assert cosines.diagonal().min() > 0.9
    assert (cosines - cosines.diag().diag()).abs().max() < 0.7
    # Held-out scores are those of the projection averaged over tokens.
    assert fitted.scores(x[:7]).shape == (7, 1)
    assert fitted.label_scores["yes"] > 0.7


def test_layers_are_not_mixed_up_with_tokens():
    """The released program views (layers, tokens, width) as (tokens, layers x width), which scrambles the groups."""
    states, truths = {}, {}
    for layer, site in enumerate(LAYERS):
        x, y, groups, truths[site] = pairs(tokens=3, shift=2.0 + 2 * layer, seed=layer)
        states[site] = x
    fitted = VTI("code").fit_sites(states, y, task="binary", groups=groups)
    for site, fit in fitted.items():
        assert (fit.directions["yes"] * truths[site]).sum(dim=1).min() > 0.9


def test_code_mode_is_the_component_over_all_layers_plus_the_mean():
    """The reference is a singular value decomposition of the layers side by side, as the program does it."""
    states = {}
    for layer, site in enumerate(LAYERS):
        x, y, groups, _ = pairs(shift=0.2, noise=0.2 * (1 + layer), seed=layer)
        states[site] = x
    fitted = VTI("code").fit_sites(states, y, task="binary", groups=groups)
    train = _training_rows(y, groups)
    flat = torch.cat([(x[1::2] - x[::2])[train] for x in states.values()], dim=1).double()
    mean = flat.mean(dim=0)
    left, _, right = torch.linalg.svd(flat - mean, full_matrices=False)
    sign = left[left[:, 0].abs().argmax(), 0].sign()
    wanted = (mean + sign * right[0]).view(len(LAYERS), -1)
    for row, site in zip(wanted, LAYERS, strict=True):
        torch.testing.assert_close(fitted[site].directions["yes"], (row / row.norm()).float(), atol=1e-5, rtol=1e-4)


def fitting_rows(y, groups, task):
    return split_by_source(encode(y, task), groups, 0).fitting.tolist()


def _training_rows(y, groups):
    return sorted({int(groups[row].split()[1]) for row in fitting_rows(y, groups, "binary")})


@pytest.mark.parametrize(("scale", "least", "most"), [(1.0, 0.99, 1.0), (0.01, 0.0, 0.9)])
def test_code_mode_is_the_mean_difference_at_the_scale_of_real_models(scale, least, most):
    """A component of norm 1 over all layers is lost beside mean differences of norm 4 to 16 a layer."""
    states = {}
    for layer, site in enumerate(LAYERS):
        x, y, groups, _ = pairs(shift=4.0 * (1 + layer), noise=1.0 + layer, seed=layer)
        states[site] = scale * x
    code = VTI("code").fit_sites(states, y, task="binary", groups=groups)
    for site, x in states.items():
        mean = fit(MeanDifference(), x, y, groups).directions["yes"]
        assert least <= abs(float(code[site].directions["yes"] @ mean)) < most + 1e-6


def test_masked_copies_are_averaged():
    x, y, groups, truth = pairs(n=40, shift=4.0, noise=1.0, copies=20)
    change = differences(x, y, groups)
    names = sorted(set(groups))
    for row in (0, 7):
        mine = torch.tensor([group == names[row] for group in groups])
        wanted = x[mine & (y == 1)].mean(dim=0) - x[mine & (y == 0)].mean(dim=0)
        torch.testing.assert_close(change[row].float(), wanted)
    single = pairs(n=40, shift=4.0, noise=1.0)
    averaged = fit(VTI(), x, y, groups).directions["yes"] @ truth
    assert averaged > fit(VTI(), *single[:3]).directions["yes"] @ single[3]


def test_the_two_modes_and_pca_agree_on_what_they_are():
    x, y, groups, _ = pairs()
    paper, pca = (fit(probe, x, y, groups).directions["yes"] for probe in (VTI("paper"), PCA()))
    assert torch.equal(paper, pca)
    assert fit(PCA(), x, y, groups).settings["of"] == "differences"
    assert fit(VTI("code"), x, y, groups).settings["mode"] == "code"


def test_one_pair_has_no_component():
    with pytest.raises(ProbeError, match="two pairs or samples at least"):
        first_component([torch.ones(1, 8, dtype=torch.float64)], 1.0)


def test_pairs_whose_sides_are_equal_have_no_component(probe):
    x, y, groups, _ = pairs(shift=0.0, noise=0.0)
    with pytest.raises(ProbeError, match=r"do not vary|coincides"):
        fit(probe, x, y, groups)


def test_pairs_that_all_differ_alike_have_no_component_about_their_mean():
    x, y, groups, truth = pairs(noise=0.0)
    assert fit(VTI("paper"), x, y, groups).directions["yes"] @ truth > 0.999
    with pytest.raises(ProbeError, match="do not vary"):
        fit(VTI("code"), x, y, groups)


def test_a_token_that_never_varies_is_named(probe):
    x, y, groups, _ = pairs(tokens=3)
    x[:, 1] = 0
    with pytest.raises(ProbeError, match="at 1 of 3 tokens"):
        fit(probe, x, y, groups)


def test_vti_needs_pairs():
    x, y, groups, _ = pairs()
    alone = [f"sample {k}" for k in range(len(y))]
    assert not paired(alone, y)
    assert paired(groups, y)
    for without in (None, alone):
        with pytest.raises(ProbeError, match="two sides of pairs"):
            fit(VTI(), x, y, without)


def test_a_component_of_several_classes_is_each_against_the_rest_within_its_groups():
    _, y, truth = classes()
    g = torch.Generator().manual_seed(9)
    sources = 20 * torch.randn(80, 1, 48, generator=g).expand(-1, 6, -1).reshape(480, 48)
    x = torch.randn(480, 48, generator=g) + 3 * truth[torch.arange(480) % 6] + sources
    groups = [f"source {k // 6}" for k in range(480)]
    fitted = PCA().fit(x, y, task="multiclass", groups=groups)
    assert fitted.settings["of"] == "differences"
    for k in range(6):
        wanted = truth[k] - (truth.sum(dim=0) - truth[k]) / 5
        assert fitted.directions[f"class {k}"] @ wanted / wanted.norm() > 0.9


def test_a_component_of_several_classes_without_pairs_is_that_of_the_classs_own_states():
    x, y, _ = classes()
    found = PCA().fit(x, y, task="multiclass").directions["class 2"]
    rows = fitting_rows(y, None, "multiclass")
    own = x[[row for row in rows if y[row] == "class 2"]].double()
    axis = torch.linalg.svd(own - own.mean(dim=0)).Vh[0].float()
    assert abs(float(found @ axis)) > 0.9999


@pytest.mark.parametrize("name", ["pca", "paper", "lat"])
def test_two_sides_only(name):
    x, y, groups, _ = pairs()
    with pytest.raises(ProbeError, match="takes the task 'binary'"):
        PROBES[name].fit(x, y, task="regression", groups=groups)


def test_unknown_mode():
    x, y, groups, _ = pairs()
    with pytest.raises(ProbeError, match="no mode 'both' of vti; choose from paper, code"):
        fit(VTI("both"), x, y, groups)


def test_progress_ends_at_one(probe):
    x, y, groups, _ = pairs(n=20)
    parts = []
    probe.fit(x, y, task="binary", groups=groups, progress=parts.append)
    assert parts[-1] == 1


def test_equal_settings_find_equal_directions(probe):
    x, y, groups, _ = pairs(n=20)
    one, two = (fit(probe, x, y, groups).directions["yes"] for _ in range(2))
    assert torch.equal(one, two)
