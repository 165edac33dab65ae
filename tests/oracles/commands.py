"""The commands whose numbers are kept, by name."""

import json

from tests.oracles.oracle import (
    Oracle,
    page_rows,
    printed_and,
    printed_json,
    printed_lines,
    results,
    run_folder,
    weights,
)


def recipe(name: str, *changes: str) -> Oracle:
    """`mmsteer run` of a recipe made small."""
    return Oracle((f"run {name} {' '.join(changes)} --quiet --out run",), run_folder)


def sae(words: str) -> Oracle:
    """A command of `mmsteer sae` that writes its tables as JSON."""
    return Oracle((f"sae {words} --out out.json",), results)


def scenes(count: int, *directions: int, of: str = "data.scenes") -> str:
    """Changes that find these directions on so many scenes."""
    return " ".join(f"directions.{at}.{of}.n={count}" for at in directions)


def clips(count: int, directions: int) -> str:
    """Changes that find each direction on so many clips of each label."""
    return " ".join(f"directions.{at}.data.clips={count}" for at in range(directions))


def heard(evaluator: str, clip: str) -> Oracle:
    """`mmsteer eval` of a steered clip."""
    return Oracle((clip, f"eval {evaluator} c.wav --json"), printed_json)


TONE = 'generate --prompt "a slow piano melody" --steer "note:C 0.1 fade-in 0..2s" --seconds 2 --out c.wav'
TUNE = 'generate --prompt "a fast flute melody" --steer "note:G 0.05" --seconds 6 --out c.wav'
CAPTIONS = "ask.pope=null controls.random=0 controls.wrong_image=false"
TRAINED = "sae train --site decoder.3 --features 128 --k 8 --steps 60 --batch 256 --samples 16 --quiet --out mine"
OBJECTS = "coco/objects_val2014.json"
QUESTIONS = "pope/coco_pope_adversarial.json"
TWO_OF_THREE = json.dumps([{"question_id": at, "answer": "Yes" if at % 3 else "No"} for at in range(1, 3001)])
# Each of the dozen conditions at one strength, and nothing chosen: the decoding methods matter here.
ONE_STRENGTH = " ".join(f"conditions.{at}.sweep.strength=[{0.1 if at < 9 else 0.5}]" for at in range(12))

