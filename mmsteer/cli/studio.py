"""`mmsteer studio`."""

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from mmsteer.cli.options import Device, Dtype
from mmsteer.errors import StudioError


def studio(
    model: Annotated[
        list[str] | None,
        typer.Option(help="a folder or name that can be loaded beside the bundled models; the first is (repeatable)"),
    ] = None,
    folder: Annotated[Path, typer.Option(help="where files are read and written; no other is")] = Path("studio"),
    host: Annotated[str, typer.Option(help="the address to listen at")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 7860,
    device: Device = "cpu",
    dtype: Dtype = "float32",
) -> None:
    """Try directions by hand: draw a curve for each, and compare before and after.

    [bold]Example[/]

    mmsteer studio --model bundled:music --folder mine
    """
    _check_gradio()
    from mmsteer.cli.quiet import hush
    from mmsteer.studio.launch import start
    from mmsteer.studio.workshop import MODELS, Workshop

    hush()
    folder.mkdir(parents=True, exist_ok=True)
    print(f"http://{host}:{port}, with the files of {folder.resolve()}")
    start(Workshop(folder, tuple(model or MODELS[:1]), device, dtype), host, port).block_thread()


def _check_gradio() -> None:
    if importlib.util.find_spec("gradio") is None:
        raise StudioError("gradio is not installed: pip install 'mmsteer[studio]'")
