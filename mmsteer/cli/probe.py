"""`mmsteer probe`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmsteer.errors import DirectionError

if TYPE_CHECKING:
    from mmsteer.probes import Sweep


def probe(
    concept: Annotated[str, typer.Option(help="note, register, tempo, instrument, chord, mode or texture")],
    out: Annotated[Path, typer.Option(help="the file of directions to write: .safetensors")],
    model: Annotated[str, typer.Option(help="bundled:music, a folder, or a Hugging Face name")] = "bundled:music",
    probe: Annotated[str, typer.Option(help="mean-difference, rfm or rfm-paper")] = "mean-difference",
    family: Annotated[str | None, typer.Option(help="directions are named FAMILY:LABEL (default: the concept)")] = None,
    clips: Annotated[int, typer.Option(min=1, help="clips of each label")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="seed of the clips")] = 0,
    sites: Annotated[str, typer.Option(help="where to read, such as decoder.* or decoder.4-11")] = "decoder.*",
    positions: Annotated[str, typer.Option(help="which tokens to read")] = "all",
    text: Annotated[str, typer.Option(help="prompt: read under each clip's prompt; none: the null branch")] = "prompt",
    device: Annotated[str, typer.Option(help="cpu, cuda or auto")] = "cpu",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16, float16, or auto: as the checkpoint says")] = "float32",
    force: Annotated[bool, typer.Option("--force", help="overwrite the file")] = False,
) -> None:
    """Find the directions of a concept, and show how well each layer tells its labels apart.

    [bold]Example[/]

    mmsteer probe --concept note --probe rfm --out note.safetensors
    """
    _check_out(out, force)
    from mmsteer.api import load
    from mmsteer.cli.quiet import hush
    from mmsteer.direction_file import save_directions
    from mmsteer.recipes.checks import found_directions
    from mmsteer.recipes.directions import find_directions

    hush()
    data = {"concept": concept, "clips": clips, "seed": seed}
    entry = found_directions(
        {"family": family or concept, "probe": probe, "data": data, "sites": sites}
        | {"positions": positions, "pool": "mean", "text": text}
    )
    found = find_directions(load(model, device=device, dtype=dtype), entry, progress=True)
    save_directions(out, found.sweep.directions.values(), overwrite=force)
    _show(found.sweep)
    print(f"{out}: {', '.join(found.sweep.directions)}")


def _check_out(out: Path, force: bool) -> None:
    if out.exists() and not force:
        raise DirectionError(f"{out} exists; choose another name, or give --force to overwrite it")


def _show(sweep: "Sweep") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Held-out scores; AUC of each direction alone", title_justify="left")
    for name in ("site", sweep.rows[0].metric, *sweep.rows[0].labels):
        table.add_column(name, justify="left" if name == "site" else "right")
    for row in sweep.rows:
        table.add_row(str(row.site), f"{row.score:.3f}", *(f"{score:.3f}" for score in row.labels.values()))
    Console().print(table)
