"""Where a feature comes from and what becomes of it: features of neighbouring sites matched by their decoder rows.

Needs the weights of dictionaries alone. The residual stream carries directions from layer to layer, so a feature and
its continuation point the same way; what a layer's attention or MLP writes enters the stream as it is. The dictionaries
must have been trained from different seeds: what is left of a common start matches by itself.

Source: Laptev et al. 2025, arXiv:2502.03032.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from mmsteer.errors import DictionaryError
from mmsteer.sae.dictionary import SparseDictionary
from mmsteer.types import Site

RESIDUAL, MODULE = 0.5, 0.15
"""Least cosines of a link along the residual stream, and of one from an attention or MLP output, as in the paper."""


@dataclass(frozen=True, order=True)
class Node:
    """A feature of the dictionary at a site."""

    site: Site
    feature: int

    def __str__(self) -> str:
        return f"{self.site}:{self.feature}"


@dataclass(frozen=True)
class Link:
    """Two features that point the same way, the earlier one first.

    `source`: in the layer before, or at the attention or MLP output of the same layer.
    """

    source: Node
    target: Node
    score: float


@dataclass(frozen=True)
class Flow:
    """A feature through the layers.

    `nodes`: every feature of the flow, with the cosine by which it was found; 1 for the start.
    `origins`: for each feature of the residual stream that has a dictionary before it, where it comes from; see
    `origin`.
    """

    start: Node
    nodes: Mapping[Node, float]
    links: tuple[Link, ...]
    origins: Mapping[Node, str]

    @property
    def stream(self) -> tuple[Node, ...]:
        """The features in the residual stream, first layer first."""
        return tuple(sorted(node for node in self.nodes if node.site.point == "block"))

    def table(self) -> str:
        """The flow as lines of text, first layer first."""
        lines = []
        for node in sorted(self.nodes):
            found = "followed" if node == self.start else f"cosine {self.nodes[node]:.2f}"
            lines.append(f"{node!s:<24} {found:<12} {self.origins.get(node, '')}".rstrip())
        return "\n".join(lines)


@torch.no_grad()
def best_matches(rows: Tensor, others: Tensor, k: int = 1) -> tuple[Tensor, Tensor]:
    """For each row the others that point most nearly the same way.

    Args:
        rows: Decoder rows or other directions, (n, width) of any length.
        others: What they are matched with, (m, width).
        k: Matches of each row.

    Returns:
        Which others, (n, k), and their cosines, (n, k), largest first; below zero they match nothing.

    Raises:
        DictionaryError: The widths differ, or there are fewer than k others.
    """
    if rows.shape[-1] != others.shape[-1] or not 0 < k <= len(others):
        raise DictionaryError(
            f"{k} matches of rows of width {rows.shape[-1]} were asked for among {len(others)} of width "
            f"{others.shape[-1]}; widths must agree, and matches be 1 to {len(others)}"
        )
    cosines = functional.normalize(rows.float(), dim=-1) @ functional.normalize(others.float(), dim=-1).T
    found = cosines.topk(k, dim=-1)
    return found.indices, found.values


def origin(residual: float, attention: float | None, mlp: float | None) -> str:
    """Where a feature of the residual stream comes from, by its best cosines with what could have made it.

    Args:
        residual: With the layer before.
        attention: With the attention output of its layer; None without a dictionary there.
        mlp: With the MLP output of its layer; None without a dictionary there.

    Returns:
        `translated` from the layer before, `processed` there by attention or MLP, `newborn` in them, or `unexplained`.
    """
    made = max(attention or 0.0, mlp or 0.0) >= MODULE
    if residual >= RESIDUAL:
        return "processed" if made else "translated"
    return "newborn" if made else "unexplained"


def feature_flow(dictionaries: Iterable[SparseDictionary], site: Site, feature: int) -> Flow:
    """Follow a feature backwards and forwards through the layers for which there are dictionaries.

    Dictionaries of whole blocks are the residual stream; those at `attention` and `mlp` say what a layer added to it.
    A branch ends where the cosine along the stream falls below 0.5; attention and MLP outputs join above 0.15.

    `dictionaries`: one a site, that know their sites, on one model and in one stack.

    Raises:
        DictionaryError: There is no dictionary at the site or no such feature there, a dictionary names no site, two
            have the same, or they are of several models or stacks.

    Source: Laptev et al. 2025, arXiv:2502.03032, sections 3 and 4; top-1 matching.
    """
    atlas = _Atlas(dictionaries)
    start = atlas.node(site, feature)
    earlier, later = atlas.backward(start), atlas.forward(start)
    nodes = {start: 1.0} | {link.source: link.score for link in earlier} | {link.target: link.score for link in later}
    origins = {node: found for node in nodes if (found := atlas.origin(node)) is not None}
    added = [link for node in nodes for link in atlas.added(node).values() if link.score >= MODULE]
    nodes |= {link.source: link.score for link in added}
    return Flow(start, nodes, (*earlier, *later, *added), origins)


class _Atlas:
    """Dictionaries by site."""

    def __init__(self, dictionaries: Iterable[SparseDictionary]) -> None:
        self._by_site: dict[Site, SparseDictionary] = {}
        models: set[str] = set()
        for one in dictionaries:
            if one.site is None:
                raise DictionaryError("a dictionary names no site; say which with dictionary.at(Site(...))")
            if one.site in self._by_site:
                raise DictionaryError(f"two dictionaries are at {one.site}; a flow takes one for each site")
            self._by_site[one.site] = one
            models |= {one.model} if one.model else set()
        stacks = {site.stack for site in self._by_site}
        if len(models) > 1 or len(stacks) > 1:
            raise DictionaryError(
                f"a flow stays in one stack of one model; these are of stacks {sorted(stacks)}, models {sorted(models)}"
            )

    def node(self, site: Site, feature: int) -> Node:
        """A feature of the stream, once it is sure that it is there.

        Raises:
            DictionaryError: It is not.
        """
        if site not in self._stream:
            blocks = ", ".join(map(str, sorted(self._stream))) or "none"
            raise DictionaryError(f"no dictionary of a whole block is at {site}; choose from {blocks}")
        self._by_site[site].direction(feature)
        return Node(site, feature)

    def backward(self, node: Node) -> list[Link]:
        """Links down the stream, the last layer's first."""
        found: list[Link] = []
        while (link := self._before(node)) is not None and link.score >= RESIDUAL:
            found.append(link)
            node = link.source
        return found

    def forward(self, node: Node) -> list[Link]:
        """Links up the stream, the first layer's first."""
        found: list[Link] = []
        while (after := min((site for site in self._stream if site.layer > node.site.layer), default=None)) is not None:
            match, score = self._best(node, after)
            if score < RESIDUAL:
                break
            found.append(Link(node, match, score))
            node = match
        return found

    def added(self, node: Node) -> dict[str, Link]:
        """The best link from each output of a feature's own layer that has a dictionary, whatever its cosine."""
        sites = {point: Site(node.site.stack, node.site.layer, point) for point in ("attention", "mlp")}
        return {point: self._link(site, node) for point, site in sites.items() if site in self._by_site}

    def origin(self, node: Node) -> str | None:
        """Where a feature comes from; None without a dictionary before it."""
        before = self._before(node)
        scores = {point: link.score for point, link in self.added(node).items()}
        return None if before is None else origin(before.score, scores.get("attention"), scores.get("mlp"))

    @property
    def _stream(self) -> list[Site]:
        return [site for site in self._by_site if site.point == "block"]

    def _before(self, node: Node) -> Link | None:
        site = max((site for site in self._stream if site.layer < node.site.layer), default=None)
        return None if site is None else self._link(site, node)

    def _link(self, site: Site, target: Node) -> Link:
        source, score = self._best(target, site)
        return Link(source, target, score)

    def _best(self, node: Node, site: Site) -> tuple[Node, float]:
        row = self._by_site[node.site].direction(node.feature)
        which, cosine = best_matches(row[None], self._by_site[site].decoder)
        return Node(site, int(which[0, 0])), float(cosine[0, 0])
