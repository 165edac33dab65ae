"""Receipts of batches as one."""

import pytest

from mmsteer.recipes.receipts import joined_receipt, receipt_json
from mmsteer.steering import GateReceipt, Receipt, SiteReceipt, Total
from mmsteer.types import LogHistogram


def receipt(ratio, tokens, passed, *, sampled=False, stale=()):
    """A site whose tokens all have about the same ratio, 2^(bin / 128)."""
    site = SiteReceipt(ratio, 2 * ratio, 3, LogHistogram({round(ratio): tokens}), 5.0, sampled)
    gates = {"text.1": GateReceipt(tokens, passed)}
    totals = (Total("d 0.1", 4, "text.1", 0.3),)
    return Receipt(("d 0.1",), {"text.1": site}, 1, 2, 3, tokens, gates, totals=totals, stale=stale)


def test_gates_ratios_and_warnings_of_batches_are_joined():
    parts = [
        receipt(0.0, 30, 7),
        receipt(-128.0, 10, 1, sampled=True, stale=("old",)),
        Receipt(("d 0.1",), {}, 1, 2, 3),
    ]
    found = joined_receipt([receipt_json(part) for part in parts])
    assert found["gates"] == {"text.1": {"asked": 40, "passed": 8}}
    assert (found["calls"], found["rows"], found["tokens"]) == (3, 6, 40)
    # Of 40 tokens 10 have a ratio of about 1/2, and 30 of about 1.
    assert found["median"] == found["sites"]["text.1"]["median"] == pytest.approx(1, rel=0.006)
    assert found["low"] == pytest.approx(0.5, rel=0.006)
    assert found["ratio"] == pytest.approx(-32)  # weighed by tokens
    assert found["sampled"]
    assert found["totals"] == [{"attribute": "d 0.1", "sites": 4, "last": "text.1", "ratio": 0.3}]
    assert [warning.split()[0] for warning in found["warnings"]] == ["half", "old"]
    assert "ratios" not in found["sites"]["text.1"]


def test_nothing_applied():
    found = joined_receipt([receipt_json(Receipt(()))])
    assert (found["ratio"], found["median"], found["sites"], found["gates"], found["warnings"]) == (
        None,
        None,
        {},
        {},
        [],
    )
