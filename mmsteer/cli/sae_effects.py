"""`mmsteer sae effects`: a vector made for a measured effect."""

from pathlib import Path
from typing import Annotated

import typer

from mmsteer.cli.options import check_sources
from mmsteer.cli.sae import Device, Dictionary, Dtype, Model, Where
from mmsteer.cli.sae_data import Cache, Corpus, Given, NewTokens, Rows, Temperature, in_world
from mmsteer.cli.sae_tables import AsJson, Out, Output, check_absent, working


def effects(
    context: typer.Context,
    dictionary: Dictionary,
    target: Annotated[
        str, typer.Option(help="what is wanted: note:C to note:B, register; object:cup; with --data sae:12")
    ],
    rows: Annotated[int, typer.Option(min=1, help="decoder rows whose effect is measured: the most active ones")] = 32,
    random: Annotated[int, typer.Option(min=1, help="random vectors beside them")] = 32,
    items: Annotated[int, typer.Option(min=1, help="prompts or pictures for each vector")] = 2,
    test: Annotated[int, typer.Option(min=2, help="others to test on")] = 24,
    kl: Annotated[float, typer.Option(help="dose of every vector, in nats")] = 0.5,
    folder: Annotated[Path | None, typer.Option(help="keeps measurements; the same command goes on")] = None,
    vector: Annotated[Path | None, typer.Option(help="a .safetensors file for the vector, to steer with")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="fit effects in their own units, as published")] = False,
    data: Rows = None,
    corpus: Corpus = None,
    cache: Cache = None,
    site: Where = None,
    tokens: NewTokens = 32,
    temperature: Temperature = None,
    model: Model = None,
    seed: Annotated[int, typer.Option(min=0, help="of the random vectors")] = 0,
    device: Device = "cpu",
    dtype: Dtype = "float32",
    as_json: AsJson = False,
    out: Out = None,
) -> None:
    """Make a vector for a wanted effect from the measured effects of many (SAE-TS, Chalnev et al. 2024).

    Every decoder row and random vector is steered at one dose and its outputs are read: notes and register of clips,
    objects that captions mention. A linear model then says which vector does most of what is wanted. It is tested on
    other prompts, beside the best and a random decoder row.

    [bold]Examples[/]

    mmsteer sae effects bundled:music --target note:C --folder runs/effects

    mmsteer sae effects bundled:vision --target object:cup --items 8
    """
    check_sources(context, data, ())
    output = Output(as_json, out)
    if vector is not None:
        check_absent(vector)
    from mmsteer.direction_file import save_directions
    from mmsteer.latents.rows import halves, row_bench
    from mmsteer.latents.wanted_effect import bench, run_sae_ts

    with working("Loading"):
        if data is not None:
            own = Given(data, None, corpus, cache, site, tokens, temperature, model, device, dtype, seed).opened(
                [dictionary]
            )
            found, used = own.bound[0].dictionary, own.bound[0].used
            learned, tested = halves(own.rows, seed)
            items, test = min(items, len(learned)), min(test, len(tested))
            setting = row_bench(own.adapter, found, learned, tested, own.sampling)
        else:
            adapter, [(found, used)] = in_world([dictionary], model, device, dtype, site)
            setting = bench(adapter)
    features = used.density.topk(min(rows, found.features)).indices.tolist()
    result = run_sae_ts(
        setting,
        found,
        features,
        target,
        random=random,
        items=items,
        tested=test,
        kl=kl,
        folder=folder,
        seed=seed,
        raw=raw,
    )
    if vector is not None:
        save_directions(vector, [result.direction])
    place = result.model.names.index(target)
    output.tell(
        {f"Effect on {target}, {test} other items at {kl:g} nats": result.rows},
        vectors=result.model.vectors,
        ridge=result.model.ridge,
        r2_on_vectors_left_out=float(result.model.r2[place]),
    )
