"""`mmsteer sae flow`: a feature through the layers."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmsteer.cli.sae_data import Inputs, method
from mmsteer.cli.sae_tables import Results, check_absent
from mmsteer.errors import DictionaryError

if TYPE_CHECKING:
    from mmsteer.latents.effect_data import EffectData
    from mmsteer.sae import SparseDictionary, Usage
    from mmsteer.types import Site

ANY_FEATURE = "sae:0"
"""Names the meter of features where nothing is to be read."""


@method
def flow(
    inputs: Inputs,
    dictionaries: Annotated[list[str], typer.Argument(help="dictionaries of several sites of one model, or one")],
    feature: Annotated[int | None, typer.Option(min=0, help="its number (default: the one that goes on best)")] = None,
    drawing: Annotated[Path | None, typer.Option(help="a drawing to write: .svg")] = None,
    around: Annotated[int, typer.Option(min=1, help="of one dictionary: layers before and after")] = 1,
    steer: Annotated[
        str | None, typer.Option(help="also steer along it and read this: sae:12; note:C of audio, object:cup of text")
    ] = None,
    n: Annotated[int, typer.Option(min=2, help="prompts that are steered")] = 16,
) -> Results:
    """Follow a feature through the layers by the cosines of decoder rows, and steer along it (Laptev et al. 2025).

    --site says where the feature is (default: where the first dictionary is). Several dictionaries need neither data
    nor model. Of one alone, small dictionaries of the layers around it are trained in a minute on what the model makes.

    [bold]Examples[/]

    mmsteer sae flow layer2 layer3 layer4 --site decoder.3 --feature 12 --drawing flow.svg

    mmsteer sae flow bundled:music --steer note:C
    """
    if drawing is not None:
        check_absent(drawing)
    if len(dictionaries) > 1:
        inputs.refuse(("around",), "is about layers around one dictionary, and several are given; give one")
    if steer is None:
        inputs.refuse(("n",), "is about steering along the feature; give --steer, too")
    from mmsteer.cli.sae_inputs import opened
    from mmsteer.latents.flow_study import steer_flow
    from mmsteer.report.flow import save_flow
    from mmsteer.sae.flow import feature_flow

    found, data = [opened(name) for name in dictionaries], None
    used: dict[Site, Usage] = {}
    if len(found) == 1 or steer or not inputs.in_world:
        found, used, data = _measured(inputs, dictionaries, steer, n)
    place = _place(inputs.site, dictionaries[0], found[0])
    if data is not None and len(found) == 1:
        around_it = _neighbours(inputs, data, place, around)
        found += [one for one, _ in around_it.values()]
        used |= {at: usage for at, (_, usage) in around_it.items()}
    followed = feature_flow(found, place, _lasting(found, place) if feature is None else feature)
    tables: dict[str, object] = {}
    if data is not None and steer is not None:
        rows = steer_flow(data, followed, found, used, steer, items=n, seed=inputs.seed, say=inputs.say)
        tables["Steering at one dose, 0.5 nats"] = rows
    if drawing is not None:
        save_flow(followed, drawing)
    inputs.above = followed.table()
    return tables | {"flow": str(followed.start), "passes": [str(node) for node in sorted(followed.nodes)]}


def _measured(
    inputs: Inputs, dictionaries: list[str], steer: str | None, n: int
) -> "tuple[list[SparseDictionary], dict[Site, Usage], EffectData]":
    """Bound dictionaries, how they are used, and what effects are measured on."""
    from mmsteer.latents.effect_data import GROUND, effect_data
    from mmsteer.latents.rows import halves

    alone = inputs if len(dictionaries) == 1 else replace(inputs, site=None)
    opened = alone.opened(dictionaries, lambda world: world.measured(GROUND, n), rendered=())
    place = _place(inputs.site, dictionaries[0], opened.dictionary)
    reads = next((one for one in opened.dictionaries if one.site == place), opened.dictionary)
    parts = halves(opened.rows, inputs.seed)
    data = effect_data(opened.adapter, reads, steer or ANY_FEATURE, parts, opened.sampling)
    return opened.dictionaries, {one.site: used for one, used in opened.bound if one.site}, data


def _place(site: str | None, name: str, found: "SparseDictionary") -> "Site":
    from mmsteer.types import Site

    if site is None and found.site is None:
        raise DictionaryError(f"{name} names no site; say where the feature is with --site")
    return Site.parse(site or str(found.site))


def _lasting(found: "list[SparseDictionary]", place: "Site") -> int:
    import torch

    from mmsteer.sae.flow import best_matches

    own = [one for one in found if one.site == place]
    others = [one for one in found if one.site != place and one.site and one.site.point == place.point]
    if not (own and others):
        raise DictionaryError(f"no two dictionaries, at {place} and another layer, can be matched; give them both")
    cosines = [best_matches(own[0].decoder, one.decoder)[1][:, 0] for one in others]
    return int(torch.stack(cosines).amin(dim=0).argmax())


def _neighbours(
    inputs: Inputs, data: "EffectData", place: "Site", around: int
) -> "dict[Site, tuple[SparseDictionary, Usage]]":
    from mmsteer.latents.flow_study import small_dictionaries

    near = [
        one
        for one in data.adapter.widths
        if one.stack == place.stack and one.point == place.point and 0 < abs(one.layer - place.layer) <= around
    ]
    if not near:
        raise DictionaryError(f"there is no layer beside {place}; give dictionaries of other sites")
    return small_dictionaries(data.adapter, data.ground, near, say=inputs.say)
