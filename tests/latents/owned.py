"""A small random Llama on disk, rows of text, and dictionaries in SAELens' layout, as a user has them."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from mmsteer.latents.token_states import token_states
from mmsteer.types import Positions, Sample, Site
from tests.adapters.checkpoints import WORDS, llama

ALL = Positions("all")


def llama_folder(folder: Path) -> Path:
    torch.manual_seed(0)
    model, tokenizer = llama(num_hidden_layers=4)
    model.lm_head.weight.data *= 30  # freshly initialised logits are too even for any push to change them
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def texts(count: int, seed: int = 0) -> list[str]:
    generator = torch.Generator().manual_seed(seed)
    draws = torch.randint(len(WORDS), (count, 6), generator=generator).tolist()
    return [" ".join(WORDS[at] for at in row) for row in draws]


def states_of(adapter, said: list[str], site: Site) -> torch.Tensor:
    samples = [Sample(str(at), text) for at, text in enumerate(said)]
    return torch.cat([one.states[one.pooled_over(ALL)] for one in token_states(adapter, samples, site)])


def components(adapter, said: list[str], site: Site, rank: int) -> dict[str, torch.Tensor]:
    """Both signs of the first principal components: what they leave unexplained is the spectrum's tail."""
    states = states_of(adapter, said, site)
    mean = states.mean(dim=0)
    axes = torch.linalg.svd(states - mean, full_matrices=False).Vh[:rank]
    decoder = torch.cat([axes, -axes])
    return {"W_enc": decoder.T, "b_enc": torch.zeros(2 * rank), "W_dec": decoder, "b_dec": mean}


def rarer(tensors: dict[str, torch.Tensor], states: torch.Tensor) -> dict[str, torch.Tensor]:
    """The same with a faint twin of each feature that is active in an eighth of the states alone."""
    encoder, bias, decoder = (tensors[name] for name in ("W_enc", "b_enc", "W_dec"))
    start = ((states - tensors["b_dec"]) @ encoder).quantile(0.875, dim=0)
    return {
        "W_enc": torch.cat([encoder, encoder], dim=1),
        "b_enc": torch.cat([bias, -start]),
        "W_dec": torch.cat([decoder, 0.01 * decoder]),
        "b_dec": tensors["b_dec"],
    }


def sae_lens_folder(folder: Path, tensors: dict[str, torch.Tensor], hook: str | None, **more) -> Path:
    folder.mkdir(parents=True)
    features, width = tensors["W_dec"].shape
    said = {} if hook is None else {"hook_name": hook}
    config = {
        "architecture": "standard",
        "d_in": width,
        "d_sae": features,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {"sae_lens_version": "6.54.12", "model_name": "llama", **said},
        **more,
    }
    (folder / "cfg.json").write_text(json.dumps(config))
    save_file({name: one.contiguous() for name, one in tensors.items()}, folder / "sae_weights.safetensors")
    return folder


def rows_file(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
