"""Reading activations: `mmsteer.record` beside a plain loop with `output_hidden_states=True`.

    python benchmarks/reading.py [--out FOLDER] [--quick] [--models NAME ...]

Both read every block of the stack that makes the output and keep the mean over the tokens. The loop is the kindest
one: it pools each batch where it lies and keeps no states, but has all layers of a batch at once; `record` has one,
leaves padding out, takes the norms that relative strength needs, and checks that everything is finite. The forward
alone, which nothing can beat, runs beside them. Seconds of both are the processor's where there is no accelerator.
"""

import argparse
import resource
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from first_token import seconds
from PIL import Image
from report import Row, Spread, by_turns, ratio, seconds_apart, write_report
from transformers import LlamaConfig, LlamaForCausalLM

import mmsteer
from mmsteer.record import record
from mmsteer.types import Sample, Site

BATCH = 8
WORDS = "a red circle left of two blue squares above the small green triangle "
# The sweep that is planned, not run.
SAMPLES, LAYERS, WIDTH, TOKENS = 100_000, 32, 4096, 256


def main() -> None:
    options = _options().parse_args()
    torch.set_num_threads(1)
    repeats, batches = (1, 1) if options.quick else (5, 12)
    speed, plan, flat = [], [], []
    for name, (adapter, samples) in models(batches * BATCH).items():
        if options.models and name not in options.models:
            continue
        sites = [site for site in adapter.sites if (site.stack, site.point) == (adapter.generator, "block")]
        row, took = compare(adapter, samples, sites, repeats)
        speed.append({"model": name, "blocks": len(sites), "width": adapter.widths[sites[0]]} | row)
        print(speed[-1], flush=True)
        if name == "wide language model":
            plan = planned(adapter, samples, sites, took)
            flat = memory(adapter, samples, sites, 2 if options.quick else 8)
    tables = {
        "Samples a second": speed,
        "Memory over the number of samples": flat,
        f"Planned: {SAMPLES:,} samples of {TOKENS} tokens, {LAYERS} layers of {WIDTH}, mean": plan,
    }
    print(*write_report("reading", {title: rows for title, rows in tables.items() if rows}, options.out))


