"""`mmsteer push`."""

from pathlib import Path
from typing import Annotated

import typer


def push(
    directions: Annotated[Path, typer.Argument(help="a file of directions, of any format that can be read")],
    repo: Annotated[str, typer.Argument(help="user/name on the hub; it is made where there is none")],
    licence: Annotated[str, typer.Option("--licence", "--license", help="of the vectors, such as apache-2.0")],
    model: Annotated[str | None, typer.Option(help="name on the hub of the model that they were found in")] = None,
    run: Annotated[
        Path | None, typer.Option(help="folder of a run that judged them: its scores and controls are on the card")
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="make a private repository")] = False,
    force: Annotated[bool, typer.Option("--force", help="replace the file and the card of a repository")] = False,
    message: Annotated[str, typer.Option(help="of the commit")] = "Add directions",
) -> None:
    """Upload directions to the Hugging Face Hub, with a card that says how they were found and what they do.

    The hub's own settings hold: HF_TOKEN or `hf auth login` says who writes, HF_ENDPOINT where.

    [bold]Example[/]

    mmsteer push pirate.safetensors me/pirate --licence apache-2.0 --model HuggingFaceTB/SmolLM2-135M-Instruct
    """
    from mmsteer.formats import load_directions
    from mmsteer.hub import push as upload
    from mmsteer.hub import read_scores

    known, scores = load_directions(directions), read_scores(run) if run else None
    address = upload(
        known, repo, licence=licence, model=model, scores=scores, private=private, overwrite=force, message=message
    )
    print(f"{address}\nmmsteer.load_directions({address!r})")
