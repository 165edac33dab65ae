"""AxBench: how well concepts are found and how well they steer, for finders of every kind beside prompting and LoRA.

Source: Wu et al. 2025, AxBench, arXiv:2501.17148.
"""

from mmsteer.axbench.bench import Settings, run
from mmsteer.axbench.concepts import Concept, Example, read_concepts
from mmsteer.axbench.judges import EndpointRater, OfflineRater, Rater, Rating, Reader
from mmsteer.axbench.methods import METHODS
from mmsteer.axbench.results import Results, summarise

__all__ = [
    "METHODS",
    "Concept",
    "EndpointRater",
    "Example",
    "OfflineRater",
    "Rater",
    "Rating",
    "Reader",
    "Results",
    "Settings",
    "read_concepts",
    "run",
    "summarise",
]
