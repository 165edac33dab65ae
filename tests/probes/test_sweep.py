import json
from dataclasses import replace

import pytest
import torch

from mmsteer.errors import ProbeError
from mmsteer.probes import RFM, VTI, Chance, Logistic, MeanDifference, per_image_directions, sweep
from mmsteer.probes.orthogonal import turned_away
from mmsteer.types import Activations, Direction, LogHistogram, Site, SiteStats
from tests.probes.toys import classes, pairs

SITES = (Site("decoder", 0), Site("decoder", 1), Site("decoder", 2))
SOURCE = {"model": "abc123", "data": "def456", "positions": "generated", "pooling": "mean"}


@pytest.fixture(scope="module")
def labelled():
    """Noise at the first layer, the concept at the second, the concept ten times larger at the third."""
    x, y, truth = classes(n=240, d=16, count=4)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    values = dict(zip(SITES, (noise, x, 10 * x), strict=True))
    norms = {site: LogHistogram.of(value.norm(dim=1)) for site, value in values.items()}
    return Activations(values, norms, tuple(map(str, range(240))), SOURCE), [name[-1] for name in y], truth


@pytest.mark.parametrize("probe", [MeanDifference(), RFM(draws=2, iterations=2)])
def test_every_site_is_fitted_and_told(labelled, probe):
    activations, y, truth = labelled
    found = sweep(probe, activations, y, family="mode", task="multiclass", progress=False)
    assert [row.site for row in found.rows] == list(SITES)
    assert {row.metric for row in found.rows} == {"accuracy"}
    assert found.rows[0].score < 0.5 < 0.8 < found.rows[1].score
    assert list(found.directions) == ["mode:0", "mode:1", "mode:2", "mode:3"]
    direction = found.directions["mode:2"]
    assert direction.sites == SITES
    assert direction.vectors[SITES[1]] @ truth[2] > 0.7
    assert direction.model == "abc123"


def test_statistics_are_those_of_the_projection(labelled):
    activations, y, _ = labelled
    found = sweep(MeanDifference(), activations, y, family="mode", task="multiclass", progress=False)
    direction = found.directions["mode:1"]
    for row in found.rows:
        stats, projection = direction.stats[row.site], activations.values[row.site] @ direction.vectors[row.site]
        assert stats.score == row.labels["1"]
        # The mean is far below what it is the mean of, whose last digits depend on the order of summation.
        assert stats.mean == pytest.approx(float(projection.mean()), abs=1e-6 * stats.spread)
        assert stats.spread == pytest.approx(float(projection.std()))
        assert stats.residual_norm == activations.norms[row.site].median
    assert direction.stats[SITES[2]].spread == pytest.approx(10 * direction.stats[SITES[1]].spread, rel=1e-4)


def test_provenance_says_what_was_done(labelled):
    activations, y, _ = labelled
    found = sweep(MeanDifference(seed=3), activations, y, family="mode", task="multiclass", progress=False)
    provenance = found.directions["mode:0"].provenance
    assert provenance["probe"] == "mean_difference"
    assert {key: provenance[key] for key in ("data", "positions", "pooling")} == {
        key: SOURCE[key] for key in ("data", "positions", "pooling")
    }
    settings = json.loads(provenance["settings"])
    assert settings["decoder.1"] == {"probe": "mean_difference", "seed": 3, "task": "multiclass"}


def test_chosen_sites_and_a_bar_on_the_terminal(labelled, capsys):
    activations, y, _ = labelled
    found = sweep(MeanDifference(), activations, y, family="mode", task="multiclass", sites=SITES[1:2])
    assert [row.site for row in found.rows] == [SITES[1]]
    assert "fitting" in capsys.readouterr().out


def test_a_site_that_was_not_recorded(labelled):
    activations, y, _ = labelled
    with pytest.raises(ProbeError, match=r"no activations at decoder.9; recorded are: decoder.0, decoder.1"):
        sweep(
            MeanDifference(),
            activations,
            y,
            family="mode",
            task="multiclass",
            sites=[Site("decoder", 9)],
            progress=False,
        )


