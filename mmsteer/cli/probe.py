"""`mmsteer probe`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import typer

from mmsteer.cli.files import check_out
from mmsteer.cli.options import Device, Dtype, Force, Workers, refuse_idle
from mmsteer.errors import DataError

OWN = {
    "--concept": ("--clips", "--text", "--seed"),
    "--contrast": ("--pairs", "--demos", "--images", "--ending", "--seed"),
    "--data": ("--split", "--seed"),
}
"""The sources, and the options that apply to one source and not to all."""


def probe(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="the file of directions to write: .safetensors")],
    data: Annotated[
        Path | None,
        typer.Option(help="your own: JSON lines with `label`, or for each label a folder of clips or images"),
    ] = None,
    concept: Annotated[
        str | None, typer.Option(help="music: note, register, tempo, instrument, chord, mode or texture")
    ] = None,
    contrast: Annotated[
        str | None, typer.Option(help="vision: captions, counterfactual, mentions, answers, masked or no_image")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="a bundled model, a folder, or a Hugging Face name (for --data, which one)")
    ] = None,
    probe: Annotated[str, typer.Option(help="mean-difference, logistic, rfm ...: a file of the folder probes")] = (
        "mean-difference"
    ),
    family: Annotated[
        str | None, typer.Option(help="directions are named FAMILY:LABEL (default: the concept, contrast or file)")
    ] = None,
    split: Annotated[str | None, typer.Option(help="data: only rows of this `split`")] = None,
    clips: Annotated[int | None, typer.Option(min=1, help="concept: clips of each label (usual: 20)")] = None,
    text: Annotated[
        str | None,
        typer.Option(help="concept: under prompts that leave it open (prompt, usual), that state it (stated), or none"),
    ] = None,
    pairs: Annotated[int | None, typer.Option(min=2, help="contrast: pairs of the rendered world (usual: 60)")] = None,
    demos: Annotated[
        Path | None, typer.Option(help="contrast: your own pairs, JSON lines of image, question, value, h_value")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="contrast: the folder with the images of --demos")] = None,
    ending: Annotated[
        Literal["shared", "written"] | None,
        typer.Option(
            help="contrast captions: both captions of a pair made to end alike (usual), or as they are written"
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="of clips or pairs; of data, of the held-out part")] = None,
    sites: Annotated[
        str | None, typer.Option(help="where to read, such as text.8-16 (default: every block of the stack)")
    ] = None,
    positions: Annotated[
        str | None,
        typer.Option(help="which tokens to read (default: all; of text rows the answer, or the prompt's last)"),
    ] = None,
    pool: Annotated[str | None, typer.Option(help="mean, max, last; of a vision tower also tokens")] = None,
    workers: Workers = None,
    device: Device = "cpu",
    dtype: Dtype = "float32",
    force: Force = False,
) -> None:
    """Find directions, and show how well each layer tells their labels apart.

    [bold]Examples[/]

    mmsteer probe --model bundled:text --data style.jsonl --out style.safetensors

    mmsteer probe --concept note --probe rfm --out note.safetensors

    mmsteer probe --contrast counterfactual --out grounded.safetensors
    """
    check_out(out, force, data, demos)
    sources = {"--data": data, "--concept": concept, "--contrast": contrast}
    given = {
        "--clips": clips,
        "--text": text,
        "--pairs": pairs,
        "--demos": demos,
        "--images": images,
        "--ending": ending,
    }
    _check_source(sources, given | {"--split": split}, model)
    if demos is not None:
        refuse_idle(context, ("pairs",), "is about pairs of the rendered world, and --demos brings your own")
    else:
        refuse_idle(context, ("images",), "is the folder with the images of --demos; give that, too")
    from mmsteer.api import load
    from mmsteer.cli.probe_table import show
    from mmsteer.cli.quiet import hush
    from mmsteer.direction_file import save_directions
    from mmsteer.recipes.finding import find
    from mmsteer.recipes.model_workers import model_workers
    from mmsteer.recipes.probe_sources import (
        YES,
        concept_entry,
        contrast_entry,
        family_of,
        of_entry,
        of_rows,
        read_labelled,
    )

    hush()
    here = "cpu" if workers else device
    common = {"probe": probe, "family": family, "sites": sites, "positions": positions, "pool": pool}
    if data is not None:
        rows = read_labelled(data, split)
        common["family"] = family_of(data, family)
        name = str(model)
        adapter = load(name, device=here, dtype=dtype)
        material = of_rows(data, rows, adapter, seed, common)
    else:
        kind = "music" if concept else "vision"
        entry = (
            concept_entry(concept, clips or 20, seed or 0, text or "prompt", common)
            if concept
            else contrast_entry(str(contrast), pairs or 60, seed or 0, demos, images, ending, common)
        )
        name = model or f"bundled:{kind}"
        adapter = load(name, device=here, dtype=dtype)
        material = of_entry(entry, adapter)
    with model_workers(workers, adapter, name, device=device, dtype=dtype) as by:
        found = find(adapter, material.entry, material.data, workers=by, progress=True, judged=True)
    save_directions(out, found.directions.values(), overwrite=force)
    show(found)
    print(f"{out}: {', '.join(found.directions)}")
    if contrast is not None:
        print(f"{', '.join(found.directions)} points to {YES[contrast]}")


def _check_source(sources: Mapping[str, object], given: Mapping[str, object], model: str | None) -> None:
    """Refuse no source or several, and options of another source.

    Raises:
        DataError: They were given.
    """
    chosen = [name for name, value in sources.items() if value is not None]
    if len(chosen) != 1:
        raise DataError(
            "give one of --data (your own rows, for any model), --concept (for a model that makes music) and "
            "--contrast (for one that sees)"
        )
    for option, value in given.items():
        if value is not None and option not in OWN[chosen[0]]:
            whose = next(name for name, options in OWN.items() if option in options)
            raise DataError(f"{option} belongs to {whose}, and does nothing for {chosen[0]}; leave one of them out")
    if chosen == ["--data"] and model is None:
        raise DataError("--data is read by a model: give --model, such as bundled:text")
