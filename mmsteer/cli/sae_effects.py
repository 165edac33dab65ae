"""`mmsteer sae effects`: a vector made for a measured effect."""

from pathlib import Path
from typing import Annotated, Any

import typer

from mmsteer.cli.sae import Dictionary
from mmsteer.cli.sae_data import Inputs, method
from mmsteer.cli.sae_tables import Results, check_absent


@method
def effects(
    inputs: Inputs,
    dictionary: Dictionary,
    target: Annotated[
        str, typer.Option(help="what is wanted: sae:12; of audio note:C, register or tempo; of text object:cup")
    ],
    rows: Annotated[int, typer.Option(min=1, help="decoder rows whose effect is measured: the most active ones")] = 32,
    random: Annotated[int, typer.Option(min=1, help="random vectors beside them")] = 32,
    items: Annotated[int, typer.Option(min=1, help="prompts for each vector")] = 2,
    test: Annotated[int, typer.Option(min=2, help="others to test on")] = 24,
    kl: Annotated[float, typer.Option(help="dose of every vector, in nats")] = 0.5,
    folder: Annotated[Path | None, typer.Option(help="keeps measurements; the same command goes on")] = None,
    vector: Annotated[Path | None, typer.Option(help="a .safetensors file for the vector, to steer with")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="fit effects in their own units, as published")] = False,
) -> Results:
    """Make a vector for a wanted effect from the measured effects of many (SAE-TS, Chalnev et al. 2024).

    Every decoder row and random vector is steered at one dose and its outputs are read: notes and register of clips,
    objects that captions mention, or the dictionary's own features. A linear model then predicts which vector does most
    of what is wanted. It is tested on other prompts, beside the best and a random decoder row.

    [bold]Examples[/]

    mmsteer sae effects bundled:music --target note:C --folder runs/effects

    mmsteer sae effects bundled:vision --target object:cup --items 8
    """
    if vector is not None:
        check_absent(vector)
    from mmsteer.direction_file import save_directions
    from mmsteer.latents.effect_data import GROUND, effect_data
    from mmsteer.latents.rows import halves
    from mmsteer.latents.sae_ts import run_sae_ts

    opened = inputs.opened([dictionary], lambda world: world.measured(max(items, GROUND), test))
    found = opened.dictionary
    data = effect_data(opened.adapter, found, target, halves(opened.rows, inputs.seed), opened.sampling)
    features = opened.used.density.topk(min(rows, found.features)).indices.tolist()
    options: dict[str, Any] = {"random": random, "items": items, "tested": min(test, len(data.test)), "kl": kl}
    options |= {"folder": folder, "seed": inputs.seed, "raw": raw, "say": inputs.say}
    result = run_sae_ts(data, found, features, target, **options)
    if vector is not None:
        save_directions(vector, [result.direction])
    return {
        f"Effect on {target}, {options['tested']} other items at {kl:g} nats": result.rows,
        "vectors": result.model.vectors,
        "ridge": result.model.ridge,
        "r2_on_vectors_left_out": float(result.model.r2[result.model.names.index(target)]),
    }
