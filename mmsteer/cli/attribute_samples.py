"""`mmsteer attribute-samples`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mmsteer.cli.files import check_out, write_out
from mmsteer.cli.options import Device, Force, refuse_idle
from mmsteer.errors import AttributionError

if TYPE_CHECKING:
    from mmsteer.attribution import Attribution, Learned
    from mmsteer.tasks import Row
    from mmsteer.types import Adapter

Technique = Literal["influence", "datamodels", "occlusion", "shapley", "exact-shapley"]
ProbeName = Literal["mean-difference", "linear", "logistic"]
OF_PROBES = ("label", "split", "held", "sites", "strength", "at")
OF_VECTORS = ("prompt", "output", "words", "tokens", "damping")
SHOWN = 12


def attribute_samples(
    context: typer.Context,
    data: Annotated[Path, typer.Option(help="JSON lines: the rows that something was, or is, learned from")],
    model: Annotated[str, typer.Option(help="a bundled model, a folder, or a Hugging Face name")] = "bundled:text",
    directions: Annotated[
        Path | None, typer.Option(help="a vector trained on these rows: a file of `mmsteer train --method ssv`")
    ] = None,
    probe: Annotated[ProbeName | None, typer.Option(help="or a probe that is fitted to them")] = None,
    technique: Annotated[Technique, typer.Option(help="how the number is shared out")] = "influence",
    prompt: Annotated[str | None, typer.Option(help="vector: what the steered model is asked")] = None,
    output: Annotated[str | None, typer.Option(help="vector: text whose log-probability is explained")] = None,
    words: Annotated[str | None, typer.Option(help="vector: explain these words of the output alone")] = None,
    tokens: Annotated[int, typer.Option(min=1, help="vector: at most this many of an answer that is generated")] = 32,
    damping: Annotated[float, typer.Option(min=0, help="vector, influence: curvature that is added, as a share")] = 0.1,
    label: Annotated[str | None, typer.Option(help="probe: the side that is looked for")] = None,
    split: Annotated[str, typer.Option(help="probe: rows of this `split` are learned from")] = "training",
    held: Annotated[str, typer.Option(help="probe: rows of this `split` are told apart")] = "test",
    sites: Annotated[str | None, typer.Option(help="probe: one site, such as text.14")] = None,
    strength: Annotated[float, typer.Option(help="probe: the ridge of linear, C of logistic")] = 1.0,
    at: Annotated[str, typer.Option("--at", help="probe: which tokens are read")] = "generated",
    steps: Annotated[int, typer.Option(min=1, help="of conjugate gradients")] = 64,
    draws: Annotated[int, typer.Option(min=1, help="of datamodels and shapley")] = 64,
    batch: Annotated[int, typer.Option(min=1, help="rows a forward")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="of what is drawn")] = 0,
    out: Annotated[Path | None, typer.Option(help="a page: .html")] = None,
    force: Force = False,
    device: Device = "cpu",
) -> None:
    """Say which training samples a probe, or a trained vector, owes what it does to; wrong ones come first.

    [bold]Examples[/]

    mmsteer attribute-samples --data style.jsonl --probe logistic --sites text.14 --label pirate

    mmsteer attribute-samples --data style.jsonl --directions pirate.safetensors --prompt "Who are you?"
    """
    if out is not None:
        check_out(out, force, data, directions)
    _check_one(directions, probe)
    kind = "a vector" if probe is None else "a probe"
    refuse_idle(context, OF_PROBES if probe is None else OF_VECTORS, f"does nothing for the samples of {kind}")
    from mmsteer.api import load
    from mmsteer.attribution import Effort, attribute_training
    from mmsteer.cli.quiet import hush
    from mmsteer.report.attribution_page import attribution_page
    from mmsteer.tasks import read_rows

    hush()
    adapter = load(model, device=device)
    learned: Learned
    if probe is not None:
        rows = read_rows(data)
        learned, said = _probe_samples(adapter, rows, probe, (split, held), label, sites, at, strength), ""
        about = f"how far a {probe} probe tells rows of {held} apart"
    else:
        learned, said = _vector_samples(adapter, read_rows(data), directions, prompt, output, words, tokens)
        about = f"the log-probability of {words!r} in the output" if words else "the log-probability of the output"
    effort = Effort(batch, steps, draws, seed)
    found = attribute_training(learned, technique, effort, damping=0.0 if probe else damping)
    _show(found, about)
    if out is not None:
        lead = f"What {about} owes to each of {len(found.names)} training samples, by {technique}."
        write_out(out, attribution_page(found, "Training samples", lead, said).encode())
        print(f"page: {out}")


def _check_one(directions: Path | None, probe: str | None) -> None:
    if (directions is None) == (probe is None):
        raise AttributionError("give --directions, a vector that was trained, or --probe, one that is fitted now")


def _probe_samples(
    adapter: "Adapter",
    rows: "tuple[Row, ...]",
    probe: ProbeName,
    splits: tuple[str, str],
    label: str | None,
    sites: str | None,
    at: str,
    strength: float,
) -> "Learned":
    import torch

    from mmsteer.attribution import ProbeSamples
    from mmsteer.record import record
    from mmsteer.types import Positions, select_sites

    if label is None or sites is None:
        raise AttributionError("a probe needs --label, the side that is looked for, and --sites, where it reads")
    chosen = select_sites(sites, tuple(adapter.widths))
    if len(chosen) != 1:
        raise AttributionError(f"--sites {sites} are {len(chosen)} sites; a probe reads one, such as {chosen[0]}")
    parts = [[row for row in rows if row.split == name] for name in splits]
    for name, part in zip(splits, parts, strict=True):
        if not part:
            there = ", ".join(sorted({str(row.split) for row in rows}))
            raise AttributionError(f"no row has the split {name!r}; there are: {there}")
    read = [
        record(adapter, [row.sample(adapter, answered=True) for row in part], chosen, positions=Positions(at))
        for part in parts
    ]
    states = [one.values[chosen[0]] for one in read]
    sides = [torch.tensor([float(row.label == label) for row in part]) for part in parts]
    return ProbeSamples(
        "mean_difference" if probe == "mean-difference" else probe,
        *(states[0], sides[0], states[1], sides[1]),
        strength=strength,
        names=read[0].ids,
    )


def _vector_samples(
    adapter: "Adapter",
    rows: "tuple[Row, ...]",
    directions: Path | None,
    prompt: str | None,
    output: str | None,
    words: str | None,
    tokens: int,
) -> "tuple[Learned, str]":
    from mmsteer.attribution import log_probability, of_words
    from mmsteer.formats import load_directions
    from mmsteer.latents.trained_on import trained_on
    from mmsteer.steering import Attribute, Steering, steer
    from mmsteer.types import Sample, Sampling

    known = list(load_directions(str(directions)).values())
    if len(known) != 1 or prompt is None:
        raise AttributionError(
            f"{directions} holds {len(known)} directions; one is explained, in what it does to the answer to --prompt"
        )
    asked = Sample("asked", prompt, output=output)
    if output is None:
        with steer(adapter, Steering((Attribute(known[0], 1.0, unit="trained"),))):
            (asked,) = adapter.generate([asked], Sampling(tokens=tokens, temperature=0.0))
    metric = log_probability if words is None else of_words(adapter, asked, words)
    return trained_on(adapter, known[0], rows, asked, metric), str(asked.output)


def _show(found: "Attribution", about: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"Samples that lower {about} most, and raise it ({found.technique})", title_justify="left")
    table.add_column("sample")
    table.add_column("value", justify="right", no_wrap=True)
    order = found.values.argsort().tolist()
    for at in dict.fromkeys([*order[:SHOWN], *order[-3:]]):
        table.add_row(found.names[at], f"{float(found.values[at]):+.4g}")
    console = Console(highlight=False)
    console.print(table)
    console.print(f"with all samples {found.whole:.3f}, with none {found.nothing:.3f}")
