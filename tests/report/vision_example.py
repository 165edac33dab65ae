"""A run folder of the kind vision in the documented format, made up: a sweep tried on other images, hostile texts."""

import json
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from tests.report.example import HOSTILE, write

KINDS = ("unsteered", "steered", "random", "wrong_image")
OBJECTS = ["cup", "laptop"]
# Each names a chair, which is not there, and what is there; the steered one leaves out the chair.
BEFORE = "A laptop and a chair near a second chair."
AFTER = "A laptop beside a cup."
OTHER = "A laptop and a chair."
PUSHES = [0.1, 0.0, 0.05, 0.025, 0.2]  # of the words of AFTER
CHAIR_S = {0.2: 0.5, 0.4: 0.3, 0.8: 0.1}
RECALL = {0.2: 0.8, 0.4: 0.78, 0.8: 0.5}
VALIDATED = 0.02  # how much higher everything is on the validation images


def make_vision_run(folder: Path, images: int = 10, *, changed: int = 7) -> Path:
    """Write the folder; the truth is planted, so that a page can be compared with it.

    Args:
        folder: Where to.
        images: Pictures of the test.
        changed: Of these, the first ones whose caption and answers steering changes.
    """
    chosen = ["honest at 0.4", "contrast 1.0"]
    tried = [*(f"honest at {strength}" for strength in CHAIR_S), "contrast 0.5", "contrast 1.0"]
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "validation").mkdir(exist_ok=True)
    rule = {"of": "each", "maximise": None, "minimise": "chair_s", "bounds": {"recall": {"at_least": -0.03}}}
    write(folder, "run.json", {"id": "abcdef0123", "name": "seeing", "finished": True})
    recipe = {"kind": "image", "about": "Fewer?", "ask": {}, "choose": rule}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    write(folder, "environment.json", _environment())
    _describe(folder, images)
    write(folder, "conditions.json", _conditions(chosen, controls=True))
    lines = [_line(one, at, changed) for one in _conditions(chosen, controls=True) for at in range(images)]
    (folder / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    write(folder, "scores.json", {"rows": [_row(name, images, controls=True) for name in chosen], "summaries": []})
    write(folder, "receipts.json", {one["name"]: _receipt(one) for one in _conditions(chosen, controls=True)})
    write(folder, "doses.json", {name: {"factor": None, "kl": 0.1} for name in chosen})
    steps = {"direction": "honest:yes", "label": "yes", "steps": [0, 1, 2], "strength": [0.4, 0.2, 0.0]}
    words = {at: PUSHES for at in range(images)}
    write(folder, "traces.json", {chosen[0]: {"attributes": [steps], "words": words}, chosen[1]: {"attributes": []}})
    write(folder, "probe.json", [])
    write(folder, "choice.json", [_choice(chosen[0], 3, 2), _choice(chosen[1], 2, 1)])
    part = folder / "validation"
    write(part, "conditions.json", _conditions(tried, controls=False))
    write(part, "examples.json", [])
    (part / "samples.jsonl").write_text("{}\n" * 12)
    write(part, "scores.json", {"rows": [_row(name, 6, controls=False) for name in tried], "summaries": []})
    return folder


def _describe(folder: Path, images: int) -> None:
    rows = []
    for at in range(images):
        Image.new("RGB", (8, 6), (20 * at % 256, 90, 120)).save(folder / f"images/{at:05d}.png")
        name = HOSTILE if at == 0 else f"test-{at}"
        rows.append({"index": at, "id": name, "images": [f"images/{at:05d}.png"], "objects": OBJECTS})
    write(folder, "examples.json", rows)


def _conditions(names, *, controls: bool) -> list[dict]:
    made = [_condition("unsteered", "unsteered")]
    for name in names:
        beside = [f"random 1 as {name}", f"wrong image as {name}"] if controls and "honest" in name else []
        made.append(_condition(name, "steered", beside))
        made += [_condition(one, "random" if "random" in one else "wrong_image") for one in beside]
    return made


def _condition(name, kind, controls=()) -> dict:
    strength = float(name.split()[-1]) if kind == "steered" else None
    decoded = name.startswith("contrast")
    return {
        "name": name,
        "kind": kind,
        "folder": "x",
        "values": {} if strength is None else {"strength": strength},
        "steering": [] if kind == "unsteered" or decoded else [f"honest:yes {strength} at all - first"],
        "decode": {"text_only": {"strength": strength, "cutoff": 0.1, "prefix": None}} if decoded else {},
        "controls": list(controls),
    }


def _line(condition, at, changed) -> dict:
    steered = condition["kind"] == "steered" and at < changed
    caption = AFTER if steered else BEFORE if condition["kind"] in ("unsteered", "steered") else OTHER
    if steered and at == 1:
        caption = f"{HOSTILE} a cup"
    outcome = "tn" if steered else "fp"
    return {
        "condition": condition["name"],
        "example": at,
        "id": f"test-{at}",
        "caption": caption,
        "mentions": _mentions(caption),
        "missed": [word for word in OBJECTS if word not in caption],
        **({"said": BEFORE, "denied": {"chair": -0.5}} if steered and condition["decode"] else {}),
        "answers": [
            _answer("Is there a chair in the image?", "no", outcome, "No." if steered else "Yes."),
            _answer("Is there a cup in the image?", "yes", "unparsed", "Perhaps."),
        ],
    }


def _mentions(caption) -> list[dict]:
    found = []
    for word in ("laptop", "chair", "cup"):
        at = caption.find(word)
        while at >= 0:
            span = {"words": word, "start": at, "stop": at + len(word), "hallucinated": word == "chair"}
            found.append({"object": word, **span})
            at = caption.find(word, at + 1)
    return found


def _answer(question, label, outcome, text) -> dict:
    return {
        "question": question,
        "label": label,
        "splits": ["random", "adversarial"],
        "answer": text,
        "logit": None,
        "outcome": outcome,
    }


def _row(name, n, *, controls: bool) -> dict:
    strength, honest = float(name.split()[-1]), name.startswith("honest")
    off = 0.0 if controls else VALIDATED
    chair, recall = (CHAIR_S[strength], RECALL[strength]) if honest else (0.58 - 0.05 * strength, 0.79)
    beside = controls and honest
    return {
        "condition": name,
        "conditions": [name],
        "values": {"strength": strength},
        "decode": {},
        "kl": 0.5 * strength**2 if honest else None,
        "ratio": strength if honest else None,
        "metrics": {
            "chair_s": _metric(chair + off, 0.6 + off, n, beside),
            "chair_i": _metric(chair / 5, 0.12, n, beside),
            "recall": _metric(recall + off, 0.8 + off, n, beside),
            "f1": _metric(0.85 - chair / 10, 0.8, n, beside),
            "length": _metric(30.0, 40.0, n, beside, width=2.0),
            "empty": _metric(0.0, 0.0, n, beside, width=0.0),
            "pope.adversarial.f1": _metric(0.75, 0.7, n, beside),
            "pope.adversarial.unparsed": _metric(0.5, 0.5, n, beside),
        },
        "flips": {"adversarial": {"fp->tn": 7, "fp->fp": n - 7, "tn->fp": 2, "unparsed->unparsed": n}},
    }


def _metric(steered, before, n, beside, width=0.04) -> dict:
    found = {
        "steered": _score(steered, width, n),
        "unsteered": _score(before, width, n),
        "difference": _score(steered - before, width, n),
        "chance": None,
    }
    for kind in ("random", "wrong_image") if beside else ():
        near = before + (0.01 if kind == "random" else -0.02)
        found |= {
            kind: _score(near, width, n),
            f"{kind}_difference": _score(near - before, width, n),
            f"against_{kind}": _score(steered - near, width, n),
        }
    return found


def _score(value, width, n) -> dict:
    low, high = np.round([value - width, value + width], 6).tolist()
    return {"value": round(value, 6), "low": low, "high": high, "n": n, "unscored": 0}


def _choice(name, tried, allowed) -> dict:
    return {
        "condition": name,
        "goal": "minimise chair_s",
        "value": 0.3,
        "within_bounds": True,
        "broken": [],
        "tried": tried,
        "allowed": allowed,
    }


def _receipt(condition) -> dict:
    steered = bool(condition["steering"])
    return {
        "attributes": condition["steering"],
        "calls": 2,
        "rows": 24,
        "steps": 400,
        "tokens": 4824,
        "ratio": 0.05 if steered else None,
        "sites": {"text.1": {"ratio": 0.05, "peak": 0.1, "moments": 9}} if steered else {},
        "kl": 0.1 if steered else None,
    }


def _environment() -> dict:
    return {
        "id": "abcdef0123",
        "mmsteer": "0.1.0",
        "code": "8567e5cde6d073ae",
        "python": "3.11.7",
        "platform": "Linux x86_64",
        "packages": {"torch": "2.11.0"},
        "model": {"name": "tiny", "fingerprint": "94a42ca7cad40096"},
        "directions": {},
        "files": {"/data/objects.json": "0123abcd"},
    }