def test_an_error_names_the_site(labelled):
    activations, y, _ = labelled
    with pytest.raises(ProbeError, match=r"mode: decoder.0: 240 hidden states for 239 labels"):
        sweep(MeanDifference(), activations, y[:-1], family="mode", task="multiclass", progress=False)


def test_activations_must_name_their_model(labelled):
    activations, y, _ = labelled
    anonymous = Activations(activations.values, activations.norms, activations.ids, {})
    with pytest.raises(ProbeError, match="which model they come from"):
        sweep(MeanDifference(), anonymous, y, family="mode", task="multiclass", progress=False)


PAIR_SITES = (Site("vision", 0), Site("vision", 1))


def paired_activations(tokens=0, pool="last"):
    """Pairs with a planted shift, ten times larger at the second site."""
    x, y, groups, truth = pairs(tokens=tokens)
    values = dict(zip(PAIR_SITES, (x, 10 * x), strict=True))
    norms = {site: LogHistogram.of(value.norm(dim=-1)) for site, value in values.items()}
    ids = tuple(f"{group} {label:g}" for group, label in zip(groups, y, strict=True))
    return Activations(values, norms, ids, SOURCE | {"pool": pool}), y, groups, truth


def grounded(activations, y, groups, probe, **options):
    return sweep(probe, activations, y, family="grounded", task="binary", groups=groups, progress=False, **options)


@pytest.mark.parametrize("mode", ["paper", "code"])
def test_a_probe_of_all_sites_together(mode):
    activations, y, groups, truth = paired_activations()
    found = grounded(activations, y, groups, VTI(mode))
    assert [row.site for row in found.rows] == list(PAIR_SITES)
    direction = found.directions["grounded:yes"]
    assert min(direction.vectors[site] @ truth for site in PAIR_SITES) > 0.9
    assert json.loads(direction.provenance["settings"])["vision.1"]["mode"] == mode


def test_an_error_of_all_sites_together_names_the_family():
    activations, y, _, _ = paired_activations()
    with pytest.raises(ProbeError, match=r"grounded: vti compares the two sides of pairs"):
        grounded(activations, y, None, VTI())


def test_a_direction_for_each_token():
    activations, y, groups, truth = paired_activations(tokens=5, pool="tokens")
    direction = grounded(activations, y, groups, MeanDifference()).directions["grounded:yes"]
    site = PAIR_SITES[1]
    assert direction.vectors[site].shape == (5, 48)
    assert (direction.vectors[site] * truth).sum(dim=1).min() > 0.9
    projection = (activations.values[site] * direction.vectors[site]).sum(dim=-1)
    assert direction.stats[site].mean == pytest.approx(float(projection.mean()), rel=1e-4)
    assert direction.stats[site].spread == pytest.approx(float(projection.std()), rel=1e-4)


def test_windows_of_time_are_no_tokens():
    activations, y, groups, _ = paired_activations(tokens=5, pool="windows(0.5s)")
    with pytest.raises(ProbeError, match=r"not one state a sample \(pool 'windows\(0.5s\)'\)"):
        grounded(activations, y, groups, MeanDifference())


def test_directions_left_out_are_orthogonal_to_what_is_found():
    activations, y, groups, truth = paired_activations()
    prior, other = (planted_direction(activations, truth, seed) for seed in (0, 1))
    plain = grounded(activations, y, groups, MeanDifference()).directions["grounded:yes"]
    rest = grounded(activations, y, groups, MeanDifference(), without=[prior]).directions["grounded:yes"]
    for site in PAIR_SITES:
        v, w = plain.vectors[site], prior.vectors[site]
        wanted = v - (v @ w) * w  # Gram-Schmidt
        assert abs(rest.vectors[site] @ w) < 1e-5
        torch.testing.assert_close(rest.vectors[site], wanted / wanted.norm(), atol=1e-4, rtol=0)
    assert rest.provenance["without"] == "prior:0"
    both = grounded(activations, y, groups, MeanDifference(), without=[prior, other, prior]).directions["grounded:yes"]
    assert max(abs(both.vectors[site] @ one.vectors[site]) for site in PAIR_SITES for one in (prior, other)) < 1e-5


