"""A recipe on rows, for the small models of the tests."""

import json

PROMPTS = [
    "is there a cup",
    "describe the table",
    "is the image a cup",
    "the table shows",
    "describe a cup",
    "is a table",
]
TEXT = """
kind: KIND
name: tiny
about: words, to test by
seed: 0
model: {load: MODEL, device: cpu, dtype: float32}
directions:
  - family: said
    probe: mean-difference
    data: {files: train.jsonl}
    sites: STACK.1-2
    positions: generated
    pool: mean
data: {files: test.jsonl}
generate: {GENERATE, batch: 4}
score: SCORE
conditions:
  - name: "at {strength}"
    sweep: {strength: [1.0, 4.0]}
    steer: ["said:yes {strength}"]
controls: {unsteered: true, random: 1, shuffled: true}
choose: {of: all, maximise: GOAL, data: {files: val.jsonl}}
"""
SCORE = '{cups: "contains:cup", length: length, blank: blank, surprise: surprise, options: options}'


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_rows(folder):
    """Labelled answers, and prompts with options to choose on and to test on."""
    labelled = [{"prompt": p, "answer": f"{a} {p}", "label": a} for p in PROMPTS for a in ("yes", "no")]
    write(folder / "train.jsonl", labelled)
    for name, some in (("val", PROMPTS[:2]), ("test", PROMPTS[2:])):
        write(folder / f"{name}.jsonl", [{"prompt": p, "answer": "yes", "options": ["yes", "no"]} for p in some])


def write_recipe(folder, model, *, kind="text", stack="text", score=SCORE, goal="cups", **replaced):
    generate = replaced.pop("generate", "tokens: 4, temperature: 1.0")
    text = TEXT.replace("KIND", kind).replace("MODEL", str(model)).replace("STACK", stack).replace("SCORE", score)
    text = text.replace("GOAL", goal).replace("GENERATE", generate)
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    path = folder / "tiny.yaml"
    path.write_text(text)
    return path
