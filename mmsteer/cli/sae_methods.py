"""`mmsteer sae decompose|scores|flow|corrsteer|clamp`: methods of papers, on one dictionary and its model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mmsteer.cli.sae import ASKED, Data, Device, Dictionary, Dtype, Model, Prompt, Samples, Where, app, check_absent
from mmsteer.errors import DataError, DictionaryError

if TYPE_CHECKING:
    from torch import Tensor

    from mmsteer.adapters import AnyAdapter
    from mmsteer.latents.trials import Trials
    from mmsteer.sae import SparseDictionary
    from mmsteer.types import Direction

Task = Annotated[str, typer.Option(help="music: note:C or instrument; vision: questions or captions")]
SCENES = 40
"""Fewest scenes that are asked about."""
Count = Annotated[int, typer.Option(min=4, help="prompts; half are learned from, half are the test")]


@app.command()
def decompose(
    dictionary: Dictionary,
    directions: Annotated[Path, typer.Option(help="a file of directions, such as `mmsteer probe` writes")],
    name: Annotated[str, typer.Option(help="which of them, such as note:C")],
    terms: Annotated[int, typer.Option(min=1, help="most features")] = 8,
    method: Annotated[str, typer.Option(help="signed, non_negative or gradient")] = "signed",
    site: Where = None,
) -> None:
    """Write a direction as a signed sum of a few features, by a pursuit over decoder rows (Mayne et al. 2024).

    The encoder cannot do this: a direction is no hidden state, and its negative parts are no activations.

    [bold]Example[/]

    mmsteer sae decompose bundled:music --directions note.safetensors --name note:C
    """
    from mmsteer.cli.sae_inputs import opened
    from mmsteer.direction_file import load_directions
    from mmsteer.sae.decomposition import decompose as pursue

    found = opened(dictionary, site)
    print(pursue(found, _vector(directions, load_directions(directions), name, found), terms, method).table())


@app.command()
def scores(
    dictionary: Dictionary,
    features: Annotated[list[int], typer.Argument(help="numbers of features")],
    model: Model = None,
    site: Where = None,
    data: Data = None,
    samples: Samples = 64,
    contexts: Annotated[int, typer.Option(min=1, help="samples in which features are pushed")] = 2,
    prompt: Prompt = ASKED,
    seed: Annotated[int, typer.Option(min=0, help="of the world")] = 2,
    device: Device = "cpu",
    dtype: Dtype = "float32",
) -> None:
    """Score features by what activates them (S_in) and by what they bring about (S_out) (Arad et al. 2025).

    Features with S_out of 0.01 or more are worth steering; those with a high S_in seldom are.

    [bold]Example[/]

    mmsteer sae scores bundled:vision 3 17 40
    """
    from mmsteer.cli.sae_inputs import given, loaded, opened
    from mmsteer.latents.maximal import maximal_moments
    from mmsteer.latents.scores import input_scores, output_scores

    found = opened(dictionary, site)
    _check_features(features, found.features)
    adapter = loaded(model, dictionary, device, dtype)
    group = given(adapter, data, samples, prompt, seed)
    moments = maximal_moments(adapter, found, group.samples, features, count=100)
    inputs = input_scores(adapter, found, moments)
    outputs = output_scores(adapter, found, features, group.samples[:contexts])
    rows = [
        (str(i.feature), _score(i.maximum), str(i.n), _score(o.maximum)) for i, o in zip(inputs, outputs, strict=True)
    ]
    _table("the best head of each", ("feature", "S_in", "excerpts", "S_out"), rows)


@app.command()
def flow(
    dictionaries: Annotated[list[str], typer.Argument(help="dictionaries of two sites or more of one model")],
    site: Annotated[str, typer.Option(help="where the feature is, such as decoder.2")],
    feature: Annotated[int, typer.Option(min=0, help="its number")],
    out: Annotated[Path | None, typer.Option(help="a drawing to write: .svg")] = None,
) -> None:
    """Follow a feature through the layers by the cosines of decoder rows (Laptev et al. 2025). No data is needed.

    [bold]Example[/]

    mmsteer sae flow layer2 layer3 layer4 --site decoder.3 --feature 12 --out flow.svg
    """
    if out is not None:
        check_absent(out)
    from mmsteer.cli.sae_inputs import opened
    from mmsteer.report.flow import save_flow
    from mmsteer.sae.flow import feature_flow
    from mmsteer.types import Site

    found = feature_flow([opened(name) for name in dictionaries], Site.parse(site), feature)
    print(found.table())
    if out is not None:
        save_flow(found, out)


@app.command()
def corrsteer(
    dictionaries: Annotated[list[str], typer.Argument(help="a dictionary, or one for each of several sites")],
    task: Task,
    variant: Annotated[str, typer.Option(help="S: the best feature; A: the best of each dictionary")] = "S",
    n: Count = 64,
    multiple: Annotated[float, typer.Option(help="of the coefficients")] = 1.0,
    model: Model = None,
    seed: Annotated[int, typer.Option(min=0, help="of prompts, noise and controls")] = 0,
    device: Device = "cpu",
    dtype: Dtype = "float32",
) -> None:
    """Steer the features whose activation goes with a reward on the model's own outputs (Cho et al. 2025).

    The test stands beside random directions and random features of the same norm.

    [bold]Example[/]

    mmsteer sae corrsteer bundled:vision --task questions --n 120
    """
    from mmsteer.cli.sae_inputs import loaded, opened
    from mmsteer.latents.corrsteer import run_corrsteer

    chosen = _variant(variant)
    found = [opened(name) for name in dictionaries]
    adapter = loaded(model, dictionaries[0], device, dtype)
    training, test = _trials(adapter, task, n, seed).split(n // 2, n - n // 2)
    result = run_corrsteer(adapter, found, training, variant=chosen, test=[test], multiple=multiple, seed=seed)
    _rows("features", result.table())
    if result.comparison is not None:
        _compared([row.plain() for row in result.comparison.rows])


@app.command()
def clamp(
    dictionary: Dictionary,
    task: Task,
    archetype: Annotated[Path, typer.Option(help="a clip or picture that shows what is wanted")],
    text: Annotated[str, typer.Option(help="its text, or what is asked about the picture")],
    answer: Annotated[str | None, typer.Option(help="vision: the answer that is wanted")] = None,
    unrelated: Annotated[str | None, typer.Option(help="another task, for the damage")] = None,
    candidates: Annotated[int, typer.Option(min=1, help="features to try")] = 10,
    n: Count = 32,
    model: Model = None,
    seed: Annotated[int, typer.Option(min=0, help="of prompts, noise and the control")] = 0,
    device: Device = "cpu",
    dtype: Dtype = "float32",
) -> None:
    """Find the feature whose clamp brings about what an archetype shows, and say what it damages (O'Brien et al. 2024).

    [bold]Example[/]

    mmsteer sae clamp bundled:music --task note:C --archetype c.wav --text "a slow piano melody" --unrelated instrument
    """
    from mmsteer.cli.sae_inputs import loaded, opened, usage_of
    from mmsteer.latents.clamping import clamp_sweep

    found = opened(dictionary)
    used = usage_of(dictionary, found)
    adapter = loaded(model, dictionary, device, dtype)
    training, test = _trials(adapter, task, n, seed).split(n // 2, n - n // 2)
    others = [_trials(adapter, unrelated, n // 2, seed + 1)] if unrelated else []
    report = clamp_sweep(
        adapter,
        found,
        used,
        _shown(adapter, archetype, text, answer),
        training,
        test,
        others,
        candidates=candidates,
        seed=seed,
    )
    print(f"chosen: feature {report.chosen.feature}, held at {report.chosen.value:.3g}")
    _compared([row.plain() for row in report.damage.rows])


def _vector(file: Path, known: "Mapping[str, Direction]", name: str, found: "SparseDictionary") -> "Tensor":
    if name not in known:
        raise DictionaryError(f"{file}: no direction {name!r}; choose from {', '.join(sorted(known))}")
    direction = known[name]
    if found.site is None or found.site not in direction.vectors:
        raise DictionaryError(
            f"{name} lies at {', '.join(map(str, direction.vectors))}, the dictionary at {found.site}; find the "
            f"direction there: mmsteer probe --sites {found.site or 'SITE'}"
        )
    if found.model not in (None, direction.model):
        raise DictionaryError(f"{name} is of model {direction.model}, the dictionary of {found.model}")
    return direction.vectors[found.site]


def _variant(name: str) -> 'Literal["S", "A"]':
    variants: dict[str, Literal["S", "A"]] = {"S": "S", "A": "A"}
    if name not in variants:
        raise DictionaryError(f"no variant {name!r} here; choose S or A (P is run_corrsteer's, in Python)")
    return variants[name]


def _check_features(features: list[int], count: int) -> None:
    wrong = [feature for feature in features if not 0 <= feature < count]
    if wrong:
        raise DictionaryError(f"no feature {wrong[0]}; the dictionary has 0 to {count - 1}")


def _trials(adapter: "AnyAdapter", task: str, n: int, seed: int) -> "Trials":
    from mmsteer.adapters import MusicgenAdapter
    from mmsteer.eval.notes import parse_pitch_class
    from mmsteer.latents import worlds

    if isinstance(adapter, MusicgenAdapter):
        if task.startswith("note:"):
            return worlds.note_trials(adapter, parse_pitch_class(task.removeprefix("note:")), n, seed=seed)
        if task == "instrument":
            return worlds.instrument_trials(adapter, n, seed=seed)
    elif task == "questions":
        # Up to six questions a scene, about objects that occur in others: a few scenes are too few to ask about.
        (asked,) = worlds.question_trials(adapter, max(SCENES, n // 2), seed=seed).split(n)
        return asked
    elif task == "captions":
        return worlds.caption_trials(adapter, n, seed=seed)
    raise DataError(
        f"no task {task!r} for this model; music has note:C to note:B and instrument, vision questions, captions"
    )


def _shown(adapter: "AnyAdapter", file: Path, text: str, answer: str | None) -> Any:
    from dataclasses import replace

    from mmsteer.adapters import MusicgenAdapter
    from mmsteer.cli.sae_inputs import heard, seen

    if isinstance(adapter, MusicgenAdapter):
        return heard(adapter, file, text, "")
    if answer is None:
        raise DataError(f"{file} shows no answer; give --answer, the words that are wanted")
    return replace(seen(adapter, file, answer, text), id=file.name)


def _compared(rows: list[dict[str, Any]]) -> None:
    shown = [
        (row["trials"], row["condition"], _score(row["reward"]["value"]), _change(row["change"]), _ratio(row))
        for row in rows
    ]
    _table("on other prompts", ("trials", "condition", "reward", "change", "broken of changed"), shown)


def _rows(title: str, rows: list[dict[str, Any]]) -> None:
    cells = [tuple(_score(value) if isinstance(value, float) else str(value) for value in row.values()) for row in rows]
    _table(title, tuple(rows[0]), cells)


def _table(title: str, names: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*names, title=title, title_justify="left")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def _score(value: float | None) -> str:
    return "unscored" if value is None else f"{value:.3f}"


def _change(change: dict[str, Any] | None) -> str:
    if change is None or change["value"] is None:
        return ""
    return f"{change['value']:+.3f} ({change['low']:+.3f} to {change['high']:+.3f})"


def _ratio(row: dict[str, Any]) -> str:
    return "" if row["fixed"] is None else f"{row['broken']} of {row['broken'] + row['fixed']}"
