"""`mmsteer fold`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mmsteer.cli.options import refuse_idle
from mmsteer.errors import DirectionError

if TYPE_CHECKING:
    from mmsteer.adapters import AnyAdapter
    from mmsteer.types import Direction


def fold(
    context: typer.Context,
    model: Annotated[str, typer.Option(help="bundled:music, a folder, or a Hugging Face name")],
    directions: Annotated[Path, typer.Option(help="the file of directions")],
    out: Annotated[Path, typer.Option(help="the folder of the new checkpoint or adapter; it must not exist")],
    name: Annotated[list[str] | None, typer.Option(help="which of its directions to take out; may be repeated")] = None,
    steer: Annotated[
        str | None, typer.Option(help="peft, bias: what to add instead, such as 'style:pirate 0.3 on text.14'")
    ] = None,
    into: Annotated[
        Literal["checkpoint", "peft", "bias"],
        typer.Option("--as", help="a whole model; an adapter of PEFT; or a whole model that adds by its biases"),
    ] = "checkpoint",
    on: Annotated[
        str | None, typer.Option(help="which of the directions' sites, such as text.16-31.mlp (default: all)")
    ] = None,
    compatibility: Annotated[
        Literal["exact", "architecture", "dimension"] | None,
        typer.Option(help="how alike the model must be to the one that the directions were found in (usual: exact)"),
    ] = None,
    strength: Annotated[float, typer.Option(help="the share to remove, above 0 and at most 1")] = 1.0,
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    dtype: Annotated[str, typer.Option(help="auto: as the checkpoint says; or float32, bfloat16, float16")] = "auto",
) -> None:
    """Take directions out of a model's weights, or add a steering to them, for programs without mmsteer.

    With --name, the new model does what the old one does under `by project_out` at the same sites, at no cost. Only
    outputs of an mlp or of attention can be folded, because one weight writes each: find directions there first. With
    --steer, biases add what the line adds, at blocks, mlps and attentions; --as peft writes an adapter that stock
    transformers and peft load, --as bias a checkpoint.

    [bold]Example[/]

    mmsteer probe --concept note --sites "decoder.*.mlp" --out note.safetensors

    mmsteer fold --model bundled:music --directions note.safetensors --name note:C --on decoder.2-4.mlp --out no-c

    mmsteer fold --model bundled:text --directions pirate.safetensors --steer "pirate 1trained" --as peft --out pirate
    """
    _check_options(context, name, steer, into)
    from mmsteer.api import load
    from mmsteer.cli.quiet import hush
    from mmsteer.fold import check_folder, save_folded
    from mmsteer.fold import fold as fold_weights

    check_folder(out)
    chosen = _chosen(directions, name, compatibility)
    hush()
    adapter = load(model, device=device, dtype=dtype)
    if into != "checkpoint":
        _write(adapter, out, chosen, steer, into, on, strength, model)
        return
    folds = fold_weights(adapter, chosen, on, strength)
    save_folded(adapter, out, folds, model)
    print("\n".join(map(str, folds)))
    print(f"{out}: {len(folds)} weights folded; load it as any checkpoint")


def _check_options(context: typer.Context, name: list[str] | None, steer: str | None, into: str) -> None:
    """Refuse options that do not go together.

    Raises:
        DirectionError: Nothing is to be done, or two things, or it cannot be written so.
    """
    if steer is not None:
        refuse_idle(context, ("name", "on", "strength"), "is for directions that are taken out, not for --steer")
    elif name is None:
        raise DirectionError("give what to take out (--name), or what to add (--steer)")
    if (into == "checkpoint" and steer) or (into == "bias" and not steer):
        raise DirectionError(f"--as {into} is for {'--name' if steer else '--steer'}; --as peft is for both")


_CARD = """---
base_model: {base}
---
# {base}, steered

{what}, by mmsteer. {use} The licence of the base model holds.

Changed weights: {weights}
"""
_USES = {
    "peft": "Load it with peft.PeftModel.from_pretrained(model, folder).",
    "bias": "Load it as any checkpoint.",
}


def _write(
    adapter: "AnyAdapter",
    out: Path,
    chosen: "list[Direction]",
    steer: str | None,
    into: str,
    on: str | None,
    strength: float,
    base: str,
) -> None:
    from mmsteer.api import parse_steering
    from mmsteer.folding import additions, projections, save_biased, save_peft

    if steer is None:
        changes = projections(adapter, chosen, on, strength)
        what = f"{strength:.0%} of {', '.join(one.name for one in chosen)} taken out"
    else:
        changes = additions(adapter, parse_steering(steer, {one.name: one for one in chosen}))
        what = f"What `{steer}` adds, added to all tokens"
    weights = ", ".join(one.module for one in changes)
    card = _CARD.format(base=base, what=what, use=_USES[into], weights=weights)
    save = save_peft if into == "peft" else save_biased
    save(adapter, out, changes, card)
    print(f"{out}: {len(changes)} weights changed ({weights})\n{_USES[into]}")


def _chosen(file: Path, names: list[str] | None, compatibility: str | None) -> "list[Direction]":
    from mmsteer.formats import load_directions

    known = load_directions(file, compatibility=compatibility)
    if names is None:
        return list(known.values())
    unknown = [name for name in names if name not in known]
    if unknown:
        raise DirectionError(f"{file}: no direction {unknown[0]!r}; choose from {', '.join(sorted(known))}")
    return [known[name] for name in names]
