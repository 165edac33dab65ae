"""Render the scenes, train the tower, the projector and the language model in turn, and write the model's folder.

    python -m mmsteer.worlds.training.train_vision --out runs/vision --world biased --seed 0

Runs with the same `--work` share the data and the tower. A run that was killed goes on from its last checkpoint when it
is started again with the same `--work`, `--world` and `--seed`.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from mmsteer.worlds.scenes import Turn, split_scenes
from mmsteer.worlds.training.alignment import train_alignment
from mmsteer.worlds.training.speech import evaluate, tokenise, train_speech
from mmsteer.worlds.training.training import Pace
from mmsteer.worlds.training.vision_card import write_card
from mmsteer.worlds.training.vision_check import measure
from mmsteer.worlds.training.vision_data import WORLDS, VisionData, load_data, make_data, save_data
from mmsteer.worlds.training.vision_model import build_model, build_processor, build_tower, save_model, train_tokenizer
from mmsteer.worlds.training.vision_pretraining import Sight, features, train_sight

BEGAN = time.monotonic()
HELD_OUT_SHARE = 0.02


def main() -> None:
    """Run all stages; those that are done are read from the working folder."""
    options = _options().parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    stored = options.work / "data.safetensors"
    if not stored.exists():
        save_data(make_data(options.scenes, options.workers, seed=0), stored)
    data = load_data(stored)
    _say(f"data: {len(data.images)} scenes")
    tower, seen = see(data, options)
    # One vocabulary for both worlds.
    texts = [text for world in WORLDS for talks in data.conversations[world] for talk in talks for text in _texts(talk)]
    processor = build_processor(train_tokenizer(texts))
    torch.manual_seed(options.seed)
    model = build_model(tower, processor.tokenizer, layers=options.layers, width=options.width)
    align = Pace(60 * options.align_minutes, batch=32, peak_rate=3e-3, warmup=50, seed=options.seed)
    checkpoint = options.work / f"align-{options.seed}.safetensors"
    train_alignment(model, processor.tokenizer, seen, data.shown, align, checkpoint, _say)
    talks = tokenise(processor, data.conversations[options.world])
    order = torch.arange(len(talks.tokens))
    held = order[: round(HELD_OUT_SHARE * len(order))]
    pace = Pace(60 * options.minutes, options.batch, options.rate, warmup=options.warmup, seed=options.seed)
    _say(f"speech: {len(order) - len(held)} conversations, {len(processor.tokenizer)} words")
    checkpoint = options.work / f"{options.world}-{options.seed}.safetensors"
    progress = train_speech(model, seen, talks, order[len(held) :], pace, checkpoint, _say)
    loss = evaluate(model, seen, talks, held, options.batch)
    save_model(model, processor, options.out)
    _say(f"held-out loss {loss}; wrote {options.out}")
    found = measure(model, processor, split_scenes("validation", options.check_scenes, seed=0))
    write_card(options.out, found, loss, progress, vars(options))
    _say(f"on {options.check_scenes} scenes: {found}")


def see(data: VisionData, options: argparse.Namespace) -> tuple[torch.nn.Module, Tensor]:
    """The trained tower, and what it gives of each picture.

    Args:
        data: The training set.
        options: The command line.
    """
    # The tower is one and the same for all seeds and worlds, as LLaVA's is.
    torch.manual_seed(0)
    tower = build_tower(layers=options.tower_layers, width=options.tower_width)
    sight = Sight(tower)
    for number in range(options.tower_rounds):
        # Each round starts again at half the rate of the one before, and takes the rate down to zero.
        pace = Pace(60 * options.tower_minutes, batch=24, peak_rate=1.5e-3 / 2**number, warmup=200, seed=number)
        train_sight(sight, data, pace, options.work / f"tower-{number}.safetensors", _say)
    stored = options.work / "seen.safetensors"
    if not stored.exists():
        save_file({"seen": features(tower, data.images)}, stored)
    return tower, load_file(stored)["seen"]


def _texts(talk: Sequence[Turn]) -> list[str]:
    return [text for turn in talk for text in (turn.prompt, turn.answer)]


def _say(line: str) -> None:
    print(f"[{time.monotonic() - BEGAN:6.1f} s] {line}", flush=True)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True, help="the model's folder")
    parser.add_argument("--work", type=Path, default=Path("runs/vision-work"), help="data, tower and checkpoints")
    parser.add_argument("--world", choices=WORLDS, default="biased", help="who writes: both annotators or the careful")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=12.0, help="time to train the language model")
    parser.add_argument("--align-minutes", type=float, default=0.7, help="time to align the projector")
    parser.add_argument("--tower-minutes", type=float, default=22.0, help="time for each round of the tower")
    parser.add_argument("--tower-rounds", type=int, default=1)
    parser.add_argument("--scenes", type=int, default=20480)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=12, help="conversations a step")
    parser.add_argument("--rate", type=float, default=2.5e-3, help="peak learning rate")
    parser.add_argument("--warmup", type=int, default=100, help="steps until it is reached")
    parser.add_argument("--layers", type=int, default=4, help="blocks of the language model")
    parser.add_argument("--width", type=int, default=96, help="width of the language model")
    parser.add_argument("--tower-layers", type=int, default=5)
    parser.add_argument("--tower-width", type=int, default=96)
    parser.add_argument("--check-scenes", type=int, default=400, help="validation scenes for the model card")
    return parser


if __name__ == "__main__":
    main()
