"""Everything that needs a graphics card, in under ten minutes: LLaVA-1.5-7B and MusicGen-large, random weights.

    benchmarks/gpu.sh [--out FOLDER] [--small]

Writes `gpu.json` and `gpu.md`. Steered and unsteered steps run by turns: eager, compiled (inductor, static cache) and
with CUDA graphs; 32 requests of which each has vectors of its own; a step of a sparse dictionary, and a fit of RFM.
Beside tokens a second stands what the memory allows: a step reads each weight of the decoder once, at the speed that a
copy reaches here. `--small` takes models of a few thousand weights, on a CPU too, to see that all of it runs.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from decoding import step_seconds
from models import blocks, musicgen_large, steering, twin
from PIL import Image
from report import Row, Spread, by_turns, ratio, write_report
from rfm import Case as States
from rfm import states_of
from steering import Case, Subject, steerings
from torch._dynamo.utils import counters
from transformers import AutoProcessor, CLIPImageProcessor, CompileConfig, LlavaConfig, LlavaForConditionalGeneration

import mmsteer
from mmsteer.bundled import bundled_path
from mmsteer.errors import MmsteerError
from mmsteer.probes import RFM, Setting
from mmsteer.sae import BatchTopK, Held, Shuffled, Training, train_dictionary

REQUESTS = 32
NOTES = (
    "A row that says why has no figures: what transformers or mmsteer refuses is not measured. Whole: seconds of all.",
)


@dataclass(frozen=True)
class Size:
    """How large everything is.

    Attributes:
        layers: Of LLaVA's language model.
        width: Of its states.
        music_layers: Of MusicGen's decoder.
        music_width: Of its states.
        side: Pixels of an image.
        steps: Of decoding.
        rounds: Of each comparison.
        batch: Hidden states a step of a dictionary, whose features are 16 times the width.
        samples: That RFM is fitted to.
    """

    layers: int
    width: int
    music_layers: int
    music_width: int
    side: int
    steps: int
    rounds: int
    batch: int
    samples: int


FULL = Size(32, 4096, 48, 2048, 336, 32, 3, 4096, 20_000)
SMALL = Size(2, 32, 1, 32, 28, 8, 1, 32, 60)


def main() -> None:
    options = _options().parse_args()
    size, device = SMALL if options.small else FULL, "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not options.small:
        raise SystemExit("there is no graphics card here; --small runs anywhere")
    began = time.perf_counter()
    subjects = (partial(llava, size, device), partial(music, size, device))
    tables: dict[str, list[Row]] = {"Decoding": [], f"{REQUESTS} requests with vectors of their own": []}
    for make in subjects:
        subject = make()
        tables["Decoding"] += [decoded(subject, size, name, how) for name, how in modes(device, size).items()]
        tables[f"{REQUESTS} requests with vectors of their own"].append(requests(subject, size))
        del subject
        _emptied(device)
    tables["A step of a dictionary, and a fit of RFM"] = [dictionary(size, device), machine(size, device)]
    tables["Whole"] = [{"seconds": time.perf_counter() - began, "peak GB": _peak_gb(device)}]
    print(*write_report("gpu", tables, options.out, NOTES))


def llava(size: Size, device: str) -> Subject:
    """LLaVA-1.5 with random weights, about an image."""
    processor = AutoProcessor.from_pretrained(bundled_path("vision"))
    side = {"height": size.side, "width": size.side}
    processor.image_processor = CLIPImageProcessor(size={"shortest_edge": size.side}, crop_size=side)
    processor.patch_size = 14
    config = LlavaConfig(image_token_index=processor.image_token_id)
    text, tower = config.text_config, config.vision_config
    text.num_hidden_layers, text.hidden_size = size.layers, size.width
    if size.width < 4096:
        text.intermediate_size, text.num_attention_heads, text.num_key_value_heads = 2 * size.width, 2, 2
        tower.hidden_size, tower.intermediate_size, tower.num_hidden_layers, tower.num_attention_heads = 32, 64, 3, 2
    tower.image_size = size.side
    with _built_on(device):
        model = LlavaForConditionalGeneration(config).eval()
    model.generation_config.eos_token_id = None
    adapter = mmsteer.adapt(twin(model), processor)

    def inputs(batch: int) -> dict[str, Any]:
        grey = Image.new("RGB", (size.side, size.side), "grey")
        asked = [mmsteer.Sample(str(one), "describe the image", (grey,)) for one in range(batch)]
        arguments = adapter.reading(asked).arguments
        return {name: value for name, value in arguments.items() if name != "position_ids"} | {"pad_token_id": 0}

    return Subject("LLaVA-1.5-7B" if size is FULL else "a small LLaVA", model, adapter, inputs)


def music(size: Size, device: str) -> Subject:
    """MusicGen-large with random weights between the text encoder and the codec of the bundled model."""
    bundled = mmsteer.load("bundled:music")
    with _built_on(device):
        shape = {} if size is FULL else {"hidden_size": size.music_width, "ffn_dim": 64, "num_attention_heads": 2}
        model = musicgen_large(bundled, size.music_layers, **shape).to(device, torch.bfloat16)
    adapter = mmsteer.adapt(twin(model), bundled.processor)

    def inputs(batch: int) -> dict[str, Any]:
        text = ["a slow piano melody"] * batch
        return dict(bundled.processor(text=text, padding=True, return_tensors="pt").to(device))

    return Subject("MusicGen-large" if size is FULL else "a small MusicGen", model, adapter, inputs)


def modes(device: str, size: Size) -> dict[str, dict[str, Any]]:
    """Options of `generate` for each way to decode."""
    backend = "eager" if size is SMALL else "inductor"
    found: dict[str, dict[str, Any]] = {"eager": {}}
    graphs = "reduce-overhead" if device == "cuda" and size is FULL else None
    for name, mode in (("compiled", None), ("CUDA graphs", graphs)):
        config = CompileConfig(backend=backend, mode=mode, fullgraph=True)
        config._compile_all_devices = True
        found[name] = {"cache_implementation": "static", "compile_config": config}
    return found


def decoded(subject: Subject, size: Size, name: str, options: dict[str, Any]) -> Row:
    """One request: steered at every layer beside unsteered, and what the memory allows."""
    plain, steered = (partial(run, **options) for run in subject.runs(1))
    row: dict[str, Any] = {"model": subject.name, "mode": name}
    torch._dynamo.reset()
    counters.clear()
    # Twins share their code, and only their hooks tell them apart.
    with torch._dynamo.config.patch(skip_nnmodule_hook_guards=False):
        try:
            with mmsteer.steer(subject.adapter, steering(subject.adapter, blocks(subject.adapter), 3)):
                found = by_turns({"plain": _steps(plain, size), "ours": _steps(steered, size)}, size.rounds)
        # A way to decode that a model does not have is a row of its own, and stops no other.
        except (MmsteerError, RuntimeError, ValueError, TypeError, AttributeError, NotImplementedError) as cause:
            return row | {"why": f"{type(cause).__name__}: {str(cause).splitlines()[0][:120]}"}
    allowed = bandwidth(subject.adapter.device) / step_bytes(subject)
    reached = 1 / Spread.of(found["ours"]).median
    return row | {
        # 0 where transformers finds that it cannot compile this model.
        "graphs": counters["stats"]["unique_graphs"] if options else None,
        "unsteered ms a step": 1e3 * Spread.of(found["plain"]).median,
        "steered / unsteered": ratio(found["ours"], found["plain"]),
        "steered tokens a second": reached,
        "memory allows": allowed,
        "share": reached / allowed,
    }


def requests(subject: Subject, size: Size) -> Row:
    """Requests together, of which each has three vectors of its own at every layer."""
    plain, steered = subject.runs(REQUESTS)
    case = Case(REQUESTS, attributes=3, distinct=True)
    with mmsteer.steer(subject.adapter, steerings(subject.adapter, case)):
        found = by_turns({"plain": _steps(plain, size), "ours": _steps(steered, size)}, size.rounds)
    return {
        "model": subject.name,
        "requests": REQUESTS,
        "distinct vectors": REQUESTS * case.attributes,
        "unsteered ms a step": 1e3 * Spread.of(found["plain"]).median,
        "steered / unsteered": ratio(found["ours"], found["plain"]),
        "steered tokens a second": REQUESTS / Spread.of(found["ours"]).median,
    }


def dictionary(size: Size, device: str) -> Row:
    """Seconds a step of BatchTopK with 16 features a number of the state."""
    states, features = torch.randn(4 * size.batch, size.width), 16 * size.width
    stream = Shuffled(Held(states), batch=size.batch)

    def seconds(steps: int) -> float:
        training = Training(features, steps, 1e-3, warmup=1, scale_batches=1)
        began = time.perf_counter()
        train_dictionary(stream, BatchTopK(16, threshold_start=1), training, device=device)
        _waited(device)
        return time.perf_counter() - began

    seconds(2)
    each = (seconds(12) - seconds(2)) / 10
    return {"what": "a step", "width": size.width, "features": features, "rows": size.batch, "ms": 1e3 * each}


def machine(size: Size, device: str) -> Row:
    """Seconds of a fit of RFM: one setting, one update of the metric."""
    x, labels = states_of(States(size.samples, size.width, 2, 1))
    probe = RFM(settings=(Setting(),), iterations=1)
    began = time.perf_counter()
    probe.fit(x.to(device), labels, task="binary")
    _waited(device)
    return {"what": "RFM", "width": size.width, "rows": size.samples, "ms": 1e3 * (time.perf_counter() - began)}


def step_bytes(subject: Subject) -> int:
    """Bytes of the weights that a step reads: those of the blocks, and of the heads."""
    model = subject.adapter.model
    stack = model.decoder if hasattr(model, "audio_encoder") else model.get_decoder()
    head = [] if hasattr(model, "audio_encoder") else [model.lm_head]
    parts = [*(part for part in stack.modules() if isinstance(part, torch.nn.Linear)), *head]
    weights = {id(one): one for part in parts for one in part.parameters()}
    return sum(one.numel() * one.element_size() for one in weights.values())


def bandwidth(device: torch.device, size: int = 1 << 28) -> float:
    """Bytes a second that a copy reads and writes."""
    source = torch.empty(size if device.type == "cuda" else size >> 4, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    times = []
    for _ in range(5):
        began = time.perf_counter()
        target.copy_(source)
        _waited(device.type)
        times.append(time.perf_counter() - began)
    return 2 * source.numel() / min(times)


def _steps(run: Callable[..., Any], size: Size) -> Callable[[], float]:
    return partial(step_seconds, run, size.steps)


@contextmanager
def _built_on(device: str) -> Iterator[None]:
    """Modules are made there, in bfloat16, with random weights."""
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(device):
            yield
    finally:
        torch.set_default_dtype(before)


def _waited(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _emptied(device: str) -> None:
    torch._dynamo.reset()
    if device == "cuda":
        torch.cuda.empty_cache()


def _peak_gb(device: str) -> float | None:
    return torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else None


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks"))
    parser.add_argument("--small", action="store_true", help="tiny models, on a CPU too: to see that it runs")
    return parser


if __name__ == "__main__":
    main()
