import json

import pytest
import torch

from mmsteer.errors import ProbeError
from mmsteer.probes import RFM, MeanDifference, sweep
from mmsteer.types import Activations, Site
from tests.probes.toys import classes

SITES = (Site("decoder", 0), Site("decoder", 1), Site("decoder", 2))
SOURCE = {"model": "abc123", "data": "def456", "positions": "generated", "pooling": "mean"}


@pytest.fixture(scope="module")
def labelled():
    """Noise at the first layer, the concept at the second, the concept ten times larger at the third."""
    x, y, truth = classes(n=240, d=16, count=4)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    values = dict(zip(SITES, (noise, x, 10 * x), strict=True))
    norms = {site: float(value.norm(dim=1).mean()) for site, value in values.items()}
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
        assert stats.mean == pytest.approx(float(projection.mean()))
        assert stats.spread == pytest.approx(float(projection.std()))
        assert stats.residual_norm == activations.norms[row.site]
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
    with pytest.raises(ProbeError, match=r"mode at decoder.0: 240 hidden states for 239 labels"):
        sweep(MeanDifference(), activations, y[:-1], family="mode", task="multiclass", progress=False)


def test_activations_must_name_their_model(labelled):
    activations, y, _ = labelled
    anonymous = Activations(activations.values, activations.norms, activations.ids, {})
    with pytest.raises(ProbeError, match="which model they come from"):
        sweep(MeanDifference(), anonymous, y, family="mode", task="multiclass", progress=False)
