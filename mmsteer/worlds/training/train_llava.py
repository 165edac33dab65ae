"""Train a projector, and a LoRA if asked for, through which SmolLM2-135M-Instruct reads rendered scenes.

    python -m mmsteer.worlds.training.train_llava --out runs/llava --steps 1000 --decay 200

A run that was killed goes on from its last checkpoint when it is started again with the same `--work`, `--seed` and
`--rank`, bit for bit where the plan is the same; with other `--steps` it goes on along the new plan.
"""

import argparse
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerBase

from mmsteer.bundled import bundled_path
from mmsteer.bundled.llava import read_tokenizer
from mmsteer.worlds.training.llava_alignment import align
from mmsteer.worlds.training.llava_data import LlavaData, load_data, make_data, save_data
from mmsteer.worlds.training.llava_model import add_lora, build_model, read_parts, save_parts
from mmsteer.worlds.training.llava_packing import Packer
from mmsteer.worlds.training.llava_training import Plan, evaluate, train_reading
from mmsteer.worlds.training.vision_pretraining import features

BEGAN = time.monotonic()
HELD_OUT = 64
"""Scenes at the start that are not trained on."""


def main() -> None:
    """Run all stages; those that are done are read from the working folder."""
    options = _options().parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    data = prepare(options)
    tower = LlavaForConditionalGeneration.from_pretrained(
        bundled_path("vision"), dtype=torch.float32
    ).model.vision_tower
    seen = see(tower, data, options.work / "seen.safetensors")
    folder = options.language or bundled_path("text")
    tokenizer = read_tokenizer(folder)
    model = build_model(tower, folder, tokenizer)
    if options.start is None:
        start(model, tokenizer, seen, data, options)
    if options.rank:
        add_lora(model, options.rank, options.seed)
    if options.start is not None:
        read_parts(model, options.start)
    model.model.multi_modal_projector.requires_grad_(True)
    packer = Packer(tokenizer)
    rows = [packer.pack(talk) for talk in data.talks]
    _say(f"{len(rows)} scenes, {sum(len(row.tokens) for row in rows) / len(rows):.0f} tokens each")
    plan = Plan(options.steps, options.decay, options.batch, options.rate, seed=options.seed)
    checkpoint = options.work / f"reading-{options.seed}-{options.rank}.safetensors"
    progress = train_reading(model, seen[HELD_OUT:], rows[HELD_OUT:], plan, checkpoint, _say)
    save_parts(model, options.rank, options.out)
    _say(f"{progress.step} steps in {progress.seconds / 3600:.2f} hours; wrote {options.out}")
    _say(f"held-out loss {evaluate(model, seen, rows, range(HELD_OUT)):.4f}")


def prepare(options: argparse.Namespace) -> LlavaData:
    """The training set, rendered at first.

    Args:
        options: The command line.
    """
    stored = options.work / "data.safetensors"
    if not stored.exists():
        save_data(make_data(options.scenes, options.workers, seed=0), stored)
    return load_data(stored)


@torch.no_grad()
def see(tower: torch.nn.Module, data: LlavaData, stored: Path) -> Tensor:
    """What the tower gives of each picture, computed at first.

    Args:
        tower: The tower.
        data: The training set.
        stored: Where it is kept.
    """
    if not stored.exists():
        save_file({"seen": features(tower.eval(), data.images)}, stored)
    return load_file(stored)["seen"]


def start(
    model: LlavaForConditionalGeneration,
    tokenizer: PreTrainedTokenizerBase,
    seen: Tensor,
    data: LlavaData,
    options: argparse.Namespace,
) -> None:
    """Align the projector, or read it where that is done.

    Args:
        model: The model, changed in place.
        tokenizer: Its tokenizer.
        seen: What the tower gives of each picture.
        data: The training set.
        options: The command line.
    """
    stored, projector = options.work / f"aligned-{options.seed}.safetensors", model.model.multi_modal_projector
    if not stored.exists():
        align(model, tokenizer, seen, data, options.align_steps, options.seed, _say)
        save_file(projector.state_dict(), stored)
    projector.load_state_dict(load_file(stored))


def _say(line: str) -> None:
    print(f"[{time.monotonic() - BEGAN:6.1f} s] {line}", flush=True)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True, help="the folder of what is trained")
    parser.add_argument("--work", type=Path, default=Path("runs/llava-work"), help="data and checkpoints")
    parser.add_argument("--language", type=Path, help="the language model's folder; bundled:text if left out")
    parser.add_argument("--start", type=Path, help="parts of an earlier training, of the same rank, to go on from")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=1000, help="steps in all")
    parser.add_argument("--decay", type=int, default=200, help="steps over which the rate falls at the end")
    parser.add_argument("--batch", type=int, default=4, help="scenes a step")
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate")
    parser.add_argument("--rank", type=int, default=0, help="rank of a LoRA on the language model; 0 for none")
    parser.add_argument("--align-steps", type=int, default=400)
    parser.add_argument("--scenes", type=int, default=16384)
    parser.add_argument("--workers", type=int, default=2)
    return parser


if __name__ == "__main__":
    main()
