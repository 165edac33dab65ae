"""Sites of a model as the places in its code where their states pass: what adapters of all libraries share."""

from collections.abc import Mapping

from torch import nn

from mmsteer.adapters import locate
from mmsteer.types import Port, Site, select_sites


class Ported:
    """Finds sites and modules among the ports of a model.

    `widths`: every site and the width of its hidden state, in the order in which the model computes them.
    """

    widths: Mapping[Site, int]
    _ports: Mapping[Site, Port]

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
