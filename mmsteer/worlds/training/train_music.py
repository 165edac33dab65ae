"""Render the music world, fit the codec, train the language model, and write the bundled model's folder.

    python -m mmsteer.worlds.training.train_music --out runs/music --minutes 8 --device cuda --workers 16
    python -m mmsteer.worlds.training.train_music --world band --out runs/band --work runs/band-work --minutes 60

A run that was killed goes on from its last checkpoint when it is started again with the same `--work`.
"""

import argparse
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import torch

from mmsteer.worlds.training.card import write_card
from mmsteer.worlds.training.codec import build_codec
from mmsteer.worlds.training.language import Budget, Clips, delayed, evaluate, restore, train
from mmsteer.worlds.training.model import build_model, save_model, tokenise, train_tokenizer
from mmsteer.worlds.training.music_data import (
    MusicData,
    Rendered,
    codec_quality,
    fit_codec,
    load_data,
    quantise,
    rendered,
    save_data,
)
from mmsteer.worlds.training.sources import SOURCES

BEGAN = time.monotonic()
HELD_OUT_SHARE = 0.02
# Time to evaluate and write the folder after training.
CLOSING_SECONDS = 20.0


def main() -> None:
    """Run all stages within the time given."""
    options = _options().parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(options.seed)
    stored = options.work / "data.safetensors"
    if not stored.exists():
        save_data(make_data(options), stored)
    data = load_data(stored)
    _say(f"data: {len(data.prompts)} clips, codec {data.quality_db}")
    tokenizer = train_tokenizer(data.prompts)
    source = SOURCES[options.world]
    codec = build_codec(data.weights, data.codebooks, source.shape)
    model = build_model(codec, len(tokenizer), source.frames, layers=options.layers, width=options.width)
    model = model.to(options.device)
    clips = Clips(
        delayed(model, data.codes.to(options.device)).to(torch.int16),
        tokenise(tokenizer, data.prompts).to(options.device),
        data.countdown.to(options.device),
    )
    count = len(data.prompts)
    held = max(1, round(HELD_OUT_SHARE * count))
    checkpoint = options.work / "checkpoint.safetensors"
    if options.package:
        progress = restore(model, checkpoint)
    else:
        progress = train(model, clips.part(held, count), _budget(options), checkpoint, _say)
    loss = evaluate(model, clips.part(0, held), options.batch)
    _say(f"held-out loss by codebook {loss}")
    save_model(model.float().cpu(), tokenizer, options.out)
    write_card(options.out, data, loss, progress, vars(options))
    _say(f"wrote {options.out}")


def _budget(options: argparse.Namespace) -> Budget:
    left = max(60 * options.minutes - (time.monotonic() - BEGAN) - CLOSING_SECONDS, 1.0)
    _say(f"{'another' if options.extend else 'training for'} {left:.0f} s")
    return Budget(
        left,
        batch=options.batch,
        peak_rate=options.rate,
        seed=options.seed,
        extends=options.extend,
        wrong_share=options.wrong,
    )


def make_data(options: argparse.Namespace) -> MusicData:
    """Render the world; the first clips fit the codec, and all of them are encoded.

    Args:
        options: The command line.
    """
    stream = rendered(options.world, options.clips, options.workers, options.seed)
    first = []
    for batch in stream:
        first.append(batch)
        if sum(len(item[1]) for item in first) >= options.codec_clips:
            break
    _say(f"rendered {sum(len(item[1]) for item in first)} clips for the codec")
    # The last tenth judges what the rest fitted.
    fitted = first[: -max(1, len(first) // 10)] or first
    shape = SOURCES[options.world].shape
    weights, codebooks = fit_codec(fitted, shape, options.device, options.iterations, options.seed)
    quality = codec_quality(first[len(fitted) :] or first, weights, codebooks, options.world)
    _say(f"fitted the codec: {quality}")
    codes, prompts, beats = list[torch.Tensor](), list[str](), list[torch.Tensor]()
    for batch in chain(_consumed(first), stream):
        codes.append(quantise(batch, weights, codebooks, shape).cpu())
        prompts += batch[1]
        beats.append(torch.from_numpy(batch[3]))
    _say(f"encoded {len(prompts)} clips")
    return MusicData(torch.cat(codes), prompts, torch.cat(beats), weights, codebooks, quality)


def _consumed(batches: list[Rendered]) -> Iterator[Rendered]:
    """Each batch once, and no longer in memory after it."""
    while batches:
        yield batches.pop(0)


def _say(line: str) -> None:
    print(f"[{time.monotonic() - BEGAN:6.1f} s] {line}", flush=True)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--world", choices=list(SOURCES), default="music", help="what is rendered")
    parser.add_argument("--out", type=Path, required=True, help="the model's folder")
    parser.add_argument("--work", type=Path, default=Path("runs/music-work"), help="data and checkpoints, to resume")
    parser.add_argument("--minutes", type=float, default=8.0, help="time for everything, saving included")
    parser.add_argument("--extend", action="store_true", help="another leg: so many minutes more")
    parser.add_argument("--package", action="store_true", help="write the folder from the checkpoint, untrained")
    parser.add_argument("--clips", type=int, default=160_000)
    parser.add_argument("--codec-clips", type=int, default=20_000, help="how many of them fit the codec")
    parser.add_argument("--iterations", type=int, default=80, help="rounds of k-means a codebook")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rate", type=float, default=1.5e-3, help="peak learning rate")
    parser.add_argument("--wrong", type=float, default=0.0, help="share of rows that are heard with errors")
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    return parser


if __name__ == "__main__":
    main()
