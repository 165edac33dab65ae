"""A method beside controls that are searched as hard: the best of each on the same prompts, tested on others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from mmsteer.errors import DictionaryError
from mmsteer.latents.side_effects import Comparison, compare
from mmsteer.latents.trials import Outcomes, Trials
from mmsteer.steering import Steering
from mmsteer.types import Adapter


@dataclass(frozen=True, eq=False)
class EqualSearch:
    """What was chosen of each family, and how that does on prompts that chose nothing.

    Attributes:
        chosen: Place of the best steering of each family.
        validation: Mean validation reward of every steering; None where nothing could be judged.
        test: Unsteered and the best of each family, on the test and on unrelated prompts.
    """

    chosen: Mapping[str, int]
    validation: Mapping[str, tuple[float | None, ...]]
    test: Comparison


def search_equally(
    adapter: Adapter, families: Mapping[str, Sequence[Steering]], validation: Trials, test: Sequence[Trials]
) -> EqualSearch:
    """Take the steering of each family with the largest validation reward, and test these.

    `families`: steerings of the method and of each control by name, as many of each: features or directions that are
    drawn, at the same strengths.

    Raises:
        DictionaryError: Families differ in size, or are empty.
    """
    if len({len(some) for some in families.values()}) != 1 or not all(families.values()):
        sizes = ", ".join(f"{name} {len(some)}" for name, some in families.items())
        raise DictionaryError(f"families are searched as hard as one another; got {sizes}: give each as many steerings")
    tried = validation.run_each(adapter, [one for some in families.values() for one in some])
    scores = {name: tuple(_mean(tried.pop(0)) for _ in some) for name, some in families.items()}
    chosen = {name: _best(some) for name, some in scores.items()}
    best = {name: families[name][at] for name, at in chosen.items()}
    return EqualSearch(chosen, scores, compare(adapter, test, best))


def _mean(outcomes: Outcomes) -> float | None:
    _, rewards = outcomes.scored()
    return float(rewards.mean()) if len(rewards) else None


def _best(scores: Sequence[float | None]) -> int:
    return int(torch.tensor([-torch.inf if one is None else one for one in scores]).argmax())
