"""What adapters of all libraries share: sites as places in a model's code, and what identifies the model."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import nn

from mmsteer.adapters import locate
from mmsteer.adapters.fingerprint import Weights
from mmsteer.types import Port, Site, Sketch, select_sites


class Ported(ABC):
    """Finds sites and modules among the ports of a model, and identifies it by its weights.

    `widths`: every site and the width of its hidden state, in the order in which the model computes them.
    """

    widths: Mapping[Site, int]
    _ports: Mapping[Site, Port]

    @property
    def fingerprint(self) -> str:
        """What identifies its weights, as they are now; those of adapters, such as LoRA, do not count."""
        return self._weights().fingerprint()

    @property
    def sketch(self) -> Sketch:
        """What other weights are compared with these by."""
        return self._weights().sketch()

    @property
    def run_identity(self) -> str:
        """What its outputs depend on: weights as they are held, active adapters, dtype and quantisation."""
        return self._weights().run_identity()

    @abstractmethod
    def _weights(self) -> Weights:
        """The weights, as transformers' model of the same checkpoint holds them."""

    def select(self, pattern: str) -> tuple[Site, ...]:
        """The sites that a pattern names, of any point, in the order in which the model computes them.

        Args:
            pattern: Comma-separated terms such as `text.8-16`, `decoder.*.mlp` or `text.10-14.head.*`.

        Raises:
            SiteError: The pattern cannot be read, or names a site that the model does not have.
        """
        return select_sites(pattern, self.widths)

    def port(self, site: Site) -> Port:
        """Where in the model's code the hidden state at a site passes."""
        return self._ports[site]

    def module(self, site: Site) -> nn.Module:
        """The module that makes the hidden state at a site, or takes it."""
        return self.port(site).module

    def writer(self, site: Site) -> nn.Linear:
        """The linear layer whose output is the hidden state at an `mlp` or `attention` site.

        Raises:
            AdapterError: The site is a whole block, or a norm stands between it and the last linear layer.
        """
        return locate.writer(self.module(site), site)
