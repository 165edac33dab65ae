"""What it takes to load and to steer a model of LLaVA-1.5-7B's shape, with random weights.

    python benchmarks/large_model.py FOLDER [--layers 32] [--tokens 8] [--device cpu]

The checkpoint (14 GB at 32 layers, bfloat16) is written to FOLDER once, and read from there as any other. Prints one
line of JSON: seconds to load, peak memory of the process, and, unless --tokens is 0, seconds a token, unsteered and
with every decoder block steered.
"""

import argparse
import json
import resource
import time
from pathlib import Path

import torch
from PIL import Image
from transformers import AutoProcessor, CLIPImageProcessor, LlavaConfig, LlavaForConditionalGeneration

import mmsteer
from mmsteer.adapters import LanguageModelAdapter
from mmsteer.bundled import bundled_path
from mmsteer.types import SiteStats, random_direction

PROMPT = "Please describe this image in detail."
SIDE, PATCH = 336, 14


def main() -> None:
    options = _options().parse_args()
    if not (options.folder / "config.json").exists():
        build(options.folder, options.layers)
    began = time.perf_counter()
    adapter = mmsteer.load(options.folder, device=options.device, dtype="bfloat16")
    assert isinstance(adapter, LanguageModelAdapter)
    found = {"parameters": sum(p.numel() for p in adapter.model.parameters()), "load_s": time.perf_counter() - began}
    if options.tokens:
        found["unsteered_s_a_token"] = decode_seconds(adapter, options.tokens)
        with mmsteer.steer(adapter, mmsteer.Steering((mmsteer.Attribute(any_direction(adapter), 0.05),))):
            found["steered_s_a_token"] = decode_seconds(adapter, options.tokens)
    found["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    if options.device != "cpu":
        found["peak_device_gb"] = torch.cuda.max_memory_allocated() / 1e9
    print(json.dumps({key: round(value, 3) for key, value in found.items()} | {"torch": torch.__version__}))


def build(folder: Path, layers: int) -> None:
    """Write the checkpoint: LLaVA-1.5's configuration, weights of the usual size, the bundled model's tokenizer."""
    processor = AutoProcessor.from_pretrained(bundled_path("vision"))
    processor.image_processor = CLIPImageProcessor(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
    )
    processor.patch_size = PATCH
    config = LlavaConfig(image_token_index=processor.image_token_id)
    config.text_config.num_hidden_layers = layers
    with torch.device("meta"):
        model = LlavaForConditionalGeneration(config).to(torch.bfloat16)
    model = model.to_empty(device="cpu")
    noise = 0.02 * torch.randn(1 << 20, dtype=torch.bfloat16)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            flat = parameter.view(-1)
            if parameter.ndim == 1:
                flat.fill_(0.0 if name.endswith("bias") else 1.0)
                continue
            for start in range(0, len(flat), len(noise)):
                flat[start : start + len(noise)] = noise[: len(flat) - start]
        for module in model.modules():
            if hasattr(module, "position_ids"):
                module.position_ids = torch.arange(module.position_ids.shape[-1])[None]
    model.save_pretrained(folder, max_shard_size="2GB")
    processor.save_pretrained(folder)


def decode_seconds(adapter: LanguageModelAdapter, tokens: int) -> float:
    """Seconds a token after the first: two lengths, so that the prompt's forward falls out."""
    sample = mmsteer.Sample("grey", PROMPT, (Image.new("RGB", (SIDE, SIDE), "grey"),))
    adapter.generate([sample], mmsteer.Sampling(1))  # warm up
    times = []
    for length in (1, 1 + tokens):
        adapter.model.generation_config.min_new_tokens = length
        began = time.perf_counter()
        adapter.generate([sample], mmsteer.Sampling(length))
        times.append(time.perf_counter() - began)
    return (times[1] - times[0]) / tokens


def any_direction(adapter: LanguageModelAdapter) -> mmsteer.Direction:
    """A random direction at every decoder block."""
    sites = [site for site in adapter.sites if (site.stack, site.point) == ("text", "block")]
    vectors = {site: torch.nn.functional.one_hot(torch.tensor(0), adapter.widths[site]).float() for site in sites}
    stats = dict.fromkeys(sites, SiteStats(None, 0.0, 1.0, 1.0))
    return random_direction(mmsteer.Direction("any:one", vectors, stats, adapter.fingerprint), seed=0)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=8)
    parser.add_argument("--device", default="cpu")
    return parser


if __name__ == "__main__":
    main()
