"""Receipts as plain JSON, and the receipts of a condition's batches as one."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from mmsteer.steering import Receipt, SiteReceipt, strong
from mmsteer.types import LogHistogram

_QUANTILES = {"low": 0.05, "median": 0.5, "high": 0.95}


def receipt_json(receipt: Receipt) -> dict[str, Any]:
    """A receipt as plain JSON; the ratios of each site as a histogram, which those of other batches are added to."""
    return {
        "attributes": list(receipt.attributes),
        "calls": receipt.calls,
        "rows": receipt.rows,
        "steps": receipt.steps,
        "tokens": receipt.tokens,
        "sites": {site: _site(one) for site, one in receipt.sites.items()},
        "gates": {site: asdict(one) for site, one in receipt.gates.items()},
        "totals": [asdict(one) for one in receipt.totals],
        "stale": list(receipt.stale),
        "compatibility": receipt.compatibility,
    }


def _site(one: SiteReceipt) -> dict[str, Any]:
    ratios = {str(place): count for place, count in one.ratios.counts.items()}
    return {"ratio": one.ratio, "peak": one.peak, "moments": one.moments, "sampled": one.sampled, "ratios": ratios}


def joined_receipt(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The receipts of a condition's batches as one, with quantiles in place of histograms."""
    rows = {site: _of_site(parts, "sites", site) for site in _names(parts, "sites")}
    ratios = {site: sum(map(_ratios, some), LogHistogram({})) for site, some in rows.items()}
    sites = {site: _joined(some) | _quantiles(ratios[site]) for site, some in rows.items()}
    counts = {key: sum(part[key] for part in parts) for key in ("calls", "rows", "steps", "tokens")}
    stale = dict.fromkeys(line for part in parts for line in part["stale"])
    return {
        "attributes": parts[0]["attributes"],
        "compatibility": parts[0]["compatibility"],
        **counts,
        "ratio": sum(one["ratio"] for one in sites.values()) / len(sites) if sites else None,
        **_quantiles(sum(ratios.values(), LogHistogram({}))),
        "sampled": any(one["sampled"] for one in sites.values()),
        "sites": sites,
        "gates": {site: _passed(_of_site(parts, "gates", site)) for site in _names(parts, "gates")},
        "totals": list({(one["attribute"], one["last"]): one for part in parts for one in part["totals"]}.values()),
        "warnings": [*strong(ratios), *stale],
    }


def _names(parts: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    return list(dict.fromkeys(name for part in parts for name in part[key]))


def _of_site(parts: Sequence[Mapping[str, Any]], key: str, site: str) -> list[dict[str, Any]]:
    return [part[key][site] for part in parts if site in part[key]]


def _ratios(row: Mapping[str, Any]) -> LogHistogram:
    return LogHistogram({int(place): count for place, count in row["ratios"].items()})


def _joined(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    tokens = [_ratios(row).count for row in rows]
    return {
        "ratio": sum(row["ratio"] * count for row, count in zip(rows, tokens, strict=True)) / sum(tokens),
        "peak": max(row["peak"] for row in rows),
        "moments": sum(row["moments"] for row in rows),
        "sampled": any(row["sampled"] for row in rows),
    }


def _passed(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    return {key: sum(row[key] for row in rows) for key in ("asked", "passed")}


def _quantiles(ratios: LogHistogram) -> dict[str, float | None]:
    return {name: ratios.quantile(share) if ratios.counts else None for name, share in _QUANTILES.items()}
