"""Where vectors are trained."""

from collections.abc import Sequence
from dataclasses import dataclass

from mmsteer.errors import ProbeError
from mmsteer.record import record
from mmsteer.types import Activations, Adapter, Positions, Sample, Site


@dataclass(frozen=True, eq=False)
class TrainedSites:
    """Where vectors are trained, and the scale of what is there unsteered.

    Attributes:
        adapter: The model.
        states: Hidden states without steering, mean of each sample, at the sites that are trained.
        positions: The tokens to which vectors are added.
    """

    adapter: Adapter
    states: Activations
    positions: Positions

    @property
    def sites(self) -> tuple[Site, ...]:
        """The sites that are trained."""
        return self.states.sites

    def norm(self, site: Site) -> float:
        """The typical norm of the hidden state at a site.

        Args:
            site: The site.
        """
        return self.states.norms[site].median


def measure_sites(adapter: Adapter, samples: Sequence[Sample], sites: str, positions: Positions) -> TrainedSites:
    """Measure what is there unsteered.

    Args:
        adapter: The model.
        samples: Prompts, with outputs where there are any.
        sites: A pattern such as `text.14` or `text.10-14`, of the stack that makes the output.
        positions: The tokens to which vectors will be added.

    Raises:
        ProbeError: A site is of another stack.
        SiteError: The model has no such site.
        PositionsError: The positions select nothing in some sample.
    """
    states = record(adapter, samples, sites, positions=positions)
    strange = [str(site) for site in states.sites if site.stack != adapter.generator]
    if strange:
        raise ProbeError(f"{strange[0]}: vectors are trained in the stack that makes the output, {adapter.generator}")
    return TrainedSites(adapter, states, positions)
