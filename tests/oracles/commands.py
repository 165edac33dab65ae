"""The commands whose numbers are kept, by name, the quickest of each kind first."""

from tests.oracles.oracle import Oracle, printed_json, printed_lines, results, run_folder, weights


def recipe(name: str, *changes: str) -> Oracle:
    """`mmsteer run` of a recipe made small."""
    return Oracle((f"run {name} {' '.join(changes)} --quiet --out run",), run_folder)


def sae(words: str) -> Oracle:
    """A command of `mmsteer sae` that writes its tables as JSON."""
    return Oracle((f"sae {words} --out out.json",), results)


def scenes(count: int, directions: int) -> str:
    """Changes that find each direction on so many scenes."""
    return " ".join(f"directions.{at}.data.scenes.n={count}" for at in range(directions))


def clips(count: int, directions: int) -> str:
    """Changes that find each direction on so many clips of each label."""
    return " ".join(f"directions.{at}.data.clips={count}" for at in range(directions))


TONE = 'generate --prompt "a slow piano melody" --steer "note:C 0.1 fade-in 0..2s" --seconds 2 --out c.wav'
PICTURES = f"run demo-vision {scenes(16, 2)} images.scenes.n=6 ask.pope=null controls.random=0 controls.wrong_image=false --quiet"

ORACLES = {
    "run-demo-vision": recipe("demo-vision", scenes(60, 2), "images.scenes.n=20"),
    "run-hallucination": recipe(
        "hallucination", scenes(60, 4), "images.scenes.n=12", "choose.images.scenes.n=16",
        "conditions.0.sweep.strength=[0.02,0.04]",
    ),
    "run-hallucination-methods": recipe(
        "hallucination-methods", scenes(40, 4), "directions.6.data.scenes.n=40", "directions.4.data.demos.scenes.n=24",
        "directions.5.data.demos.scenes.n=24", "directions.7.data.demos.scenes.n=24", "directions.8.data.demos.scenes.n=24",
        "images.scenes.n=8", "choose.images.scenes.n=8",
    ),
    "run-less-and-shorter": recipe("less-and-shorter", scenes(40, 2), "images.scenes.n=16"),
    "run-seven-finders-vision": recipe("seven-finders-vision", scenes(60, 9), "images.scenes.n=16"),
    "run-demo": recipe("demo", clips(5, 1), "prompts.world.n=4", "generate.seconds=2"),
    "run-cross-fade": recipe("cross-fade", clips(6, 1), "prompts.world.n=4"),
    "run-note-and-instrument": recipe("note-and-instrument", clips(6, 2), "prompts.world.n=4", "generate.seconds=2"),
    "run-twelve-notes": recipe("twelve-notes", clips(5, 2), "prompts.world.n=2", "generate.seconds=1"),
    "run-seven-finders-music": recipe(
        "seven-finders-music", clips(6, 9), "prompts.world.n=3", "generate.seconds=1",
        "conditions.0.sweep.note=[C,A]",
    ),
    "generate-music": Oracle((TONE,), printed_lines),
    "generate-vision": Oracle(
        (
            f"{PICTURES} --out run",
            'generate --image run/images/00000.png --prompt "Please describe this image in detail." --compare '
            '--directions run/directions.safetensors --steer "stop:yes 0.05 at generated"',
        ),
        printed_lines,
    ),
    "probe-music": Oracle(("probe --concept note --clips 5 --out found.safetensors",), printed_lines),
    "probe-vision": Oracle(("probe --contrast counterfactual --probe rfm --pairs 40 --out found.safetensors",), printed_lines),
    "eval-notes": Oracle((TONE, "eval notes c.wav --target C --json"), printed_json),
    "eval-tempo": Oracle((TONE, "eval tempo c.wav --json"), printed_json),
    "eval-chair": Oracle(("eval chair --captions DATA/captions/llava.jsonl --objects DATA/coco/objects_val2014.json --json",), printed_json),
    "sae-measure": Oracle(("sae measure bundled:music --samples 4",), printed_lines),
    "sae-train": Oracle(("sae train --site decoder.3 --features 128 --k 8 --steps 60 --batch 256 --samples 16 --quiet --out mine",), printed_lines),
    "sae-decompose": sae("decompose bundled:music"),
    "sae-scores": sae("scores bundled:vision --drawn 4 --steer"),
    "sae-detect": sae("detect bundled:vision --scenes 40 --explained 1"),
    "sae-lf": sae("lf bundled:vision --task captions --n 32"),
    "sae-clamp": sae("clamp bundled:vision --task brief --unrelated captions --candidates 3 --multiples 1,2 --n 16"),
    "sae-corrsteer": sae("corrsteer bundled:vision --task questions --n 60"),
    "sae-saif": sae("saif bundled:vision --task brief --n 24"),
    "sae-effects": sae("effects bundled:vision --target object:cup --rows 8 --random 8 --items 2 --test 8"),
    "sae-hallucination": sae("hallucination bundled:vision --methods effect,SAVE,SSL,AUROC --learn 24 --choose 16 --scenes 24 --candidates 3 --strengths=-0.1,0.1"),
    "sae-evaluate": sae("evaluate bundled:vision --drawn 3"),
    "sae-flow": sae("flow bundled:vision --steer object:cup --n 8"),
    "sae-attributes": sae("attributes bundled:music --labels C --clips 4 --n 4 --strengths 0.2"),
    "sae-browse": Oracle(("sae browse bundled:vision --samples 24 --features 4 --steered 1 --out page",), printed_lines),
}