@pytest.mark.parametrize("probe", [Logistic(), Chance(seed=3)], ids=["logistic", "random"])
def test_probes_whose_vectors_leave_the_data_are_turned_back(probe):
    activations, y, groups, truth = paired_activations()
    scales = torch.linspace(1, 30, len(truth))
    values = {site: states * scales for site, states in activations.values.items()}
    activations, prior = replace(activations, values=values), planted_direction(activations, truth, 0)
    found = grounded(activations, y, groups, probe, without=[prior])
    direction = found.directions["grounded:yes"]
    assert max(abs(direction.vectors[site] @ prior.vectors[site]) for site in PAIR_SITES) < 1e-5
    assert all(0 <= row.labels["yes"] <= 1 for row in found.rows)


def test_random_directions_of_several_sites_are_unlike():
    """Each is seeded; the first is that of a site alone. One vector everywhere would add up."""
    x = torch.randn(40, 512, generator=torch.Generator().manual_seed(0))
    norms, y = LogHistogram.of(x.norm(dim=1)), [0, 1] * 20

    def vectors(sites):
        read = Activations(dict.fromkeys(sites, x), dict.fromkeys(sites, norms), tuple(map(str, range(40))), SOURCE)
        found = sweep(Chance(seed=3), read, y, family="any", task="binary", progress=False)
        return torch.stack(list(found.directions["any:yes"].vectors.values()))

    found = vectors(SITES)
    assert (found @ found.T - torch.eye(3)).abs().max() < 0.25
    assert torch.equal(found, vectors(SITES))
    assert torch.equal(found[:1], vectors(SITES[:1]))


def test_nothing_is_left_of_what_is_left_out():
    site = PAIR_SITES[0]
    prior = planted_direction(None, torch.ones(4), 0)
    with pytest.raises(ProbeError, match="nothing is left of the direction without prior:0"):
        turned_away(prior.vectors[site], site, [prior])
    tokens = torch.stack([torch.tensor([0.0, 1, 0, 0]), torch.zeros(4)])
    turned = turned_away(tokens, site, [prior])
    torch.testing.assert_close(turned.norm(dim=1), torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(turned @ prior.vectors[site], torch.zeros(2), atol=1e-6, rtol=0)


def planted_direction(activations, truth, seed):
    """Half truth, half noise."""
    noise = torch.randn(len(truth), generator=torch.Generator().manual_seed(seed))
    vector = truth + noise / noise.norm()
    stats = SiteStats(None, 0.0, 1.0, 1.0)
    vectors = {site: vector / vector.norm() for site in PAIR_SITES}
    return Direction(f"prior:{seed}", vectors, {site: stats for site in PAIR_SITES}, "abc123")


def test_a_direction_that_is_not_at_the_site_cannot_be_left_out(labelled):
    activations, _, _, truth = paired_activations()
    prior = planted_direction(activations, truth, 0)
    with pytest.raises(ProbeError, match=r"cannot leave out direction 'prior:0' at decoder.0: it has no vector there"):
        sweep(MeanDifference(), labelled[0], labelled[1], family="mode", task="multiclass", without=[prior])


def test_each_image_has_a_direction_of_its_own():
    activations, y, groups, _ = paired_activations()
    found = per_image_directions(activations, y, groups, family="image")
    assert len(found) == 80
    assert {direction.model for direction in found.values()} == {"abc123"}
    for pair in (0, 17):
        for site in PAIR_SITES:
            x = activations.values[site]
            change = x[2 * pair + 1] - x[2 * pair]
            direction = found[f"pair {pair}"]
            assert direction.name == f"image:pair {pair}"
            torch.testing.assert_close(direction.vectors[site], change / change.norm(), atol=1e-5, rtol=1e-4)
            assert direction.stats[site].score is None
            assert direction.stats[site].residual_norm == activations.norms[site].median


def test_an_image_whose_sides_coincide_is_named():
    activations, y, groups, _ = paired_activations()
    x = activations.values[PAIR_SITES[0]]
    x[35] = x[34]
    with pytest.raises(ProbeError, match=r"vision.0: the two sides of 'pair 17' coincide"):
        per_image_directions(activations, y, groups, family="image")
    with pytest.raises(ProbeError, match="samples of both labels for each image"):
        per_image_directions(activations, y, list(map(str, range(160))), family="image")
