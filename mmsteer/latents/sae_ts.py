"""SAE-TS: effects of many vectors measured, a vector made for one of them, and tested beside others."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from mmsteer.errors import ProbeError
from mmsteer.latents.effect_data import DOSED, EffectData
from mmsteer.latents.effect_rollouts import EqualDose, measure_effects
from mmsteer.latents.effects import EffectModel, StateStatistics, fit_effects, probing_vectors
from mmsteer.latents.token_states import selected_states
from mmsteer.sae import SparseDictionary
from mmsteer.steering import Steering
from mmsteer.types import Direction


@dataclass(frozen=True, eq=False)
class Wanted:
    """What was made for a target.

    `rows`: each vector on other items: its effect there and what the model predicts.
    """

    model: EffectModel
    rows: tuple[Mapping[str, object], ...]
    direction: Direction


def run_sae_ts(
    data: EffectData,
    dictionary: SparseDictionary,
    features: Sequence[int],
    target: str,
    *,
    random: int = 64,
    items: int = 2,
    tested: int = 24,
    kl: float = 0.5,
    folder: Path | None = None,
    seed: int = 0,
    raw: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Wanted:
    """Measure decoder rows and random vectors at one dose, make the vector for an effect, and test it on other items.

    Beside it stand the best decoder row by measurement, a random decoder row and a random vector, at the same dose.

    Args:
        data: What effects are measured on.
        dictionary: The dictionary.
        features: Whose rows.
        target: What is wanted, such as `note:C`.
        random: Random vectors.
        items: Prompts that every vector is measured on.
        tested: Others to test on.
        kl: The dose, in nats.
        folder: Where measurements are kept; one that was stopped goes on.
        seed: Of the random vectors.
        raw: Fit effects in their own units, as published.
        say: Called with the progress, in words.

    Raises:
        ProbeError: No vector moves the target, or too little was measured.

    Source: Chalnev, Siu and Conmy 2024, arXiv:2411.02193.
    """
    names, adapter = data.meter.names, data.adapter
    site = dictionary.located(adapter)
    ground = StateStatistics(site, adapter.fingerprint, torch.cat(selected_states(adapter, data.ground, site)))
    dose = EqualDose(adapter, data.ground[:DOSED], kl)
    vectors = probing_vectors(ground, dictionary, features, random, seed)
    kept = None if folder is None else folder / "measured"
    effects = measure_effects(data.rollouts(data.learned[:items]), vectors, dose, folder=kept, say=say)
    known = _varying(effects.values)
    if names.index(target) not in known:
        raise ProbeError(
            f"none of {len(vectors)} vectors changes {target} on {items} items; give more items, vectors or nats"
        )
    model = fit_effects(
        torch.stack([one.vectors[site] for one in vectors]),
        effects.values[:, known],
        [names[at] for at in known],
        raw=raw,
    )
    column = names.index(target)
    best = int(effects.values[: len(features), column].nan_to_num(-torch.inf).argmax())
    wish = model.direction(ground, {target: 1.0}, f"sae-ts:{target}")
    candidates = {
        "SAE-TS": wish,
        "SAE-TS, common effect left in": model.direction(ground, {target: 1.0}, f"sae-ts-plain:{target}", common=0),
        "best decoder row": vectors[best],
        "random decoder row": vectors[(best + 1) % len(features)],
        "random vector": probing_vectors(ground, dictionary, [], 1, seed + 1)[0],
    }
    doses = {name: dose(one) for name, one in candidates.items()}
    change = data.changes(data.test[:tested], target)
    predicted = model.predict(torch.stack([one.vectors[site] for one in candidates.values()]))
    expected = predicted[:, model.names.index(target)].tolist()
    rows = (
        {"vector": name, "strength": float(one.strength), "change": change(Steering((one,))), "predicted": value}
        for (name, one), value in zip(doses.items(), expected, strict=True)
    )
    return Wanted(model, tuple(rows), wish)


def _varying(effects: torch.Tensor) -> list[int]:
    """Outputs that some vector moves; the others cannot be fitted."""
    spread = effects.nan_to_num(0.0).std(dim=0)
    return torch.nonzero(spread > 0).flatten().tolist()
