"""Which causal language models of transformers can be steered: each tried with a tiny random model.

Usage: python -m benchmarks.families [TYPE ...]

For every model type that `AutoModelForCausalLM` names and the adapter takes: adapt, add a random vector after a block
in the middle while two prompts of unlike length are generated, and compare the tokens' logits with those of a loop
without a cache, under a plain forward hook. Strength 0 must give the unsteered logits, bit for bit. One line a type:
`steered`, `refused` (an `MmsteerError`), `error` (anything else: a bug here), `untried` (no tiny model could be made or
run even without steering). Image-text families need a processor each, so they are in tests/adapters/checkpoints.py;
benchmarks/sites.py tells what is located in them.
"""

import signal
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, MODEL_FOR_MASKED_LM_MAPPING_NAMES

from mmsteer.adapters import adapt
from mmsteer.errors import MmsteerError
from mmsteer.schedules import parse_schedule
from mmsteer.steering import Attribute, Steering, steer
from mmsteer.types import Direction, Sample, Site, SiteStats

WORDS = ("<pad>", "<s>", "</s>", "<unk>", "describe", "the", "cup", "is", "there", "a", "table", "in", "image")
PROMPTS = ("describe the cup", "is there a table in the image")
NEW = 4
MOST_PARAMETERS = 5_000_000
SECONDS = 60

SMALL = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "n_embd": 32,
    "n_layer": 4,
    "n_head": 4,
    "n_inner": 48,
    "n_positions": 256,
    "d_model": 32,
    "n_layers": 4,
    "n_heads": 4,
    "ffn_dim": 48,
    "num_layers": 4,
    "num_heads": 4,
    "attention_heads": 4,
    "word_embed_proj_dim": 32,
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "kv_lora_rank": 8,
    "q_lora_rank": 8,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "v_head_dim": 8,
    "state_size": 8,
    "mamba_d_state": 8,
    "mamba_n_heads": 8,
    "mamba_d_head": 8,
    "mamba_n_groups": 1,
    "mamba_d_ssm": 64,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "global_head_dim": 8,
    "vocab_size_per_layer_input": 64,
    "hidden_size_per_layer_input": 8,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
"""Sizes under whatever name a configuration has for them."""

OWN: dict[str, dict[str, Any]] = {
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2, "use_mamba_kernels": False},
    "zamba": {"num_hidden_layers": 6, "attn_layer_period": 2, "attn_layer_offset": 1, "n_mamba_heads": 2},
    "zamba2": {"num_hidden_layers": 4, "layers_block_type": ["mamba", "hybrid", "mamba", "hybrid"], "n_mamba_heads": 8},
    "bamba": {"attn_layer_indices": [1, 3]},
    "granitemoehybrid": {"layer_types": ["mamba", "attention", "mamba", "attention"]},
}
"""Sizes that a type alone has."""


class Untried(Exception):
    """No tiny model of a type could be made or run."""


def main(types: list[str]) -> int:
    """Print the table.

    Args:
        types: Model types; all for none.

    Returns:
        How many lines are errors.
    """
    taken = [kind for kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES if kind not in MODEL_FOR_MASKED_LM_MAPPING_NAMES]
    counts: Counter[str] = Counter()
    for kind in types or taken:
        verdict, why = tried(kind)
        counts[verdict] += 1
        print(f"| {kind} | {verdict} | {why} |", flush=True)
    print(f"transformers {transformers.__version__}: {dict(counts)}")
    return counts["error"]


def tried(kind: str) -> tuple[str, str]:
    """The verdict on a model type, and the reason.

    Args:
        kind: The model type.
    """
    try:
        with _at_most(SECONDS):
            model, words = _tiny(kind)
            return "steered", _steered(model, words)
    except Untried as reason:
        return "untried", str(reason)
    except MmsteerError as reason:
        return "refused", _line(reason)
    except Exception as reason:
        return "error", _line(reason)


def _tiny(kind: str) -> tuple[Any, Any]:
    try:
        config = _shrunk(AutoConfig.for_model(kind))
        with torch.device("meta"):
            size = AutoModelForCausalLM.from_config(config).num_parameters()
        if size > MOST_PARAMETERS:
            raise Untried(f"the tiny model has {size} parameters")
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config).float().eval()
        model.generation_config.eos_token_id = None
        words = _tokenizer()
        inputs = words(list(PROMPTS), padding=True, return_tensors="pt")
        with torch.no_grad():
            model.generate(**inputs, max_new_tokens=2, do_sample=False)
    except Exception as reason:
        raise Untried(f"transformers alone: {_line(reason)}") from reason
    return model, words


