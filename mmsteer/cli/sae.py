"""`mmsteer sae train|measure|convert|browse`, and the methods of `sae_methods`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmsteer.cli.options import Device, Dtype, Quiet, Workers, refuse_idle
from mmsteer.cli.sae_tables import check_absent
from mmsteer.errors import DictionaryError

if TYPE_CHECKING:
    from mmsteer.sae import Quality, Recovery, SparseDictionary

HELP = """Sparse dictionaries: train, measure, convert, look at and steer their features.

A dictionary is [bold]bundled:music[/], [bold]bundled:vision[/], [bold]bundled:text[/] (of several layers: --site), or
a folder in the layout of SAELens, Gemma Scope, sparsify, dictionary_learning or Llama Scope.

[bold]Look[/]    mmsteer sae browse bundled:music --out features
[bold]Train[/]   mmsteer sae train --site decoder.3 --out mine
[bold]Steer[/]   mmsteer sae scores bundled:music 12 40
"""

app = typer.Typer(help=HELP, no_args_is_help=True, rich_markup_mode="rich")

Dictionary = Annotated[str, typer.Argument(help="bundled:music, bundled:vision, bundled:text, or a folder")]
Model = Annotated[str | None, typer.Option(help="a bundled model, a folder, or a Hugging Face name")]
Where = Annotated[
    str | None,
    typer.Option(
        help="the dictionary's site, if its file does not say it, such as text.12; with bundled:text, which layer"
    ),
]
Data = Annotated[
    Path | None,
    typer.Option(help="rows.jsonl, or a folder of audio or images, a .txt beside each (default: the world)"),
]
Samples = Annotated[int, typer.Option(min=2, help="clips or scenes, at most")]
Drawn = Annotated[int | None, typer.Option(min=1, help="tokens drawn of each sample (default: what suits them)")]
Prompt = Annotated[str, typer.Option(help="what is asked about images")]
ASKED = "Please describe this image in detail."


@app.command()
def train(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="the folder to write; a dictionary that is there is never overwritten")],
    site: Annotated[str, typer.Option(help="where to read, such as decoder.3 or text.12")],
    model: Model = None,
    architecture: Annotated[str, typer.Option(help="batchtopk, matryoshka, topk, jumprelu or gated")] = "batchtopk",
    features: Annotated[int, typer.Option(min=1, help="how many features; 4 to 32 times the width")] = 1536,
    k: Annotated[int, typer.Option(min=1, help="active features a hidden state; gated: 1 / k weighs the penalty")] = 24,
    steps: Annotated[int, typer.Option(min=1, help="batches to learn from")] = 600,
    batch: Annotated[int, typer.Option(min=1, help="hidden states a batch")] = 1024,
    rate: Annotated[float, typer.Option(help="highest learning rate; a long training takes 2e-4 or so")] = 2e-3,
    data: Data = None,
    store: Annotated[
        str | None,
        typer.Option(help="recorded activations, in place of samples: a folder, or an address such as s3://..."),
    ] = None,
    samples: Samples = 240,
    tokens: Drawn = None,
    positions: Annotated[str | None, typer.Option(help="which tokens (music: all; vision: text)")] = None,
    prompt: Prompt = ASKED,
    seed: Annotated[int, typer.Option(min=0, help="of samples and training; the bundled models took 0")] = 1,
    workers: Workers = None,
    device: Device = "cpu",
    dtype: Dtype = "float32",
    quiet: Quiet = False,
) -> None:
    """Train a dictionary on the hidden states of a model, and measure it on samples it did not see.

    The bar shows FVU, L0, dead and dense features. A training that was stopped goes on where it stood when the same
    command is given again. Under torchrun each process learns from a part of every batch, on a card of its own.

    [bold]Examples[/]

    mmsteer sae train --site decoder.3 --out mine

    torchrun --nproc-per-node 4 -m mmsteer sae train --site text.16 --model bundled:text --device cuda --out mine

    mmsteer sae train --model llava-hf/llava-1.5-7b-hf --site text.16 --data photos --features 32768 --out llava-16
    """
    if store is not None:
        of_samples = ("samples", "tokens", "positions", "prompt", "workers")
        refuse_idle(
            context, of_samples, "is about samples that are read, and --store holds what was read; leave out --store"
        )
    _check_new(out)
    _check_one(data, store)
    _check_prompt(context, data)
    from functools import partial

    from mmsteer.cli.sae_inputs import architecture_of, learned_and_judged, loaded, pieces
    from mmsteer.cli.sae_train import write_learned
    from mmsteer.ranks import joined
    from mmsteer.recipes.model_workers import model_workers
    from mmsteer.sae import Training, assist_training
    from mmsteer.sae import measure as measured
    from mmsteer.types import Site

    place, kind = Site.parse(site), architecture_of(architecture, k, steps)
    plan = Training(features, steps, rate=rate, warmup=min(1000, steps // 10), dead_after=50 * batch, seed=seed)
    name = model or ("bundled:music" if place.stack == "decoder" else "bundled:vision")
    states = partial(learned_and_judged, samples=samples, tokens=tokens, positions=positions, prompt=prompt, seed=seed)
    with joined(device) as (ranks, own):
        if ranks.number:
            assist_training(kind, plan, device=own)
            return
        adapter = loaded(name, "", "cpu" if workers else own, dtype)
        with model_workers(workers, adapter, name, device=device, dtype=dtype) as by:
            learned, judged = states(adapter, place, data, store, workers=by)
            # With workers the model lies on the CPU here, and the dictionary where it is asked for.
            on = own if workers and own != "auto" else adapter.device
            dictionary = write_learned(out, adapter, place, learned, kind, plan, batch=batch, device=on, quiet=quiet)
            _show(dictionary, measured(dictionary, pieces(judged)), None)
    print(f"{out}: look at it with `mmsteer sae browse {out} --model {name} --out features`")


@app.command()
def measure(
    context: typer.Context,
    dictionary: Dictionary,
    model: Model = None,
    site: Where = None,
    data: Data = None,
    samples: Samples = 16,
    tokens: Drawn = None,
    prompt: Prompt = ASKED,
    seed: Annotated[int, typer.Option(min=0, help="of the world; dictionaries learned from seed 1")] = 2,
    device: Device = "cpu",
    dtype: Dtype = "float32",
) -> None:
    """Measure a dictionary on samples: FVU, L0, dead and dense features, and the loss recovered in the model.

    A dictionary at the wrong layer looks plausible and is wrong: compare FVU with what its makers published.

    [bold]Example[/]

    mmsteer sae measure bundled:music --samples 8
    """
    _check_prompt(context, data)
    if data is not None:
        refuse_idle(context, ("seed",), "is about the rendered world; leave out --data")
    from mmsteer.cli.sae_inputs import given, loaded, opened, pieces, rows_beside
    from mmsteer.latents.bound import placed
    from mmsteer.sae import loss_recovered
    from mmsteer.sae import measure as measured
    from mmsteer.streams import ReadStates
    from mmsteer.types import Site

    adapter = loaded(model, dictionary, device, dtype)
    found = placed(opened(dictionary, site), adapter, Site.parse(site) if site else None)
    place = found.located(adapter)
    group = given(adapter, rows_beside(data, dictionary), samples, prompt, seed)
    states = ReadStates(adapter, group.samples, place, group.positions, tokens or group.tokens)
    _show(found, measured(found, pieces(states)), loss_recovered(adapter, found, group.samples))


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="a folder in any layout that is read")],
    out: Annotated[Path, typer.Argument(help="the folder to write, in the layout of SAELens")],
    site: Where = None,
    fingerprint: Annotated[str | None, typer.Option(help="of the model it was trained on")] = None,
) -> None:
    """Write a dictionary of any layout in that of SAELens, with biases and scales folded into the weights.

    [bold]Example[/]

    mmsteer sae convert gemma-scope-12 mine --site text.12
    """
    _check_new(out)
    from mmsteer.cli.sae_inputs import opened
    from mmsteer.sae import write_sae_lens

    found = opened(str(source), site)
    found = found if fingerprint is None or found.site is None else found.at(found.site, fingerprint)
    write_sae_lens(out, found)
    print(f"{out}: {_in_words(found)}")


@app.command()
def browse(
    context: typer.Context,
    dictionary: Dictionary,
    out: Annotated[Path, typer.Option(help="the folder to write; it must not exist")],
    model: Model = None,
    site: Where = None,
    data: Data = None,
    samples: Samples = 64,
    features: Annotated[int, typer.Option(min=1, help="how many features: the most telling ones")] = 40,
    steered: Annotated[int, typer.Option(min=0, help="how many of them are also steered")] = 12,
    neuronpedia: Annotated[
        Path | None,
        typer.Option(help="also write all features as the JSON batches that Neuronpedia takes; a new folder"),
    ] = None,
    prompt: Prompt = ASKED,
    seed: Annotated[int, typer.Option(min=0, help="of the world and of what is generated")] = 2,
    device: Device = "cpu",
    dtype: Dtype = "float32",
) -> None:
    """Write a page on the features: where each is most active, what it promotes, and what steering it does.

    [bold]Example[/]

    mmsteer sae browse bundled:music --out features

    mmsteer sae browse bundled:text --site text.14 --out features --neuronpedia batches
    """
    check_absent(out)
    _check_prompt(context, data)
    if neuronpedia is not None:
        check_absent(neuronpedia)
    from mmsteer.cli.sae_inputs import given, loaded, opened, rows_beside, usage_of
    from mmsteer.latents.bound import bind, placed
    from mmsteer.report.features import write_browser
    from mmsteer.report.neuronpedia import Source, write_neuronpedia
    from mmsteer.types import Site

    adapter = loaded(model, dictionary, device, dtype)
    found = placed(opened(dictionary, site), adapter, Site.parse(site) if site else None)
    used = usage_of(dictionary, found)
    group = given(adapter, rows_beside(data, dictionary), samples, prompt, seed)
    if used is None:
        bound = bind(found, adapter, group.samples)
        found, used = bound.dictionary, bound.used
    page = write_browser(out, adapter, found, used, group, features=features, steered=steered, seed=seed)
    print(f"feature browser: {page}")
    if neuronpedia is not None:
        source = Source(Path(model or dictionary).name.replace(":", "-"))
        count = write_neuronpedia(neuronpedia, adapter, found, group, source)
        print(f"Neuronpedia: {count} features in {neuronpedia}")


def _check_new(out: Path) -> None:
    if os.path.exists(out / "sae_weights.safetensors"):
        raise DictionaryError(f"{out} holds a dictionary and is not overwritten; give another name")


def _check_prompt(context: typer.Context, data: Path | None) -> None:
    if data is None or not os.path.isdir(data):
        refuse_idle(context, ("prompt",), "is asked about the images of a folder; give --data, such a folder")


def _check_one(data: Path | None, store: str | None) -> None:
    if data is not None and store is not None:
        raise DictionaryError("give --store or --data, not both: hidden states come from one of them")


def _in_words(dictionary: "SparseDictionary") -> str:
    active = f"the {dictionary.k} largest" if dictionary.k else "those above a threshold"
    return f"{dictionary.features} features of width {dictionary.width} at {dictionary.site or 'no site'}, {active}"


def _show(dictionary: "SparseDictionary", quality: "Quality", recovery: "Recovery | None") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=_in_words(dictionary), title_justify="left", show_header=False)
    table.add_row("fraction of variance unexplained", f"{quality.fvu:.3f}")
    table.add_row("active features a hidden state (L0)", f"{quality.l0:.1f}")
    table.add_row("dead features", f"{quality.dead:.1%}")
    table.add_row("dense features", f"{quality.dense:.1%}")
    if recovery is not None:
        table.add_row("loss recovered", f"{recovery.share:.1%} ({recovery.kl:.3f} of {recovery.kl_zero:.3f} nats)")
    table.add_row("hidden states", str(quality.rows))
    Console().print(table)
