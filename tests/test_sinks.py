"""Attention sinks: a small language model whose first token is a hundred times as large as the others."""

import pytest
import torch

from mmsteer.adapters import load
from mmsteer.latents.pooling import pooled
from mmsteer.probes import MeanDifference, sweep
from mmsteer.record import record
from mmsteer.sae import SparseDictionary
from mmsteer.steering import Attribute, Steering, steer
from mmsteer.types import Kind, Positions, Sample, Site, Tokens, sink_mask, without_sinks
from tests.adapters.checkpoints import save

SITE = Site("text", 1)
TEXTS = ("a cup is there", "describe the table", "the image shows a table there", "a cup", "is the cup there")


@pytest.fixture
def plain(tmp_path):
    return load(save("llama", tmp_path))


@pytest.fixture
def planted(plain):
    """The first word of every prompt is a sink."""
    with torch.no_grad():
        embedding = plain.model.get_input_embeddings().weight
        first = int(plain.tokens(plain.reading(samples()[:1]))[0, 0, 0])
        embedding[first] *= 100 * embedding.norm(dim=1).median() / embedding[first].norm()
    return plain


def samples():
    return [Sample(str(place), f"user {text}") for place, text in enumerate(TEXTS)]


def read(adapter, positions="all", pool="mean", batch=16, **more):
    return record(adapter, samples(), [SITE], positions=Positions(positions), pool=pool, batch=batch, **more)


def tokens_of(adapter):
    """For each sample its states, (tokens, width)."""
    return [record(adapter, [one], [SITE], pool="tokens").values[SITE][0] for one in samples()]


def test_the_unit_is_the_norm_of_usual_tokens(planted):
    norms = [states.norm(dim=-1) for states in tokens_of(planted)]
    usual = torch.cat([one[1:] for one in norms])
    assert all(one[0] > 50 * usual.median() for one in norms)
    found = read(planted).norms[SITE]
    assert found.median == pytest.approx(float(usual.median()), rel=0.006)
    assert found.count == len(usual)
    # What was stored before, several times as large.
    assert float(torch.cat(norms).mean()) > 5 * found.median


@pytest.mark.parametrize("batch", [1, 2])
def test_norms_are_the_same_in_any_batches_and_on_disk(planted, tmp_path, batch):
    whole, parts = read(planted).norms[SITE], read(planted, batch=batch, folder=tmp_path / "a").norms[SITE]
    assert parts.count == whole.count
    assert parts.median == pytest.approx(whole.median, rel=1e-3)
    assert parts.quantile(0.95) == pytest.approx(whole.quantile(0.95), rel=6e-3)


def test_a_sink_enters_no_pool_unless_it_is_asked_for(planted):
    states = tokens_of(planted)
    close = {"atol": 1e-4, "rtol": 1e-4}
    torch.testing.assert_close(read(planted).values[SITE], torch.stack([one[1:].mean(0) for one in states]), **close)
    largest = read(planted, pool="max").values[SITE]
    torch.testing.assert_close(largest, torch.stack([one[1:].amax(0) for one in states]), **close)
    everything = read(planted, "first | all").values[SITE]
    torch.testing.assert_close(everything, torch.stack([one.mean(0) for one in states]), **close)
    alone = read(planted, "first")
    torch.testing.assert_close(alone.values[SITE], torch.stack([one[0] for one in states]), **close)
    assert alone.norms[SITE].median > 50 * read(planted).norms[SITE].median


def test_pooled_samples_do_not_all_point_to_the_first_token(planted):
    first = tokens_of(planted)[0][0]

    def nearest(positions):
        return torch.cosine_similarity(read(planted, positions).values[SITE], first, dim=-1).min()

    assert nearest("first | all") > 0.98
    assert nearest("all") < 0.8


def test_a_model_without_sinks_reads_as_before(plain):
    read_now, as_before = (read(plain, positions).values[SITE] for positions in ("all", "all | first"))
    assert torch.equal(read_now, as_before)


def test_directions_carry_the_unit_and_its_spread(planted):
    many = [Sample(f"{one.id}/{copy}", one.text) for copy in range(5) for one in samples()]
    activations = record(planted, many, [SITE])
    found = sweep(MeanDifference(), activations, [0, 1, 0, 1, 1] * 5, family="x", task="binary", progress=False)
    stats = found.directions["x:yes"].stats[SITE]
    assert stats.residual_norm == activations.norms[SITE].median
    assert stats.norms.low < stats.residual_norm < stats.norms.high < 3 * stats.residual_norm
    assert stats.norms.tokens == activations.norms[SITE].count


def test_a_tenth_is_a_tenth_of_a_usual_token(planted):
    many = [Sample(f"{one.id}/{copy}", one.text) for copy in range(5) for one in samples()]
    found = sweep(
        MeanDifference(),
        record(planted, many, [SITE]),
        [0, 1, 0, 1, 1] * 5,
        family="x",
        task="binary",
        progress=False,
    )
    with steer(planted, Steering((Attribute(found.directions["x:yes"], 0.1),))) as session:
        planted.read(planted.reading(samples()))
    ratios = session.receipt().ratios
    assert ratios.median == pytest.approx(0.1, rel=0.25)
    # The first token hardly moves.
    assert ratios.quantile(0.0) < 0.005
    assert session.receipt().warnings == ()


def test_features_are_pooled_without_sinks_too(planted):
    eye = torch.eye(32)
    dictionary = SparseDictionary(eye, torch.zeros(32), eye, torch.zeros(32), torch.zeros(32), site=SITE)
    dictionary = dictionary.at(SITE, planted.fingerprint)
    found = pooled(planted, dictionary, samples(), positions=Positions("all"), pool="max")
    states = tokens_of(planted)
    torch.testing.assert_close(found.z, torch.stack([one[1:].relu().amax(0) for one in states]), atol=1e-4, rtol=1e-4)
    assert found.used.norm == pytest.approx(read(planted).norms[SITE].median, rel=0.006)


def test_the_rule_by_hand():
    kinds = torch.full((2, 5), int(Kind.PROMPT | Kind.TEXT))
    kinds[0, 0] = int(Kind.PADDING)
    kinds[0, 1] += int(Kind.FIRST)
    kinds[1, 0] += int(Kind.FIRST)
    norms = torch.tensor([[999.0, 21.0, 1.0, 1.0, 50.0], [19.0, 1.0, 1.0, 1.0, 1.0]])
    tokens = Tokens(kinds, torch.arange(5))
    # Both medians are 1, of an even count the lower one; padding counts for nothing.
    found = sink_mask(norms, tokens, Positions("all"))
    assert found[:, 1:].tolist() == [[True, False, False, True], [False] * 4]
    assert not found[1, 0]
    named = sink_mask(norms, tokens, Positions("first | last"))
    assert named[:, 1:].tolist() == [[False, False, False, True], [False] * 4]
    only = torch.tensor([[False, True, False, False, True], [True, True, False, False, False]])
    # Where nothing else is chosen, sinks stay.
    assert without_sinks(only, found).tolist() == only.tolist()