ORACLES = {
    "run-demo": recipe("demo", clips(5, 1), "data.world.n=4", "generate.seconds=2"),
    "run-demo-vision": recipe("demo-vision", scenes(60, 0, 1), "data.scenes.n=20"),
    "run-cross-fade": recipe("cross-fade", clips(6, 1), "data.world.n=4"),
    "run-note-and-instrument": recipe("note-and-instrument", clips(6, 2), "data.world.n=4", "generate.seconds=2"),
    "run-twelve-notes": recipe("twelve-notes", clips(5, 2), "data.world.n=2", "generate.seconds=1"),
    "run-seven-finders-music": recipe(
        "seven-finders-music", clips(6, 9), "data.world.n=3 generate.seconds=1 conditions.0.sweep.note=[C,A]"
    ),
    "run-seven-finders-vision": recipe("seven-finders-vision", scenes(60, *range(9)), "data.scenes.n=16"),
    "run-hallucination": recipe(
        "hallucination",
        scenes(60, *range(4)),
        "data.scenes.n=12 choose.data.scenes.n=16 conditions.0.sweep.strength=[0.02,0.04]",
    ),
    "run-hallucination-methods": recipe(
        "hallucination-methods",
        scenes(40, 0, 1, 2, 3, 6),
        scenes(24, 4, 5, 7, 8, of="data.demos.scenes"),
        ONE_STRENGTH,
        "data.scenes.n=8 choose=null controls.random=0 controls.wrong_image=false",
    ),
    "run-less-and-shorter": recipe("less-and-shorter", scenes(40, 0, 1), "data.scenes.n=16"),
    "generate-music": Oracle((TONE,), printed_lines),
    "generate-vision": Oracle(
        (
            f"run demo-vision {scenes(16, 0, 1)} data.scenes.n=6 {CAPTIONS} --quiet --out run",
            'generate --image run/images/00000-0.png --prompt "Please describe this image in detail." --compare '
            '--directions run/directions.safetensors --steer "stop:yes 0.05 at generated"',
        ),
        printed_lines,
    ),
    "probe-music": Oracle(
        ("probe --concept note --clips 5 --out found.safetensors",), printed_and("found.safetensors")
    ),
    "probe-vision": Oracle(
        ("probe --contrast counterfactual --probe rfm --pairs 40 --out found.safetensors",),
        printed_and("found.safetensors"),
    ),
    "eval-notes": heard("notes --target C", TONE),
    "eval-tempo": heard("tempo", TUNE),
    "eval-register": heard("register", TUNE),
    "eval-chords": heard("chords", TUNE),
    "eval-chair": Oracle(
        (f"eval chair --captions DATA/captions/llava.jsonl --objects DATA/{OBJECTS} --compat pattern --json",),
        printed_json,
        needs=("captions/llava.jsonl", OBJECTS),
    ),
    "eval-pope": Oracle(
        (f"eval pope --questions DATA/{QUESTIONS} --answers answers.json --json",),
        printed_json,
        inputs={"answers.json": TWO_OF_THREE},
        needs=(QUESTIONS,),
    ),
    "sae-train": Oracle((TRAINED,), printed_and("mine/sae_weights.safetensors")),
    "sae-convert": Oracle((TRAINED, "sae convert mine theirs"), lambda _: weights("theirs/sae_weights.safetensors")),
    "sae-measure-music": Oracle(("sae measure bundled:music --samples 4",), printed_lines),
    "sae-measure-vision": Oracle(("sae measure bundled:vision --samples 16",), printed_lines),
    "sae-browse-music": Oracle(
        ("sae browse bundled:music --samples 24 --features 4 --steered 1 --out page",), page_rows("page/features.html")
    ),
    "sae-browse-vision": Oracle(
        ("sae browse bundled:vision --samples 24 --features 4 --steered 1 --out page",), page_rows("page/features.html")
    ),
    "sae-decompose": sae("decompose bundled:music"),
    "sae-scores-music": sae("scores bundled:music --drawn 4"),
    "sae-scores-vision": sae("scores bundled:vision --drawn 4 --steer"),
    "sae-evaluate-music": sae("evaluate bundled:music --drawn 3"),
    "sae-evaluate-vision": sae("evaluate bundled:vision --drawn 3"),
    "sae-flow-music": sae("flow bundled:music --steer note:C --n 2"),
    "sae-flow-vision": sae("flow bundled:vision --steer object:cup --n 8"),
    "sae-detect-music": sae("detect bundled:music --labels C --clips 6 --explained 1"),
    "sae-detect-vision": sae("detect bundled:vision --scenes 40 --explained 1"),
    "sae-clamp-music": sae("clamp bundled:music --reward note:C --candidates 2 --multiples 1 --n 8"),
    "sae-clamp-vision": sae(
        "clamp bundled:vision --reward brief:14 --unrelated grounded --candidates 3 --multiples 1,2 --n 16"
    ),
    "sae-corrsteer-music": sae("corrsteer bundled:music --reward note:C --n 16 --multiple 2"),
    "sae-corrsteer-vision": sae("corrsteer bundled:vision --reward yes_no --n 60 --multiple 8"),
    "sae-saif-music": sae("saif bundled:music --reward instrument:organ --n 8"),
    "sae-saif-vision": sae("saif bundled:vision --reward brief:14 --n 24"),
    "sae-lf-music": sae("lf bundled:music --reward instrument --n 36 --alpha 30"),
    "sae-lf-vision": sae("lf bundled:vision --reward grounded --n 32 --alpha 30"),
    "sae-effects-music": sae("effects bundled:music --target note:C --rows 3 --random 3 --items 3 --test 4"),
    "sae-effects-vision": sae("effects bundled:vision --target object:cup --rows 8 --random 8 --items 2 --test 8"),
    "sae-hallucination": sae(
        "hallucination bundled:vision --methods effect,SAVE,SSL,AUROC --learn 24 --choose 16 --scenes 24 "
        "--candidates 3 --strengths=-0.1,0.1"
    ),
    "sae-attributes": sae("attributes bundled:music --labels C --clips 4 --n 4 --strengths 0.2"),
}
