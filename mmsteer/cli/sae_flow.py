"""`mmsteer sae flow`: a feature through the layers."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmsteer.cli.sae import Device, Dtype, Model
from mmsteer.cli.sae_data import Cache, Corpus, Given, NewTokens, Rows, Temperature, in_world
from mmsteer.cli.sae_tables import AsJson, Out, Output, Row, Say, check_absent, working
from mmsteer.errors import DictionaryError

if TYPE_CHECKING:
    from mmsteer.latents.wanted_effect import Bench
    from mmsteer.sae import SparseDictionary, Usage
    from mmsteer.sae.flow import Flow
    from mmsteer.types import Site


def flow(
    dictionaries: Annotated[list[str], typer.Argument(help="dictionaries of several sites of one model, or one")],
    feature: Annotated[int | None, typer.Option(min=0, help="its number (default: the one that goes on best)")] = None,
    site: Annotated[str | None, typer.Option(help="where it is, such as decoder.2 (default: of the first)")] = None,
    drawing: Annotated[Path | None, typer.Option(help="a drawing to write: .svg")] = None,
    around: Annotated[int, typer.Option(min=1, help="of one dictionary: layers before and after")] = 1,
    steer: Annotated[
        str | None, typer.Option(help="also steer along it and read this: note:C, object:cup; with --data sae:12")
    ] = None,
    n: Annotated[int, typer.Option(min=2, help="prompts or pictures that are steered")] = 16,
    data: Rows = None,
    corpus: Corpus = None,
    cache: Cache = None,
    tokens: NewTokens = 32,
    temperature: Temperature = None,
    model: Model = None,
    seed: Annotated[int, typer.Option(min=0, help="of the controls")] = 0,
    device: Device = "cpu",
    dtype: Dtype = "float32",
    as_json: AsJson = False,
    out: Out = None,
) -> None:
    """Follow a feature through the layers by the cosines of decoder rows, and steer along it (Laptev et al. 2025).

    Several dictionaries need neither data nor model. Of one alone, small dictionaries of the layers around it are
    trained in a minute on the rendered world.

    [bold]Examples[/]

    mmsteer sae flow layer2 layer3 layer4 --site decoder.3 --feature 12 --drawing flow.svg

    mmsteer sae flow bundled:music --steer note:C
    """
    output = Output(as_json, out)
    if drawing is not None:
        check_absent(drawing)
    from mmsteer.cli.sae_inputs import opened
    from mmsteer.latents.rows import halves, row_bench
    from mmsteer.latents.wanted_effect import bench
    from mmsteer.report.flow import save_flow
    from mmsteer.sae.flow import feature_flow
    from mmsteer.types import Site

    found = [opened(name) for name in dictionaries]
    setting, used = None, {}
    with working("Loading") as say:
        if data is not None:
            own = Given(data, None, corpus, cache, None, tokens, temperature, model, device, dtype, seed).opened(
                dictionaries
            )
            found = [one.dictionary for one in own.bound]
            used = {one.site: one.used for one in own.bound}
            place = Site.parse(site) if site else own.bound[0].site
            read_by = next((one.dictionary for one in own.bound if one.site == place), found[0])
            learned, tested = halves(own.rows, seed)
            n = min(n, len(tested))
            setting = row_bench(own.adapter, read_by, learned, tested, own.sampling)
        elif len(found) == 1 or steer:
            adapter, pairs = in_world(dictionaries, model, device, dtype, site if len(found) == 1 else None)
            found = [one for one, _ in pairs]
            used = {one.site: counted for one, counted in pairs if one.site}
            place = Site.parse(site) if site else _named(dictionaries[0], found[0])
            setting = bench(adapter)
        else:
            place = Site.parse(site) if site else _named(dictionaries[0], found[0])
        if setting is not None and len(found) == 1:
            around_it = _neighbours(setting, place, around, say)
            found += [one for one, _ in around_it.values()]
            used |= {at: usage for at, (_, usage) in around_it.items()}
        followed = feature_flow(found, place, _lasting(found, place) if feature is None else feature)
        tables = (
            {} if setting is None or steer is None else _steered(setting, followed, found, used, steer, n, seed, say)
        )
    if drawing is not None:
        save_flow(followed, drawing)
    if not as_json:
        print(followed.table())
    output.tell(tables, flow=str(followed.start), passes=[str(node) for node in sorted(followed.nodes)])


def _named(name: str, found: "SparseDictionary") -> "Site":
    if found.site is None:
        raise DictionaryError(f"{name} names no site; say where the feature is with --site")
    return found.site


def _lasting(found: "list[SparseDictionary]", place: "Site") -> int:
    import torch

    from mmsteer.sae.flow import best_matches

    own = [one for one in found if one.site == place]
    others = [one for one in found if one.site != place and one.site and one.site.point == place.point]
    if not (own and others):
        raise DictionaryError(f"no two dictionaries, at {place} and another layer, can be matched; give them both")
    cosines = [best_matches(own[0].decoder, one.decoder)[1][:, 0] for one in others]
    return int(torch.stack(cosines).amin(dim=0).argmax())


def _neighbours(setting: "Bench", place: "Site", around: int, say: Say) -> "dict[Site, tuple[SparseDictionary, Usage]]":
    from mmsteer.latents.flow_study import small_dictionaries

    near = [
        one
        for one in setting.adapter.widths
        if one.stack == place.stack and one.point == place.point and 0 < abs(one.layer - place.layer) <= around
    ]
    if not near:
        raise DictionaryError(f"there is no layer beside {place}; give dictionaries of other sites")
    return small_dictionaries(setting.adapter, setting.read, near, say=say)


def _steered(
    setting: "Bench",
    followed: "Flow",
    found: "list[SparseDictionary]",
    used: "dict[Site, Usage]",
    target: str,
    n: int,
    seed: int,
    say: Say,
) -> dict[str, list[Row]]:
    from mmsteer.latents.flow_study import steer_flow

    if target not in setting.meter.names:
        raise DictionaryError(f"--steer {target!r} is not measured here; choose from {', '.join(setting.meter.names)}")
    rows = steer_flow(setting, followed, found, used, target, items=n, seed=seed, say=say)
    return {"Steering at one dose, 0.5 nats": list(rows)}
