"""Rows padded on the right in one forward without a mask: each is steered as it would be alone."""

import pytest
import torch

from mmsteer.errors import PositionsError, SteeringError
from mmsteer.harness.answers import Answers
from mmsteer.steering import Steering, parse_attribute, steer
from mmsteer.types import Call
from tests.conftest import planted
from tests.steering.calling import language

__all__ = ["language"]

ROWS = [[1, 20, 21, 22, 23, 0, 7], [3, 4, 5], [1, 9, 9, 0]]
SPANS = ((2, 7), (3, 3), (1, 4))
PADDED = torch.tensor([row + [0] * (7 - len(row)) for row in ROWS])


def steering(adapter, line):
    return Steering((parse_attribute(line, {"d": planted(adapter, "d", [1])}),))


def logits(adapter, line, ids, call):
    with steer(adapter, steering(adapter, line)) as session, session.call(call), torch.no_grad():
        found = adapter.model(input_ids=ids).logits
    return found, session.receipt()


@pytest.mark.parametrize(
    "line",
    ["d 3 at all", "d 3 at last", "d 3 at generated | last", "d 3 points(0steps:1, 3steps:-1) at all", "d 3 at first"],
)
def test_each_row_is_steered_as_alone(language, line):
    adapter = language
    together, receipt = logits(adapter, line, PADDED, Call(spans=SPANS))
    tokens = 0
    for row, (given, end), found in zip(ROWS, SPANS, together, strict=True):
        alone, its = logits(adapter, line, torch.tensor([row]), Call(prompt=given))
        torch.testing.assert_close(found[:end], alone[0], rtol=1e-5, atol=1e-5)
        tokens += its.tokens
    assert receipt.tokens == tokens
    unsteered = adapter.model(input_ids=PADDED).logits
    assert not torch.equal(together, unsteered)


def test_strength_0_is_bit_identical(language):
    found, _ = logits(language, "d 0 at all", PADDED, Call(spans=SPANS))
    assert torch.equal(found, language.model(input_ids=PADDED).logits)


def test_a_row_in_which_nothing_is_steered_is_refused(language):
    with pytest.raises(PositionsError, match=r"add '\| last'"):
        logits(language, "d 3 at generated", PADDED, Call(spans=SPANS))


def test_rows_are_found_among_the_requests():
    requests = [("a", row[:given], [*row[given:], 5]) for row, (given, _) in zip(ROWS, SPANS, strict=True)]
    assert Answers(requests, 16).spans(PADDED) == SPANS
    cut = Answers([("a", [1, 2, 3, 4], [5, 6])], 3)
    assert cut.spans(torch.tensor([[3, 4, 5, 0]])) == ((2, 3),)
    with pytest.raises(SteeringError, match="none of its requests"):
        cut.spans(torch.tensor([[3, 4, 6, 0]]))


def test_equal_tokens_with_two_prompts_are_parted():
    requests = [("a", [1, 2], [3, 4]), ("b", [1], [2, 3, 4]), ("c", [1, 2], [3, 9]), ("d", [7], [8])]
    assert Answers((), 16).apart(requests) == [[0, 2, 3], [1]]
