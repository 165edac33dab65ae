"""`mmsteer fold`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mmsteer.errors import DirectionError

if TYPE_CHECKING:
    from mmsteer.types import Direction


def fold(
    model: Annotated[str, typer.Option(help="bundled:music, a folder, or a Hugging Face name")],
    directions: Annotated[Path, typer.Option(help="the file of directions")],
    name: Annotated[list[str], typer.Option(help="which of its directions to take out; may be repeated")],
    out: Annotated[Path, typer.Option(help="the folder of the new checkpoint; it must not exist")],
    on: Annotated[
        str | None, typer.Option(help="which of the directions' sites, such as text.16-31.mlp (default: all)")
    ] = None,
    compatibility: Annotated[
        Literal["exact", "architecture", "dimension"],
        typer.Option(help="how alike the model must be to the one that the directions were found in"),
    ] = "exact",
    strength: Annotated[float, typer.Option(help="the share to remove, above 0 and at most 1")] = 1.0,
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    dtype: Annotated[str, typer.Option(help="auto: as the checkpoint says; or float32, bfloat16, float16")] = "auto",
) -> None:
    """Take directions out of a model's weights, and save it as an ordinary checkpoint.

    The new model does what the old one does under `by project_out` at the same sites, at no cost and without mmsteer.
    Only outputs of an mlp or of attention can be folded, because one weight writes each: find directions there first.

    [bold]Example[/]

    mmsteer probe --concept note --sites "decoder.*.mlp" --out note.safetensors

    mmsteer fold --model bundled:music --directions note.safetensors --name note:C --on decoder.2-4.mlp --out no-c
    """
    from mmsteer.api import load
    from mmsteer.cli.quiet import hush
    from mmsteer.fold import check_folder, save_folded
    from mmsteer.fold import fold as fold_weights

    check_folder(out)
    chosen = _chosen(directions, name, compatibility)
    hush()
    adapter = load(model, device=device, dtype=dtype)
    folds = fold_weights(adapter, chosen, on, strength)
    save_folded(adapter, out, folds, model)
    print("\n".join(map(str, folds)))
    print(f"{out}: {len(folds)} weights folded; load it as any checkpoint")


def _chosen(file: Path, names: list[str], compatibility: str) -> "list[Direction]":
    from mmsteer.formats import load_directions

    known = load_directions(file, compatibility=compatibility)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise DirectionError(f"{file}: no direction {unknown[0]!r}; choose from {', '.join(sorted(known))}")
    return [known[name] for name in names]
