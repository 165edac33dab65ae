"""Hidden states for dictionaries, from a store and from a model."""

from itertools import islice

import pytest
import torch

from mmsteer.errors import StoreError
from mmsteer.record import record
from mmsteer.sae import Shuffled, TopK, Training, loss_recovered, train_dictionary
from mmsteer.store import ActivationStore
from mmsteer.streams import ReadStates, StoredStates
from mmsteer.types import Positions
from tests.test_record import SITE, samples


def row_set(states):
    return {tuple(row.tolist()) for row in states}


@pytest.mark.parametrize(("pool", "each"), [("mean", 1), ("windows(0.2s)", 3)])
def test_a_store_gives_all_it_has(musicgen, tmp_path, pool, each):
    found = record(musicgen, samples(5, 0.36), [SITE], pool=pool, folder=tmp_path, batch=2).values[SITE]
    chunks = StoredStates(ActivationStore(tmp_path), SITE, samples=2)
    assert chunks.rows == [2 * each, 2 * each, each]
    assert chunks.width == 32
    assert torch.equal(torch.cat([chunks[index] for index in range(3)]), found.reshape(-1, 32))


def test_a_padded_store_is_refused(musicgen, tmp_path):
    record(musicgen, samples(1), [SITE], pool="tokens", folder=tmp_path)
    with pytest.raises(StoreError, match="zeros for tokens that were not chosen"):
        StoredStates(ActivationStore(tmp_path), SITE)


def test_a_model_gives_the_chosen_tokens(musicgen):
    clips = samples(3, 0.4)
    chunks = ReadStates(musicgen, clips, SITE, Positions("0.1..0.3s"), tokens=10, batch=2)
    assert chunks.rows == [20, 10]
    tokens = record(musicgen, clips[:2], [SITE], pool="tokens").values[SITE]
    assert row_set(chunks[0]) == row_set(tokens[:, 5:15].flatten(0, 1))
    fewer = ReadStates(musicgen, clips, SITE, Positions("0.1..0.3s"), tokens=4, batch=2)
    assert row_set(fewer[0]) < row_set(chunks[0])
    assert torch.equal(fewer[0], fewer[0])
    assert fewer.fingerprint != chunks.fingerprint
    assert musicgen.run_identity in chunks.fingerprint
    with pytest.raises(StoreError, match=r"'clip-0' has 10 tokens at '0\.1\.\.0\.3s'; 11 cannot be drawn"):
        ReadStates(musicgen, clips, SITE, Positions("0.1..0.3s"), tokens=11)[0]


def test_a_dictionary_of_a_model_from_end_to_end(musicgen):
    clips = samples(6, 0.4)
    source = Shuffled(ReadStates(musicgen, clips, SITE, tokens=20, batch=6), batch=30)
    assert all(batch.shape == (30, 32) for batch in islice(source.batches(0), 3))
    training = Training(64, 40, rate=1e-2, warmup=5, scale_batches=4)
    found = train_dictionary(source, TopK(8), training, site=SITE, model=musicgen.fingerprint)
    assert loss_recovered(musicgen, found, clips).share > 0.5
