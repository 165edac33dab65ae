"""`mmsteer attribute`."""

from collections.abc import Sequence
from dataclasses import replace
from math import isqrt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mmsteer.cli.files import check_out, write_out
from mmsteer.cli.options import refuse_idle
from mmsteer.errors import AttributionError

if TYPE_CHECKING:
    from mmsteer.adapters import AnyAdapter
    from mmsteer.attribution import Attribution, Units
    from mmsteer.report.frames import Clip
    from mmsteer.steering import Steering
    from mmsteer.types import Sample, Sampling

Kind = Literal["tokens", "patches", "frames", "components", "features", "vectors"]
Technique = Literal["occlusion", "shapley", "exact-shapley", "saliency", "gradient", "integrated-gradients", "lime"]


def attribute(
    context: typer.Context,
    prompt: Annotated[str, typer.Option(help="what the model is given")],
    model: Annotated[str, typer.Option(help="a bundled model, a folder, or a Hugging Face name")] = "bundled:text",
    output: Annotated[str | None, typer.Option(help="text to explain (usual: what the model answers)")] = None,
    words: Annotated[str | None, typer.Option(help="explain these words of the output alone")] = None,
    image: Annotated[Path | None, typer.Option(help="an image that the prompt is about")] = None,
    units: Annotated[Kind, typer.Option(help="what the output is attributed to")] = "tokens",
    technique: Annotated[Technique, typer.Option(help="how it is shared out")] = "integrated-gradients",
    sites: Annotated[
        str | None, typer.Option(help="components: such as 'text.*.mlp, text.*.attention' or 'text.12.head.*'")
    ] = None,
    dictionary: Annotated[str | None, typer.Option(help="features: of this folder, or bundled:text/text.14")] = None,
    feature: Annotated[list[int] | None, typer.Option(help="features: a number; repeated")] = None,
    steer: Annotated[
        list[str] | None, typer.Option(help="a line of steering, under which it is generated and explained; repeated")
    ] = None,
    directions: Annotated[Path | None, typer.Option(help="the file that --steer names directions from")] = None,
    baseline: Annotated[
        Literal["zero", "mean", "resample"],
        typer.Option(help="what stands in the place of a unit; resample: what it is in another sample"),
    ] = "mean",
    other: Annotated[str | None, typer.Option(help="resample: the prompt of the other sample")] = None,
    other_image: Annotated[Path | None, typer.Option(help="resample: the image of the other sample")] = None,
    at: Annotated[
        str | None,
        typer.Option("--at", help="at which tokens (usual: all but the first; of patches image, of frames generated)"),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="of the path of integrated gradients")] = 64,
    draws: Annotated[int, typer.Option(min=1, help="of shapley and lime")] = 64,
    tokens: Annotated[
        int, typer.Option(min=1, help="at most this many of an answer; schedules in percent are of them")
    ] = 32,
    seconds: Annotated[float, typer.Option(help="of a clip that is generated")] = 2.0,
    batch: Annotated[int, typer.Option(min=1, help="rows a forward")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="of what is drawn")] = 0,
    out: Annotated[Path | None, typer.Option(help="a page: .html")] = None,
    force: Annotated[bool, typer.Option("--force", help="overwrite the file")] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto")] = "cpu",
) -> None:
    """Say what an output comes from: tokens, patches, frames, components, features of a dictionary, or vectors.

    [bold]Examples[/]

    mmsteer attribute --prompt "What is the capital of France?" --units components
    --sites "text.*.mlp, text.*.attention" --out p.html

    mmsteer attribute --model bundled:vision --prompt "Please describe this image in detail." --image room.png
    --words dog --units patches --out dog.html

    mmsteer attribute --model bundled:music --prompt "a slow tune of flute" --units frames --out frames.html
    """
    if out is not None:
        check_out(out, force, directions, image, other_image)
    _check_given(units, {"components": sites, "features": dictionary, "vectors": steer, "patches": image})
    if units != "features":
        refuse_idle(context, ("feature",), f"is for features, and the output is attributed to {units}")
    if not steer:
        refuse_idle(context, ("directions",), "is what --steer names directions from")
    if units in ("features", "vectors"):
        refuse_idle(context, ("baseline", "at"), f"is for tokens, patches, frames and components, not for {units}")
    if baseline != "resample":
        refuse_idle(context, ("other", "other_image"), "is for --baseline resample")
    _check_other(baseline, other, other_image, units, steer)
    from mmsteer.api import load
    from mmsteer.attribution import Effort, check_states, log_probability, of_words
    from mmsteer.attribution import attribute as share_out
    from mmsteer.cli.quiet import hush
    from mmsteer.images import read_image
    from mmsteer.report.attribution_page import attribution_page
    from mmsteer.steering import Steering
    from mmsteer.steering import steer as steered
    from mmsteer.types import Sample, Sampling

    hush()
    check_states(technique, units not in ("features", "vectors"))
    adapter, seen = load(model, device=device), read_image(image) if image else None
    sample = Sample("prompt", prompt, (seen,) if seen else (), output)
    is_text = adapter.output_kind == "text"
    sampling = Sampling(tokens=tokens, temperature=0.0) if is_text else Sampling(seconds=seconds)
    steering = _steering(steer or [], directions)
    if output is None:
        with steered(adapter, steering):
            (sample,) = adapter.generate([sample], sampling, [seed])
    metric = log_probability if words is None else of_words(adapter, sample, words)
    chosen = _units(units, adapter, sites, baseline, at, dictionary, feature or [], steering)
    if baseline == "resample":
        chosen = _resampled(adapter, chosen, _other(sample, other, other_image), sampling, seed + 1)
    # Vectors are units, and added as such.
    applied = Steering() if units == "vectors" else steering
    effort, allowed = Effort(batch, steps, draws, seed), adapter.steps(sampling)
    found = share_out(adapter, sample, metric, chosen, technique, effort, applied, allowed)
    said = str(sample.output) if is_text else f"a clip of {seconds:g} seconds"
    about = f"{words!r} in the output" if words else "the output"
    _show(_by_place(found, seen, at) if units == "patches" else found, about, said)
    if out is not None:
        under = f" Steered: {steering}." if steering.attributes else ""
        lead = f"Log-probability of {about}, shared out among {units} by {technique}.{under} Prompt: {prompt}"
        drawn = seen if units == "patches" else None
        clip = _clip(adapter, sample) if units == "frames" else None
        page = attribution_page(found, f"What {about} comes from", lead, said, drawn, clip)
        write_out(out, page.encode())
        print(f"page: {out}")


