"""Features as a probe: what is pooled, what is planted is found, and what stands beside it."""

import pytest
import torch
from sklearn.metrics import roc_auc_score

from mmsteer.errors import DictionaryError, PositionsError, StoreError
from mmsteer.latents.bound import dictionary_content
from mmsteer.latents.finder import FeatureFinder, feature_directions, record_features
from mmsteer.record import record
from mmsteer.types import Activations, LogHistogram, Positions, Site
from tests.latents.dictionaries import clips, drawn

SITE = Site("decoder", 2)


@pytest.fixture(scope="module")
def dictionary(musicgen):
    return drawn(musicgen, str(SITE), features=40)


def planted(dictionary, n=120, per=3, noise=0.2, seed=0):
    """Class k makes `per` features of its own active in most of its samples, others seldom."""
    g = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 3
    z = torch.rand(n, dictionary.features, generator=g) * (torch.rand(n, dictionary.features, generator=g) < noise)
    for k in range(3):
        own = torch.rand(n, per, generator=g) < torch.where(y == k, 0.8, 0.05)[:, None]
        z[:, per * k : per * (k + 1)] = own * (1 + torch.rand(n, per, generator=g))
    source = {
        "model": dictionary.model,
        "data": "d",
        "positions": "all",
        "pool": "mean",
        "dictionary": dictionary_content(dictionary),
    }
    read = Activations({SITE: z}, {SITE: LogHistogram({359: 9})}, tuple(map(str, range(n))), source)
    return read, [f"class {int(k)}" for k in y]


@pytest.mark.parametrize("pool", ["mean", "max", "last"])
def test_activations_are_pooled_and_not_those_of_pooled_states(musicgen, dictionary, pool):
    samples = clips()
    read = record_features(musicgen, dictionary, samples, positions=Positions("all"), pool=pool, batch=2)
    states = record(musicgen, samples, [SITE], pool="tokens").values[SITE]
    z = dictionary.encode(states)
    wanted = {"mean": z.mean(dim=1), "max": z.amax(dim=1), "last": z[:, -1]}[pool]
    torch.testing.assert_close(read.values[SITE], wanted, atol=1e-5, rtol=1e-4)
    assert read.norms[SITE].median == pytest.approx(float(states.norm(dim=-1).median()), rel=0.006)
    if pool == "mean":
        assert not torch.allclose(read.values[SITE], dictionary.encode(states.mean(dim=1)), atol=1e-3)


def test_only_the_chosen_tokens_count(musicgen, dictionary):
    samples = clips(2)
    read = record_features(musicgen, dictionary, samples, positions=Positions("last"), pool="mean")
    states = record(musicgen, samples, [SITE], positions=Positions("last"), pool="last").values[SITE]
    torch.testing.assert_close(read.values[SITE], dictionary.encode(states), atol=1e-5, rtol=1e-4)
    with pytest.raises(PositionsError, match="select no token of sample 'clip-0'"):
        record_features(musicgen, dictionary, samples, positions=Positions("image"))


def test_a_recording_goes_on_where_it_was(musicgen, dictionary, tmp_path, monkeypatch):
    whole = record_features(musicgen, dictionary, clips(3), folder=tmp_path / "whole", batch=1)
    seen = []
    monkeypatch.setattr(
        "mmsteer.latents.finder.token_states",
        lambda adapter, samples, site, batch: pytest.fail(f"{seen} read again"),
    )
    again = record_features(musicgen, dictionary, clips(3), folder=tmp_path / "whole", batch=1)
    assert torch.equal(whole.values[SITE], again.values[SITE])
    monkeypatch.setattr(type(musicgen), "run_identity", "with another LoRA")
    with pytest.raises(StoreError, match="run_identity"):
        record_features(musicgen, dictionary, clips(3), folder=tmp_path / "whole", batch=1)


