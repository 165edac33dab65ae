"""Processes that train together, of which one fails or dies, and their devices."""

import pytest
import torch
import torch.distributed as dist

from mmsteer import ranks
from mmsteer.errors import EndedElsewhere, RanksError
from mmsteer.ranks import Ranks


@pytest.fixture
def two():
    found = Ranks()
    found.count = 2
    return found


@pytest.fixture
def died(monkeypatch):
    """What the other process of two was asked since it died."""
    asked = []

    def lost(_, given):
        asked.append(given)
        raise RuntimeError("Connection closed by peer")

    monkeypatch.setattr(dist, "all_gather_object", lost)
    return asked


def test_a_group_that_has_lost_one_is_not_asked_again(two, died):
    with (
        pytest.raises(RanksError, match="process 0 of 2 cannot reach the others"),
        two.fail_together(),
        two.fail_together(),
    ):
        two.all_gather("mine")
    assert died == [("mine", None)]


def test_an_error_is_seen_although_nobody_is_left_to_end(two, died):
    with pytest.raises(ValueError, match="my own error"), two.fail_together(), two.fail_together():
        raise ValueError("my own error")
    assert died == [(None, "ValueError: my own error")]


def test_of_two_that_fail_the_first_is_to_blame(two, monkeypatch):
    def both(found, given):
        found[:] = (None, "OSError: earlier"), given

    monkeypatch.setattr(dist, "all_gather_object", both)
    two.number = 1
    with pytest.raises(EndedElsewhere, match="process 0 of 2 failed: OSError: earlier"), two.fail_together():
        raise ValueError("later")


@pytest.mark.parametrize(
    ("device", "cards", "own"), [("cpu", 2, "cpu"), ("auto", 0, "cpu"), ("auto", 2, "cuda:1"), ("cuda", 2, "cuda:1")]
)
def test_each_process_has_a_device(monkeypatch, device, cards, own):
    of_torchrun(monkeypatch, 1, cards)
    assert ranks._own_device(device) == own


@pytest.mark.parametrize(("number", "error"), [(0, RanksError), (1, EndedElsewhere)])
@pytest.mark.parametrize("cards", [0, 1])
def test_one_process_says_that_there_are_too_few_cards(monkeypatch, number, error, cards):
    of_torchrun(monkeypatch, number, cards)
    with pytest.raises(RanksError, match=f"2 processes and {cards} graphics cards here; .* --device cpu") as refused:
        ranks._own_device("cuda")
    assert type(refused.value) is error


def of_torchrun(monkeypatch, number, cards):
    monkeypatch.setenv("LOCAL_RANK", str(number))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cards)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cards > 0)