def _shrunk(config: Any) -> Any:
    """A configuration of the same type with small sizes; layers keep their kinds, the first of each."""
    text = config.get_text_config(decoder=True)
    text = config if text.model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES else text
    known = {name: size for name, size in SMALL.items() if getattr(text, name, None) is not None}
    kinds = getattr(text, "layer_types", None)
    if kinds and not isinstance(getattr(type(text), "layer_types", None), property):
        known["layer_types"] = [*dict.fromkeys(kinds), *kinds][:4]
    return type(text)(**known | OWN.get(text.model_type, {}))


def _tokenizer() -> Any:
    backend = Tokenizer(WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="<unk>"))
    backend.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", bos_token="<s>", eos_token="</s>", padding_side="left"
    )


def _steered(model: Any, words: Any) -> str:
    """What was compared, where everything is alike.

    Raises:
        AssertionError: Steering differs from a plain hook, or strength 0 from no steering.
    """
    adapter = adapt(model, words)
    blocks = [site for site in adapter.sites if site.point == "block"]
    site = blocks[len(blocks) // 2]
    vector = torch.randn(adapter.widths[site], generator=torch.Generator().manual_seed(1))
    # Direction's unit vector; a push of this length turns greedy choices of a random model.
    vector = vector / vector.norm()
    samples = [Sample(str(place), prompt) for place, prompt in enumerate(PROMPTS)]
    reading = adapter.reading(samples)
    plain, inputs = adapter.read(reading), words(list(PROMPTS), padding=True, return_tensors="pt")
    with steer(adapter, _along(adapter, site, vector, 0.0)) as session, session.call(reading.call):
        assert torch.equal(adapter.read(reading), plain), "strength 0 changes bits"
    with _hooked(adapter.module(site), 3 * vector):
        wanted = adapter.read(reading)
        tokens, logits = _loop(model, inputs)
    with steer(adapter, _along(adapter, site, vector, 3.0)):
        output = model.generate(
            **inputs, max_new_tokens=NEW, do_sample=False, output_logits=True, return_dict_in_generate=True
        )
    with steer(adapter, _along(adapter, site, vector, 3.0)) as session, session.call(reading.call):
        found = adapter.read(reading)
    real = reading.arguments["attention_mask"].bool()
    assert not torch.equal(wanted[real], plain[real]), "a plain hook changes nothing"
    assert torch.allclose(found[real], wanted[real], atol=1e-4, rtol=1e-3), "a reading differs from a plain hook"
    made = torch.stack(output.logits, 1)
    assert torch.allclose(made, logits, atol=1e-3, rtol=1e-3), (
        f"generation differs from a plain loop by {(made - logits).abs().max():.2g}"
    )
    assert torch.equal(output.sequences[:, -NEW:], tokens[:, -NEW:]), "other tokens than a plain loop"
    return f"{len(blocks)} blocks"


def _along(adapter: Any, site: Site, vector: torch.Tensor, strength: float) -> Steering:
    stats = {site: SiteStats(None, 0.0, 1.0, 1.0)}
    direction = Direction("random", {site: vector}, stats, adapter.fingerprint)
    return Steering((Attribute(direction, strength, parse_schedule("constant(1)"), unit="absolute"),))


@contextmanager
def _hooked(module: Any, vector: torch.Tensor) -> Iterator[None]:
    def add(_: Any, __: Any, output: Any) -> Any:
        return (output[0] + vector, *output[1:]) if isinstance(output, tuple) else output + vector

    handle = module.register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()


@torch.no_grad()
def _loop(model: Any, inputs: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Greedy tokens and the logits that they were chosen by, one row at a time, without padding or a cache."""
    rows, scores = [], []
    for ids, mask in zip(inputs["input_ids"], inputs["attention_mask"], strict=True):
        row, steps = ids[mask.bool()][None], []
        for _ in range(NEW):
            steps.append(model(input_ids=row, use_cache=False).logits[:, -1])
            row = torch.cat([row, steps[-1].argmax(-1, keepdim=True)], 1)
        rows.append(row[0, -NEW:])
        scores.append(torch.cat(steps))
    return torch.stack(rows), torch.stack(scores)


@contextmanager
def _at_most(seconds: int) -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise Untried(f"not done in {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _line(reason: Exception) -> str:
    text = str(reason).strip().splitlines()
    return f"{type(reason).__name__}: {text[0] if text else ''}"[:200].replace("|", "/")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    sys.exit(main(sys.argv[1:]) > 0)