def _check_given(units: Kind, given: dict[str, Any]) -> None:
    """Refuse a missing option of these units, and one of others.

    Raises:
        AttributionError: As said.
    """
    options = {"components": "--sites", "features": "--dictionary", "vectors": "--steer", "patches": "--image"}
    for kind, value in given.items():
        if kind == units and not value:
            raise AttributionError(f"{units} need {options[kind]}; give it")
        if kind != units and value and kind not in ("patches", "vectors"):
            raise AttributionError(f"{options[kind]} is for {kind}, and the output is attributed to {units}")


def _check_other(
    baseline: str, other: str | None, image: Path | None, units: Kind, steer: Sequence[str] | None
) -> None:
    """Refuse resampling without another sample, and of what is read there unsteered.

    Raises:
        AttributionError: As said.
    """
    if baseline == "resample" and other is None and image is None:
        raise AttributionError("resample needs another sample: give --other, its prompt, or --other-image")
    if baseline == "resample" and units == "components" and steer:
        raise AttributionError("--baseline resample reads what components write unsteered; leave out --steer")


def _units(
    kind: Kind,
    adapter: "AnyAdapter",
    sites: str | None,
    baseline: "Literal['zero', 'mean', 'resample']",
    at: str | None,
    dictionary: str | None,
    features: list[int],
    steering: "Steering",
) -> "Units":
    from mmsteer.attribution import ComponentUnits, FeatureUnits, FrameUnits, TokenUnits, VectorUnits
    from mmsteer.types import Positions

    fixed = "mean" if baseline == "resample" else baseline
    if kind in ("tokens", "patches"):
        return TokenUnits(Positions(at or ("prompt - first" if kind == "tokens" else "image")), fixed)
    if kind == "frames":
        return FrameUnits(Positions(at or "generated"), fixed)
    if kind == "components":
        return ComponentUnits(str(sites), fixed, Positions(at or "all - first"))
    if kind == "vectors":
        return VectorUnits(steering)
    from mmsteer.bundled.dictionary import open_dictionary

    if not features:
        raise AttributionError("name features of the dictionary by --feature, once for each")
    return FeatureUnits(open_dictionary(str(dictionary)), tuple(features))


def _steering(lines: list[str], directions: Path | None) -> "Steering":
    from mmsteer.api import parse_steering
    from mmsteer.formats import load_directions

    if lines and directions is None:
        raise AttributionError("--steer needs --directions, the file that it names them from")
    return parse_steering(";".join(lines), load_directions(directions) if directions else {})


def _other(sample: "Sample", prompt: str | None, image: Path | None) -> "Sample":
    """The sample whose states are the baseline, without its output: what is not given is as in the sample."""
    from mmsteer.images import read_image

    images = (read_image(image),) if image else sample.images
    return replace(sample, id="other", prompt=prompt or sample.prompt, images=images, output=None)


def _resampled(adapter: "AnyAdapter", units: "Units", other: "Sample", sampling: "Sampling", seed: int) -> "Units":
    from mmsteer.attribution import ComponentUnits, TokenUnits

    assert isinstance(units, TokenUnits | ComponentUnits)  # --baseline is refused for others
    (made,) = adapter.generate([other], sampling, [seed])
    return units.resampled(adapter, made)


def _clip(adapter: "AnyAdapter", sample: "Sample") -> "Clip":
    from mmsteer.report.frames import Clip

    assert adapter.sample_rate is not None  # what has frames is audio
    assert adapter.rate is not None
    return Clip(sample.output, adapter.sample_rate, adapter.rate)


def _by_place(found: "Attribution", image: Any, at: str | None) -> "Attribution":
    """Patches named by where they are; by their number where that is not known, as of a part of them."""
    count = len(found.names)
    side = isqrt(count)
    if at is None and image.width == image.height and side * side == count:
        names = [f"row {place // side + 1}, column {place % side + 1}" for place in range(count)]
    else:
        names = [f"patch {place + 1}" for place in range(count)]
    return replace(found, names=tuple(names), kind="patches")


def _show(found: "Attribution", about: str, said: str) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    console.print(f"output: {said}", markup=False)
    table = Table(title=f"What {about} comes from ({found.technique})", title_justify="left")
    table.add_column(found.kind)
    table.add_column("value", justify="right", no_wrap=True)
    for name, value in found.largest(12):
        table.add_row(name, f"{value:+.3f}")
    console.print(table)
    left = "" if found.missing is None else f", unexplained {found.missing:+.3f}"
    console.print(f"with all {found.whole:.3f}, with none {found.nothing:.3f}{left}")
