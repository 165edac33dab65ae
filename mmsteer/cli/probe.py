"""`mmsteer probe`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmsteer.errors import DataError, DirectionError

if TYPE_CHECKING:
    from mmsteer.recipes.finding import Found


def probe(
    out: Annotated[Path, typer.Option(help="the file of directions to write: .safetensors")],
    concept: Annotated[
        str | None, typer.Option(help="music: note, register, tempo, instrument, chord, mode or texture")
    ] = None,
    contrast: Annotated[
        str | None, typer.Option(help="vision: captions, counterfactual, mentions, answers, masked or no_image")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="a bundled model, a folder, or a Hugging Face name (default: the bundled one)")
    ] = None,
    probe: Annotated[str, typer.Option(help="mean-difference, rfm ...: a file of probes/music or probes/vision")] = (
        "mean-difference"
    ),
    family: Annotated[
        str | None, typer.Option(help="directions are named FAMILY:LABEL (default: the concept or contrast)")
    ] = None,
    clips: Annotated[int, typer.Option(min=1, help="music: clips of each label")] = 20,
    pairs: Annotated[int, typer.Option(min=2, help="vision: pairs of the rendered world")] = 60,
    demos: Annotated[
        Path | None, typer.Option(help="vision: your own pairs, JSON lines of image, question, value, h_value")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="vision: the folder with the images of --demos")] = None,
    seed: Annotated[int, typer.Option(min=0, help="seed of the clips or pairs")] = 0,
    sites: Annotated[
        str | None, typer.Option(help="where to read, such as decoder.2-4 (default: the whole stack)")
    ] = None,
    positions: Annotated[str, typer.Option(help="which tokens to read")] = "all",
    pool: Annotated[str | None, typer.Option(help="mean, max, last; vision also tokens")] = None,
    text: Annotated[
        str,
        typer.Option(help="music: under prompts that leave the concept open (prompt) or state it (stated), or none"),
    ] = "prompt",
    device: Annotated[str, typer.Option(help="cpu, cuda or auto")] = "cpu",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16, float16, or auto: as the checkpoint says")] = "float32",
    force: Annotated[bool, typer.Option("--force", help="overwrite the file")] = False,
) -> None:
    """Find directions, and show how well each layer tells their labels apart.

    [bold]Examples[/]

    mmsteer probe --concept note --probe rfm --out note.safetensors

    mmsteer probe --contrast counterfactual --out grounded.safetensors
    """
    _check_out(out, force)
    _check_either(concept, contrast)
    from mmsteer.api import load
    from mmsteer.cli.quiet import hush
    from mmsteer.direction_file import save_directions
    from mmsteer.recipes.checks import found_directions
    from mmsteer.recipes.finding import find
    from mmsteer.recipes.kinds import KINDS

    hush()
    kind = "music" if concept else "vision"
    name = family or concept or contrast
    common = {"family": name, "probe": probe, "positions": positions}
    if concept:
        data: dict[str, Any] = {"concept": concept, "clips": clips, "seed": seed}
        own = {"data": data, "sites": sites or "decoder.*", "pool": pool or "mean", "text": text}
    else:
        stack, states = ("vision", "tokens") if contrast == "masked" else ("text", "last")
        data = _pairs(str(contrast), pairs, seed, demos, images)
        own = {"data": data, "sites": sites or f"{stack}.*", "pool": pool or states}
    entry = found_directions(kind, common | own)
    adapter = load(model or f"bundled:{kind}", device=device, dtype=dtype)
    found = find(adapter, entry, KINDS[kind].samples(entry, adapter), KINDS[kind].TASK, progress=True)
    save_directions(out, found.directions.values(), overwrite=force)
    _show(found)
    print(f"{out}: {', '.join(found.directions)}")


def _check_either(concept: str | None, contrast: str | None) -> None:
    if (concept is None) == (contrast is None):
        raise DataError("give --concept for a model that makes music, or --contrast for one that sees")


def _pairs(contrast: str, pairs: int, seed: int, demos: Path | None, images: Path | None) -> dict[str, Any]:
    scenes = {"n": pairs, "split": "demos", "seed": seed}
    shown = {"demos": {"scenes": scenes, "matched": True}}
    if demos is not None:
        if images is None:
            raise DataError(f"{demos} names images; give the folder that holds them as --images")
        shown = {"demos": {"file": str(demos), "images": str(images)}}
    choices: dict[str, dict[str, Any]] = {
        "captions": {**shown, "ending": "shared"},
        "counterfactual": {"scenes": scenes, "decision": "go on"},
        "mentions": {"scenes": scenes},
        "answers": {"scenes": scenes, "balanced": True},
        "masked": {**shown, "copies": 10, "ratio": 0.9},
        "no_image": {**shown, "answered": True},
    }
    if contrast not in choices:
        raise DataError(f"no contrast {contrast!r}; choose from {', '.join(choices)}")
    if demos is not None and "demos" not in choices[contrast]:
        raise DataError(f"the contrast {contrast} is made of rendered scenes; leave out --demos, or choose another")
    return {"contrast": contrast, "seed": seed} | choices[contrast]


def _check_out(out: Path, force: bool) -> None:
    if out.exists() and not force:
        raise DirectionError(f"{out} exists; choose another name, or give --force to overwrite it")


def _show(found: "Found") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Held-out scores; AUC of each direction alone", title_justify="left")
    for name in ("site", found.table["metric"], *found.table["labels"]):
        table.add_column(name, justify="left" if name == "site" else "right")
    for row in found.table["rows"]:
        table.add_row(row["site"], f"{row['score']:.3f}", *(f"{score:.3f}" for score in row["labels"].values()))
    Console().print(table)
