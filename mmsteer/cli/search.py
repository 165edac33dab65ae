"""`mmsteer search`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmsteer.cli.options import Device, Dtype, Quiet, ReportTo, Workers
from mmsteer.errors import SteeringError

if TYPE_CHECKING:
    from mmsteer.search import Place, Search
    from mmsteer.types import Adapter, Direction, Sampling


def search(
    model: Annotated[str, typer.Option(help="a bundled model, a folder, or a Hugging Face name")],
    data: Annotated[Path, typer.Option(help="JSON lines of prompts, with what the reward asks of them")],
    directions: Annotated[Path, typer.Option(help="a file of directions")],
    reward: Annotated[
        str, typer.Option(help="what is wanted, such as contains:Arr or 'not refusal' of answers, or note:C of clips")
    ],
    name: Annotated[str | None, typer.Option(help="the direction, where the file has several")] = None,
    budget_kl: Annotated[float, typer.Option(help="nats a token that steering may cost")] = 0.5,
    sites: Annotated[
        list[str] | None,
        typer.Option(
            help="where, such as text.14, text.10-14 or text.12.head.5; repeated (default: middle; best heads)"
        ),
    ] = None,
    strengths: Annotated[
        str | None,
        typer.Option(help="fractions of the residual norm (usual: 0.05,0.1,0.15,0.2,0.3)"),
    ] = None,
    at: Annotated[
        list[str] | None,
        typer.Option("--at", help="which tokens are steered, such as generated; repeated (usual: all)"),
    ] = None,
    tokens: Annotated[
        int | None, typer.Option(min=1, help="text: at most this many tokens an answer (usual: 48)")
    ] = None,
    seconds: Annotated[float | None, typer.Option(help="audio: of each clip (usual: as the model is asked)")] = None,
    temperature: Annotated[
        float | None, typer.Option(min=0, help="0 takes the likeliest token (usual: 0 for text, the model's for audio)")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="answers that are generated together")] = 16,
    seed: Annotated[int, typer.Option(min=0, help="of the draw of rows, the random direction and what is drawn")] = 0,
    out: Annotated[Path | None, typer.Option(help="the folder of the search (default: runs/search-NAME)")] = None,
    workers: Workers = None,
    device: Device = "cpu",
    dtype: Dtype = "float32",
    report_to: ReportTo = None,
    quiet: Quiet = False,
) -> None:
    """Find where and how strongly to steer: the most reward within a budget, beside a random direction.

    Every layer and strength is tried on validation rows (those of the split `validation`, or 16 that are drawn), and
    the choice is judged on rows that chose nothing. A search that was stopped goes on when the same command is given
    again.

    [bold]Example[/]

    mmsteer search --model bundled:text --data asked.jsonl --directions style.safetensors --name style:pirate
    --reward "contains:arr|matey|ye |aye" --budget-kl 0.5
    """
    from mmsteer.api import load
    from mmsteer.cli.files import write_out
    from mmsteer.cli.quiet import hush
    from mmsteer.eval.rewards import parse_output_reward
    from mmsteer.formats import load_directions
    from mmsteer.recipes.model_workers import model_workers
    from mmsteer.report.search_page import search_page, search_svg
    from mmsteer.search import STRENGTHS, Grid
    from mmsteer.search import search as find
    from mmsteer.tasks import read_rows
    from mmsteer.tracking import check_trackers, opened_trackers
    from mmsteer.types import Sampling

    hush()
    check_trackers(report_to or ())
    parse_output_reward(reward)
    rows = read_rows(data)
    direction = _one(load_directions(directions), name)
    places = tuple(at or ("all",))
    grid = Grid(tuple(sites or ()), STRENGTHS if strengths is None else _numbers(strengths), places)
    folder = out or Path("runs") / f"search-{direction.name.replace(':', '-')}"
    adapter = load(model, device="cpu" if workers else device, dtype=dtype)
    settings = {"model": model, "data": str(data), "reward": reward, "budget_kl": budget_kl, "seed": seed}
    with (
        opened_trackers(report_to or (), folder, direction.name, settings) as trackers,
        model_workers(workers, adapter, model, device=device, dtype=dtype) as by,
    ):
        found = find(
            adapter,
            direction,
            rows,
            parse_output_reward(reward, adapter.output_kind),
            budget_kl=budget_kl,
            grid=grid,
            sampling=_sampling(adapter, Sampling(tokens, seconds, temperature)),
            batch=batch,
            seed=seed,
            folder=folder,
            workers=by,
            progress=not quiet,
            report_to=trackers,
        )
    write_out(folder / "index.html", search_page(found).encode())
    write_out(folder / "tradeoff.svg", search_svg(found))
    _show(found)
    print(f"\nfolder: {folder}\npage:   {folder / 'index.html'}")


def _sampling(adapter: "Adapter", given: "Sampling") -> "Sampling":
    """What was given and what is usual.

    Raises:
        SteeringError: A length of the other kind of output was given.
    """
    if adapter.output_kind == "audio":
        if given.tokens is not None:
            raise SteeringError("--tokens is for text, and this model makes audio; give --seconds, or leave it out")
        return given
    if given.seconds is not None:
        raise SteeringError("--seconds is for audio, and this model makes text; give --tokens, or leave it out")
    return given.filled(type(given)(tokens=48, temperature=0.0))


def _one(known: "Mapping[str, Direction]", name: str | None) -> "Direction":
    chosen = next(iter(known)) if name is None and len(known) == 1 else name
    if chosen is None or chosen not in known:
        what = "the file has several directions" if name is None else f"there is no direction {name!r}"
        raise SteeringError(f"{what}; choose one by --name: {', '.join(known)}")
    return known[chosen]


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise SteeringError(f"--strengths {text!r}: write numbers, such as 0.1,0.2,0.4") from None


def _where(place: "Place") -> str:
    return place.sites if place.positions == "all" else f"{place.sites} at {place.positions}"


def _show(found: "Search") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from mmsteer.report.search_page import verdict

    table = Table(title="Reward, and KL in nats a token", title_justify="left")
    for heading, side in (("where", "left"), ("strength", "right"), ("reward", "right"), ("KL", "right")):
        table.add_column(heading, justify="left" if side == "left" else "right", no_wrap=True)
    table.add_column("random", justify="right", no_wrap=True)
    for cell, control in zip(found.cells, found.controls, strict=True):
        rewards = [f"{one.worth:.2f}" if one.answers else "-" for one in (cell, control)]
        style = "bold" if cell == found.best else "dim" if cell.kl > found.budget_kl else ""
        table.add_row(
            _where(cell.place), f"{cell.place.strength:g}", rewards[0], f"{cell.kl:.2f}", rewards[1], style=style
        )
    console = Console(highlight=False)
    console.print(table)
    for line in verdict(found):
        console.print(Text(line))
    if found.best and found.gains:
        console.print(Text(f'\n--steer "{found.line(found.best)}"'), soft_wrap=True)
