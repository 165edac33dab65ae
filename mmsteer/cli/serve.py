"""`mmsteer serve`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mmsteer.cli.options import Device, Dtype
from mmsteer.errors import AdapterError, DirectionError, ServingError

if TYPE_CHECKING:
    from mmsteer.adapters import LanguageModelAdapter
    from mmsteer.types import Direction

ANY_HOST = ("0.0.0.0", "::")
CONNECTIONS = 256


def serve(
    model: Annotated[str, typer.Option(help="a bundled model, a folder, or a Hugging Face name; it writes text")],
    directions: Annotated[
        list[Path] | None, typer.Option(help="a file of directions that requests may name; repeated for several")
    ] = None,
    steer: Annotated[
        str, typer.Option(help="lines of steering, or a preset, for requests that do not say (usual: unsteered)")
    ] = "",
    preset: Annotated[
        list[str] | None,
        typer.Option(help="NAME=LINES: steering that requests ask for by name, or as the model MODEL+NAME; repeated"),
    ] = None,
    compatibility: Annotated[
        Literal["exact", "architecture", "dimension"] | None,
        typer.Option(
            help="how alike the model must be to the one that --directions were found in (usual: exact; dimension for "
            "files that do not name it)"
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="what requests call the model (usual: as --model)")] = None,
    host: Annotated[str, typer.Option(help="the address to listen at")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8000,
    batch: Annotated[int, typer.Option(min=1, max=256, help="most answers that are made at once")] = 8,
    wait_ms: Annotated[float, typer.Option(min=0, max=1000, help="how long the first one waits for others")] = 5,
    queue: Annotated[int, typer.Option(min=1, help="most answers that wait; more are refused with 429")] = 64,
    max_prompt: Annotated[int, typer.Option(min=1, help="most tokens of a prompt")] = 4096,
    max_tokens: Annotated[int, typer.Option(min=1, help="most tokens of an answer")] = 1024,
    max_body: Annotated[int, typer.Option(min=1024, help="most bytes of a request")] = 16 << 20,
    device: Device = "cpu",
    dtype: Dtype = "float32",
) -> None:
    """Serve a model that writes text by OpenAI's API, each request with a steering of its own.

    [bold]Examples[/]

    mmsteer serve --model bundled:text --directions style.safetensors

    mmsteer serve --model bundled:text --directions style.safetensors --preset "pirate=style:pirate 0.3 on text.14"
    """
    presets = _presets(preset or [])
    uvicorn = _uvicorn()
    from mmsteer.cli.quiet import hush
    from mmsteer.serving.admission import Catalog, Limits
    from mmsteer.serving.app import make_app
    from mmsteer.serving.assemble import assemble

    hush()
    known = _directions(directions or [], compatibility)
    adapter = _load(model, device, dtype)
    catalog = Catalog(name or model, known, presets, steer)
    server = assemble(adapter, catalog, Limits(max_prompt, max_tokens), (batch, wait_ms / 1000, queue), max_body)
    hosts = ["*"] if host in ANY_HOST else ["127.0.0.1", "localhost", host]
    print(f"{catalog.model} at http://{host}:{port}/v1, with {len(known)} directions and the presets {sorted(presets)}")
    uvicorn.run(make_app(server, hosts), host=host, port=port, log_level="warning", limit_concurrency=CONNECTIONS)


def _load(model: str, device: str, dtype: str) -> "LanguageModelAdapter":
    from mmsteer.adapters import LanguageModelAdapter
    from mmsteer.api import load

    adapter = load(model, device=device, dtype=dtype)
    if not isinstance(adapter, LanguageModelAdapter):
        raise AdapterError(f"{model} makes music, and this API has text alone; play it with `mmsteer generate`")
    return adapter


def _presets(texts: Sequence[str]) -> Mapping[str, str]:
    pairs = [text.partition("=") for text in texts]
    for name, equals, line in pairs:
        if not (name.strip() and equals and line.strip()):
            raise ServingError(
                f"--preset {name + equals + line!r}: write NAME=LINES, such as 'pirate=style:pirate 0.3'"
            )
    if len({name.strip() for name, _, _ in pairs}) != len(pairs):
        raise ServingError("two of --preset have the same name; choose another")
    return {name.strip(): line.strip() for name, _, line in pairs}


def _directions(files: Sequence[Path], compatibility: str | None) -> "Mapping[str, Direction]":
    from mmsteer.formats import load_directions

    known: dict[str, Direction] = {}
    for file in files:
        found = load_directions(file, compatibility=compatibility)
        twice = sorted(found.keys() & known.keys())
        if twice:
            raise DirectionError(f"{file}: {twice[0]!r} is in another file of --directions, too; leave one out")
        known |= found
    return known


def _uvicorn() -> Any:
    try:
        import fastapi  # noqa: F401  # both, before a model is loaded
        import uvicorn
    except ModuleNotFoundError as missing:
        raise ServingError(f"{missing.name} is not installed: pip install 'mmsteer[serve]'") from None
    return uvicorn
