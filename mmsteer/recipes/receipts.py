"""Receipts as plain JSON, and the receipts of a condition's batches as one."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmsteer.steering import Receipt


def receipt_json(receipt: Receipt) -> dict[str, Any]:
    """A receipt as plain JSON.

    Args:
        receipt: The receipt.
    """
    sites = {site: vars(one) for site, one in receipt.sites.items()}
    return {
        "attributes": list(receipt.attributes),
        "calls": receipt.calls,
        "rows": receipt.rows,
        "steps": receipt.steps,
        "tokens": receipt.tokens,
        "ratio": receipt.ratio,
        "sites": sites,
        "compatibility": receipt.compatibility,
    }


def joined_receipt(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The receipts of a condition's batches as one.

    Args:
        parts: At least one receipt.
    """
    sites: dict[str, dict[str, float]] = {}
    for site in parts[0]["sites"]:
        rows = [part["sites"][site] for part in parts if site in part["sites"]]
        moments = sum(row["moments"] for row in rows)
        ratio = sum(row["ratio"] * row["moments"] for row in rows) / moments
        sites[site] = {"ratio": ratio, "peak": max(row["peak"] for row in rows), "moments": moments}
    counts = {key: sum(part[key] for part in parts) for key in ("calls", "rows", "steps", "tokens")}
    ratio = sum(one["ratio"] for one in sites.values()) / len(sites) if sites else None
    same = {key: parts[0][key] for key in ("attributes", "compatibility")}
    return {**same, **counts, "ratio": ratio, "sites": sites}