@pytest.mark.parametrize("selector", ["auroc", "mean_difference", "frequency", "importance", "positive_only"])
def test_what_was_planted_is_found(dictionary, selector):
    read, labels = planted(dictionary)
    found = feature_directions(
        dictionary, read, labels, FeatureFinder(selector, 3, "positive_mean"), family="x", task="multiclass"
    )
    assert list(found.directions) == ["x:class 0", "x:class 1", "x:class 2"]
    (row,) = found.rows
    assert row.site == SITE
    assert row.score > 0.9
    chosen = found.fitted[SITE].settings["chosen"]
    for k in range(3):
        features = chosen[f"class {k}"]
        assert set(features) <= {3 * k, 3 * k + 1, 3 * k + 2}
        assert len(features) == 3 or selector == "importance"  # which leaves out what others say already
        direction = found.directions[f"x:class {k}"]
        rows = dictionary.decoder[features].sum(dim=0)
        assert direction.vectors[SITE] @ rows / rows.norm() > 0.95
        assert direction.stats[SITE].score == row.labels[f"class {k}"] > 0.9
        assert direction.stats[SITE].residual_norm == pytest.approx(7, rel=0.006)
        assert direction.provenance["selector"] == selector
        assert "model" not in direction.provenance


def test_the_score_is_the_held_out_auc_of_the_sum(dictionary):
    read, labels = planted(dictionary, n=240)
    finder = FeatureFinder("auroc", 2)
    found = feature_directions(dictionary, read, labels, finder, family="x", task="multiclass")
    from mmsteer.probes.split import split_by_source
    from mmsteer.probes.targets import encode

    test = split_by_source(encode(labels, "multiclass"), None, 0).test
    features = found.fitted[SITE].settings["chosen"]["class 1"]
    sums = read.values[SITE][test][:, features].sum(dim=1)
    truth = [labels[row] == "class 1" for row in test.tolist()]
    assert found.rows[0].labels["class 1"] == pytest.approx(roc_auc_score(truth, sums))


def test_the_test_part_chooses_nothing(dictionary):
    read, labels = planted(dictionary)
    from mmsteer.probes.split import split_by_source
    from mmsteer.probes.targets import encode

    test = split_by_source(encode(labels, "multiclass"), None, 0).test
    other = read.values[SITE].clone()
    other[test] = other[test].roll(1, dims=1)
    changed = Activations({SITE: other}, read.norms, read.ids, read.source)
    finder = FeatureFinder("auroc", 3)
    one, two = (
        feature_directions(dictionary, some, labels, finder, family="x", task="multiclass").directions
        for some in (read, changed)
    )
    assert all(torch.equal(one[name].vectors[SITE], two[name].vectors[SITE]) for name in one)


def test_random_features_are_active_ones_and_detect_nothing(dictionary):
    read, labels = planted(dictionary, n=600)
    read.values[SITE][:, 20:] = 0
    rows = []
    for seed in range(5):
        finder = FeatureFinder("random", 2, seed=seed)
        found = feature_directions(dictionary, read, labels, finder, family="r", task="multiclass")
        chosen = found.fitted[SITE].settings["chosen"]
        assert all(0 <= feature < 20 for features in chosen.values() for feature in features)
        rows.append(tuple(map(tuple, chosen.values())))
    assert len(set(rows)) == 5
    assert len(set(rows[0])) > 1  # each label has a draw of its own
    with pytest.raises(DictionaryError, match="class 0: 20 features are active in its samples; 21 cannot be drawn"):
        feature_directions(dictionary, read, labels, FeatureFinder("random", 21), family="r", task="multiclass")


@pytest.mark.parametrize(
    ("finder", "message"),
    [
        (FeatureFinder("best"), "no selector 'best'"),
        (FeatureFinder(coefficient="one"), "no coefficient 'one'; choose from maximum"),
        (FeatureFinder(features=0), "0 features"),
    ],
)
def test_settings_that_do_not_exist(dictionary, finder, message):
    read, labels = planted(dictionary)
    with pytest.raises(DictionaryError, match=message):
        feature_directions(dictionary, read, labels, finder, family="x", task="multiclass")


def test_what_does_not_belong_together(musicgen, dictionary):
    read, labels = planted(dictionary)
    other = drawn(musicgen, str(SITE), features=40, seed=1)
    with pytest.raises(DictionaryError, match="another dictionary"):
        feature_directions(other, read, labels, FeatureFinder(), family="x", task="multiclass")
    with pytest.raises(DictionaryError, match="correlate them"):
        feature_directions(dictionary, read, torch.arange(120.0), FeatureFinder(), family="x", task="regression")
    with pytest.raises(DictionaryError, match="not 'tokens'"):
        record_features(musicgen, dictionary, clips(1), pool="tokens")
