"""`mmsteer eval chair`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmsteer.cli.eval_out import Out, write_report
from mmsteer.cli.eval_table import AsJson
from mmsteer.cli.files import check_unread
from mmsteer.cli.tables import table
from mmsteer.errors import EvalError

if TYPE_CHECKING:
    from mmsteer.eval.chair import ChairScore
    from mmsteer.types import Score

HEADINGS = ("score", "value", "95 % interval", "unscored")
LABELS = {
    "chair_s": "CHAIR_s: captions with a hallucinated object",
    "chair_i": "CHAIR_i: mentions that are hallucinated",
    "recall": "recall: objects in the image that are named",
    "precision": "precision: named objects that are in the image",
    "f1": "F1 of named objects",
    "length": "words a caption",
    "distinct": "distinct objects a caption",
    "empty": "empty captions",
    "repetition": "repeated runs of four words",
    "no_objects": "captions that name no object",
}


def chair(
    captions: Annotated[Path, typer.Option(help='JSON lines of {"image_id", "caption"}')],
    objects: Annotated[
        Path | None, typer.Option(help="JSON of {image: \\[class, ...]}, or of instances as COCO has them")
    ] = None,
    coco: Annotated[Path | None, typer.Option(help="folder of instances_*.json and captions_*.json")] = None,
    compat: Annotated[str, typer.Option(help="fixed, or pattern or wordnet to reproduce published numbers")] = "fixed",
    synonyms: Annotated[Path | None, typer.Option(help="another list of synonyms, in the published format")] = None,
    rows: Annotated[Path | None, typer.Option(help="write every caption with its mentions here, as JSON lines")] = None,
    seed: Annotated[int, typer.Option(min=0, help="seed of the intervals")] = 0,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Which objects of captions, anybody's, are not in the image (CHAIR).

    [bold]Example[/]

    mmsteer eval chair --captions captions.jsonl --coco annotations --compat pattern --json
    """
    from rich.console import Console

    if rows:
        check_unread(rows, captions, objects, synonyms, *(coco.glob("*.json") if coco else ()))
    score = _judge(captions, objects, coco, compat, synonyms, seed)
    if rows:
        _write(rows, score)
    texts = [_texts(LABELS[name], one) for name, one in score.scores.items()]
    title = f"CHAIR ({score.compat}), {score.n} captions"
    if out is not None:
        numbers = [{"name": name, **one.to_json()} for name, one in score.scores.items()]
        write_report(out, title, score.to_json(), numbers, HEADINGS, texts)
    if as_json:
        print(json.dumps(score.to_json(), allow_nan=False))
    else:
        Console().print(table(HEADINGS, texts, title))


def _judge(
    captions: Path, objects: Path | None, coco: Path | None, compat: str, synonyms: Path | None, seed: int
) -> "ChairScore":
    from mmsteer.eval.chair import Chair
    from mmsteer.eval.chair_data import check_images, read_captions, read_coco, read_objects
    from mmsteer.eval.chair_parser import object_parser
    from mmsteer.eval.chair_synonyms import read_synonyms

    source = objects or coco
    if source is None or (objects and coco):
        raise EvalError("give the objects of the images once: --objects FILE, or --coco FOLDER")
    words = read_synonyms(synonyms) if synonyms else None
    parse = object_parser(compat, words)
    said = read_captions(captions)
    truth = read_objects(source) if objects else read_coco(source, parse, [caption.image for caption in said])
    check_images(said, truth, source)
    wanted = {caption.image: truth[caption.image] for caption in said}
    return Chair(wanted, compat, words).score({caption.image: caption.text for caption in said}, seed=seed)


def _write(path: Path, score: "ChairScore") -> None:
    from mmsteer.atomic import write_atomically

    lines = (json.dumps(row.to_json(), ensure_ascii=False, allow_nan=False) for row in score.rows)
    try:
        # A lone surrogate, half of an emoji, becomes the escape that JSON has for it.
        write_atomically(path, "".join(f"{line}\n" for line in lines).encode(errors="backslashreplace"))
    except OSError as error:
        raise EvalError(f"{path}: cannot be written ({error.strerror}); give a file in a folder that exists") from None


def _texts(label: str, one: "Score") -> tuple[str, str, str, str]:
    value = "-" if one.value is None else f"{one.value:.4f}"
    interval = "-" if one.value is None else "no interval" if one.low is None else f"{one.low:.4f} to {one.high:.4f}"
    return label, value, interval, str(one.unscored or "")
