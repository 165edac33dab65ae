"""Streams of mixed batches."""

from dataclasses import dataclass, field
from itertools import islice
from threading import Event

import pytest
import torch

from mmsteer.errors import DictionaryError
from mmsteer.sae import Held, Shuffled


@dataclass
class Counting:
    """Six chunks of five rows, each row its own number; counts what is read."""

    read: list[int] = field(default_factory=list)
    rows = (5,) * 6
    width = 1
    fingerprint = "numbers"

    def __getitem__(self, index):
        self.read.append(index)
        return torch.arange(5.0)[:, None] + 5 * index


def flat(batches):
    return [value for batch in batches for value in batch]


def numbers(source, start, count):
    return [batch.flatten().tolist() for batch in islice(source.batches(start), count)]


def test_an_epoch_has_every_row_once_and_chunks_are_mixed():
    batches = numbers(Shuffled(Counting(), batch=5, pool=3), 0, 6)
    assert sorted(flat(batches)) == list(range(30))
    assert all(len({int(value) // 5 for value in batch}) > 1 for batch in batches)
    # A pool of three chunks is read whole before the next.
    assert len({int(value) // 5 for value in flat(batches[:3])}) == 3


def test_epochs_and_seeds_differ_and_repeat():
    source = Shuffled(Counting(), batch=5, pool=3)
    assert numbers(source, 0, 6) != numbers(source, 6, 6)
    assert numbers(source, 0, 20) == numbers(Shuffled(Counting(), batch=5, pool=3), 0, 20)
    assert numbers(source, 0, 6) != numbers(Shuffled(Counting(), batch=5, pool=3, seed=1), 0, 6)


@pytest.mark.parametrize("batch", [5, 4])
def test_the_stream_can_be_entered_anywhere(batch):
    source = Shuffled(Counting(), batch=batch, pool=3)
    whole = numbers(source, 0, 25)
    assert all(numbers(source, start, 25 - start) == whole[start:] for start in (1, 3, 6, 17))


def test_what_was_passed_is_not_read():
    chunks = Counting()
    next(Shuffled(chunks, batch=5, pool=3).batches(9))
    assert len(chunks.read) == 3


def test_small_chunks_are_pooled_until_they_fill_a_batch():
    batches = numbers(Shuffled(Counting(), batch=12, pool=1), 0, 2)
    assert len(set(flat(batches))) == 24


def test_refusals():
    with pytest.raises(DictionaryError, match="30 hidden states do not fill a batch of 31"):
        Shuffled(Counting(), batch=31)
    with pytest.raises(DictionaryError, match="1 or more"):
        Shuffled(Counting(), batch=0)
    chunks = Counting()
    chunks.rows = (5, 5, 5, 5, 5, 6)
    with pytest.raises(DictionaryError, match="promised were"):
        list(islice(Shuffled(chunks, batch=5).batches(0), 6))


def test_data_has_a_fingerprint():
    prints = {Held(torch.zeros(4, 2)).fingerprint, Held(torch.ones(4, 2)).fingerprint}
    assert len(prints) == 2
    assert Shuffled(Held(torch.zeros(4, 2)), batch=2).fingerprint.startswith(Held(torch.zeros(4, 2)).fingerprint)


def test_a_pool_is_read_while_the_one_before_is_learned_from():
    class Watched(Counting):
        second = Event()

        def __getitem__(self, index):
            found = super().__getitem__(index)
            if len(self.read) == 4:
                self.second.set()
            return found

    chunks = Watched()
    stream = Shuffled(chunks, batch=5, pool=2, ahead=True).batches(0)
    next(stream)
    assert chunks.second.wait(10)
    stream.close()
    assert numbers(Shuffled(Counting(), batch=5, pool=3, ahead=True), 4, 9) == numbers(
        Shuffled(Counting(), batch=5, pool=3), 4, 9
    )