def models(count: int) -> dict[str, tuple[Any, list[Sample]]]:
    """Adapters with what they read: three bundled models, and a wider language model with random weights."""
    music, vision = mmsteer.load("bundled:music"), mmsteer.load("bundled:vision")
    random = np.random.default_rng(0)
    clips = [
        Sample(f"{n}", "a slow melody", output=random.normal(size=2 * 16000).astype(np.float32)) for n in range(count)
    ]
    pixels = random.integers(0, 255, (count, 96, 96, 3), dtype=np.uint8)
    scenes = [Sample(f"{n}", "describe the image", (Image.fromarray(one),)) for n, one in enumerate(pixels)]
    texts = [Sample(f"{n}", WORDS * 6) for n in range(count)]
    return {
        "bundled:music": (music, clips),
        "bundled:vision": (vision, scenes),
        "bundled:text": (mmsteer.load("bundled:text", dtype="float32"), texts[: max(BATCH, count // 4)]),
        "wide language model": (mmsteer.api.adapt(wide(), vision.processor.tokenizer), texts),
    }


def wide(layers: int = 4, width: int = 1024) -> Any:
    """A LLaMA with random weights, to read and not to understand."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=2048,
        hidden_size=width,
        intermediate_size=2 * width,
        num_attention_heads=16,
        num_key_value_heads=16,
        num_hidden_layers=layers,
    )
    return LlamaForCausalLM(config)


def compare(adapter: Any, samples: Sequence[Sample], sites: list[Site], repeats: int) -> tuple[Row, dict[str, float]]:
    """One row of the table, and the median seconds of each job."""
    jobs: dict[str, Callable[[], object]] = {
        "forward": lambda: forward(adapter, samples, lambda _: None),
        "record": lambda: record(adapter, samples, sites, batch=BATCH),
        "loop": lambda: loop(adapter, samples),
    }
    times = by_turns({name: partial(seconds, job) for name, job in jobs.items()}, repeats)
    states = state_bytes(adapter, samples[:BATCH])
    pooled = len(sites) * adapter.widths[sites[0]] * 4
    row = {
        "record, samples a second": Spread.of([len(samples) / one for one in times["record"]]),
        "loop, samples a second": Spread.of([len(samples) / one for one in times["loop"]]),
        "record over forward": ratio(times["record"], times["forward"]),
        "loop over forward": ratio(times["loop"], times["forward"]),
        "bytes kept a sample": pooled,
        "record holds of a batch, MB": states / 1e6 / (len(sites) + 1),
        "loop holds of a batch, MB": states / 1e6,
    }
    return row, {name: Spread.of(found).median for name, found in times.items()}


def forward(adapter: Any, samples: Sequence[Sample], see: Callable[[Any], object], **asked: bool) -> None:
    """The forwards that both ways run, each seen once."""
    with torch.no_grad():
        for start in range(0, len(samples), BATCH):
            reading = adapter.reading(samples[start : start + BATCH])
            see(adapter.model(**reading.arguments, use_cache=False, **asked))


def loop(adapter: Any, samples: Sequence[Sample]) -> list[torch.Tensor]:
    """Means over all tokens of each block, (samples, width) each."""
    kept: list[list[torch.Tensor]] = []
    forward(adapter, samples, lambda out: kept.append([h.float().mean(dim=1).cpu() for h in _hidden(out)[1:]]),
            output_hidden_states=True)  # fmt: skip
    return [torch.cat(parts) for parts in zip(*kept, strict=True)]


def state_bytes(adapter: Any, samples: Sequence[Sample]) -> int:
    """Bytes of all hidden states of one batch."""
    sizes: list[int] = []
    see = lambda out: sizes.extend(h.numel() * h.element_size() for h in _hidden(out))  # noqa: E731
    forward(adapter, samples, see, output_hidden_states=True)
    return sum(sizes)


def _hidden(out: Any) -> Sequence[torch.Tensor]:
    found = getattr(out, "decoder_hidden_states", None)
    return out.hidden_states if found is None else found


def memory(adapter: Any, samples: Sequence[Sample], sites: list[Site], times: int) -> list[Row]:
    """How much higher the peak of the process is after many samples than after few, beside what is kept."""
    rows, kept = [], len(sites) * adapter.widths[sites[0]] * 4 / 1e6
    for factor in (1, times):
        many = [replace(one, id=f"{turn}-{one.id}") for turn in range(factor) for one in samples]
        before = _peak_mb()
        record(adapter, many, sites, batch=BATCH)
        rows.append({"samples": len(many), "peak rose by, MB": _peak_mb() - before, "kept, MB": kept * len(many)})
    return rows


def planned(adapter: Any, samples: Sequence[Sample], sites: list[Site], took: dict[str, float]) -> list[Row]:
    """What the large sweep takes beside its forwards, from what this run measured."""
    tokens = adapter.reading(samples[:1]).arguments["input_ids"].shape[1]
    read = len(samples) * tokens * len(sites) * adapter.widths[sites[0]]
    pooling = max(took["record"] - took["forward"], 0.0) / read
    with tempfile.TemporaryDirectory() as place:
        folders = iter(range(10_000))
        kept = seconds_apart(
            {"disk": lambda: record(adapter, samples, sites, batch=BATCH, folder=f"{place}/{next(folders)}")}, 3
        )["disk"]
        written = sum(one.stat().st_size for one in Path(place, "0").glob("*.safetensors"))
        manifest = Path(place, "0", "manifest.jsonl").stat().st_size / (len(samples) / BATCH)
    shard = max(Spread.of(kept).median - took["record"], 0.0) / (len(samples) / BATCH)
    shards, disk = SAMPLES / 64, SAMPLES * LAYERS * WIDTH * 4
    return [
        {"what": "on disk, float32", "GB": disk / 1e9, "from": f"{written} bytes for {len(samples)} samples here"},
        {
            "what": "pooling and norms",
            "hours": pooling * SAMPLES * TOKENS * LAYERS * WIDTH / 3600,
            "from": f"{pooling * 1e9:.3g} ns a number of a state",
        },
        {
            "what": "shards, 64 samples each",
            "hours": shard * shards / 3600,
            "from": f"{shard * 1e3:.3g} ms a shard, of {written / len(samples) * BATCH / 1e6:.3g} MB here",
        },
        {
            "what": "the manifest",
            "GB": manifest * (LAYERS / len(sites)) * shards / 1e9,
            "from": f"{manifest:.0f} bytes a shard here",
        },
    ]


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--quick", action="store_true", help="one round of one batch")
    parser.add_argument("--models", nargs="+", help="these models alone, as the table names them")
    return parser


if __name__ == "__main__":
    main()
