"""`mmsteer eval clip-score`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmsteer.cli.eval_out import Out
from mmsteer.cli.eval_table import AsJson, show
from mmsteer.cli.options import Device
from mmsteer.errors import EvalError

if TYPE_CHECKING:
    from mmsteer.eval.chair_data import Caption


def clip_score(
    captions: Annotated[Path, typer.Option(help='JSON lines of {"image_id", "caption"}')],
    images: Annotated[Path, typer.Option(help="the folder with the images")],
    model: Annotated[str, typer.Option(help="a name that open_clip knows, or a folder with its config and weights")],
    pretrained: Annotated[str | None, typer.Option(help="weights of a named model: a tag or a checkpoint file")] = None,
    device: Device = "cpu",
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """How well captions fit their images, by any CLIP model and without a reference (CLIPScore, 0 to 2.5).

    CLIP reads the beginning of a long caption alone: this is a check of captions, and no measure of hallucination.

    [bold]Example[/]

    mmsteer eval clip-score --captions captions.jsonl --images val2014 --model ViT-B-32 --pretrained openai
    """
    from mmsteer.eval.chair_data import read_captions
    from mmsteer.eval.clip_score import clip_score as judge
    from mmsteer.images import read_image

    said = read_captions(captions)
    pictures, texts = [read_image(file) for file in _files(images, said)], [one.text for one in said]
    found = judge(pictures, texts, model, pretrained, device=device)
    score = found.score
    lines = [
        ("CLIPScore", score.value, (score.low, score.high)),
        ("captions longer than the model reads", found.truncated, None),
        ("captions without a word", score.unscored, None),
    ]
    report = {"score": score.to_json(), "truncated": found.truncated, "model": found.model}
    show(f"CLIPScore, {found.model}, {len(said)} captions", lines, report, as_json, out)


def _files(folder: Path, said: "tuple[Caption, ...]") -> list[Path]:
    from mmsteer.eval.chair_data import image_name

    known = {image_name(file.name): file for file in folder.iterdir()} if os.path.isdir(folder) else {}
    if missing := [one for one in said if one.image not in known]:
        raise EvalError(f"{missing[0].where}: {folder} has no image {missing[0].image} ({len(missing)} are missing)")
    return [known[one.image] for one in said]
