"""Files of every layout, written by hand, each beside the activations and reconstruction that its own library makes.

The references restate, in a line or two each, the forward pass of the library that owns the layout.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

WIDTH, FEATURES, K = 6, 20, 4


@dataclass(frozen=True)
class Written:
    """A folder, states, and what the library makes of them."""

    folder: Path
    h: Tensor
    z: Tensor
    reconstruction: Tensor


def parts(seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    return {
        "enc": draw(WIDTH, FEATURES),
        "b_enc": draw(FEATURES),
        "dec": draw(FEATURES, WIDTH),
        "b_dec": 3 * draw(WIDTH),
        "threshold": draw(FEATURES).abs(),
        "r_mag": draw(FEATURES) / 3,
        "b_mag": draw(FEATURES),
        "h": 2 * draw(50, WIDTH),
    }


def topk(a: Tensor) -> Tensor:
    values, places = a.topk(K, dim=-1)
    return torch.zeros_like(a).scatter(-1, places, values.relu())


def gate(centred: Tensor, p: dict[str, Tensor]) -> Tensor:
    return (centred + p["b_enc"] > 0) * (p["r_mag"].exp() * centred + p["b_mag"]).relu()


def save(folder: Path, name: str, config: dict, tensors: dict[str, Tensor]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / ("config.json" if name == "ae.pt" else "cfg.json")).write_text(json.dumps(config))
    whole = {key: value.contiguous() for key, value in tensors.items()}
    torch.save(whole, folder / name) if name == "ae.pt" else save_file(whole, folder / name)
    return folder


def sae_lens(folder: Path, architecture: str, subtract: bool = True, **more) -> Written:
    p = parts(1)
    config = {
        "architecture": architecture,
        "d_in": WIDTH,
        "d_sae": FEATURES,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": subtract,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {"sae_lens_version": "6.54.12", "model_name": "gpt2", "hook_name": "blocks.3.hook_resid_post"},
        **({"k": K} if architecture == "topk" else {}),
        **more,
    }
    tensors = {"W_enc": p["enc"], "b_enc": p["b_enc"], "W_dec": p["dec"], "b_dec": p["b_dec"]}
    centred = (p["h"] - subtract * p["b_dec"]) @ p["enc"]
    a = centred + p["b_enc"]
    z = a.relu()
    if architecture == "jumprelu":
        tensors["threshold"], z = p["threshold"], z * (a > p["threshold"])
    if architecture == "topk":
        z = topk(a)
    if architecture == "gated":
        del tensors["b_enc"]
        tensors |= {"b_gate": p["b_enc"], "r_mag": p["r_mag"], "b_mag": p["b_mag"]}
        z = gate(centred, p)
    return Written(save(folder, "sae_weights.safetensors", config, tensors), p["h"], z, z @ p["dec"] + p["b_dec"])


def sae_lens_rescaled(folder: Path) -> Written:
    """TopK chosen by activation times decoder norm."""
    p = parts(1)
    made = sae_lens(folder, "topk", rescale_acts_by_decoder_norm=True)
    norms = p["dec"].norm(dim=1)
    z = topk(((p["h"] - p["b_dec"]) @ p["enc"] + p["b_enc"]) * norms)
    return Written(folder, made.h, z, (z / norms) @ p["dec"] + p["b_dec"])


def sae_lens_old(folder: Path) -> Written:
    """As before SAELens 6: TopK as an activation function, a scaling factor of one, words outside of metadata."""
    p = parts(1)
    config = {
        "d_in": WIDTH,
        "d_sae": FEATURES,
        "activation_fn_str": "topk",
        "activation_fn_kwargs": {"k": K},
        "architecture": "standard",
        "normalize_activations": False,
        "finetuning_scaling_factor": False,
        "hook_name": "blocks.3.hook_resid_post",
    }
    tensors = {"W_enc": p["enc"], "b_enc": p["b_enc"], "W_dec": p["dec"], "b_dec": p["b_dec"]}
    tensors["scaling_factor"] = torch.ones(FEATURES)
    z = topk((p["h"] - p["b_dec"]) @ p["enc"] + p["b_enc"])
    return Written(save(folder, "sae_weights.safetensors", config, tensors), p["h"], z, z @ p["dec"] + p["b_dec"])


def gemma_scope(folder: Path) -> Written:
    p = parts(2)
    folder.mkdir(exist_ok=True)
    names = {"W_enc": "enc", "W_dec": "dec", "b_enc": "b_enc", "b_dec": "b_dec", "threshold": "threshold"}
    np.savez(folder / "params.npz", **{name: p[key].numpy() for name, key in names.items()})
    a = p["h"] @ p["enc"] + p["b_enc"]
    z = (a > p["threshold"]) * a.relu()
    return Written(folder, p["h"], z, z @ p["dec"] + p["b_dec"])


def sparsify(folder: Path, **more) -> Written:
    p = parts(3)
    config = {"d_in": WIDTH, "num_latents": FEATURES, "expansion_factor": 32, "k": K, "normalize_decoder": True} | more
    tensors = {"encoder.weight": p["enc"].T, "encoder.bias": p["b_enc"], "W_dec": p["dec"], "b_dec": p["b_dec"]}
    z = topk(((p["h"] - p["b_dec"]) @ p["enc"] + p["b_enc"]).relu())
    return Written(save(folder, "sae.safetensors", config, tensors), p["h"], z, z @ p["dec"] + p["b_dec"])


def llama_scope(folder: Path, activation: str = "jumprelu", **more) -> Written:
    """As in training: scaled to a norm of √width, chosen by activation × decoder norm, the output scaled back.

    The threshold is one of activations with unit rows, of the data as the model makes it.
    """
    p = parts(5)
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    config = {
        "hook_point_in": "blocks.3.hook_resid_post",
        "hook_point_out": "blocks.3.hook_resid_post",
        "use_decoder_bias": True,
        "apply_decoder_bias_to_pre_encoder": False,
        "d_model": WIDTH,
        "d_sae": FEATURES,
        "act_fn": activation,
        "jump_relu_threshold": 0.75 if activation == "jumprelu" else 0.0,
        "norm_activation": "dataset-wise",
        "dataset_average_activation_norm": {"in": 4.0, "out": 5},
        "sparsity_include_decoder_norm": True,
        "use_glu_encoder": False,
        "top_k": K,
    } | more
    (folder / "hyperparams.json").write_text(json.dumps(config))
    tensors = {"encoder.weight": p["enc"].T, "encoder.bias": p["b_enc"], "decoder.weight": p["dec"].T}
    tensors["decoder.bias"] = p["b_dec"]
    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(whole, folder / "checkpoints" / "final.safetensors")
    scale_in, scale_out = (1, 1) if config["norm_activation"] == "inference" else (WIDTH**0.5 / 4, WIDTH**0.5 / 5)
    norms = p["dec"].norm(dim=1) * config["sparsity_include_decoder_norm"] * scale_in / scale_out
    norms = torch.where(norms > 0, norms, 1)
    raw = (scale_in * p["h"] @ p["enc"] + p["b_enc"]) / scale_in
    z = topk(raw * norms) if activation == "topk" else raw * norms * (raw * norms > 0.75)
    reconstruction = ((z / norms) @ p["dec"] * scale_in + p["b_dec"]) / scale_out
    return Written(folder, p["h"], z, reconstruction)


def dictionary_learning(folder: Path, kind: str) -> Written:
    p = parts(4)
    linear = {"encoder.weight": p["enc"].T, "encoder.bias": p["b_enc"], "decoder.weight": p["dec"].T}
    matrices = {"W_enc": p["enc"], "b_enc": p["b_enc"], "W_dec": p["dec"], "b_dec": p["b_dec"]}
    k, whole = {"k": torch.tensor(K, dtype=torch.int)}, torch.tensor(0.7)
    centred = (p["h"] - p["b_dec"]) @ p["enc"]
    a, raw = (centred + p["b_enc"]).relu(), p["h"] @ p["enc"] + p["b_enc"]
    norms = p["dec"].norm(dim=1)
    groups = {"group_sizes": torch.tensor([5, 15])}
    tensors, z, scale = {
        "AutoEncoder": (linear | {"bias": p["b_dec"]}, a, norms),
        "AutoEncoderNew": (linear | {"decoder.bias": p["b_dec"]}, raw.relu(), None),
        "GatedAutoEncoder": (
            {
                "encoder.weight": p["enc"].T,
                "decoder.weight": p["dec"].T,
                "decoder_bias": p["b_dec"],
                "gate_bias": p["b_enc"],
                "r_mag": p["r_mag"],
                "mag_bias": p["b_mag"],
            },
            gate(centred, p),
            None,
        ),
        "JumpReluAutoEncoder": (matrices | {"threshold": p["threshold"]}, raw.relu() * (raw > p["threshold"]), None),
        "AutoEncoderTopK": (linear | k | {"b_dec": p["b_dec"], "threshold": torch.tensor(-1.0)}, topk(a), None),
        "BatchTopKSAE": (linear | k | {"b_dec": p["b_dec"], "threshold": whole}, a * (a > 0.7), None),
        "MatryoshkaBatchTopKSAE": (matrices | k | groups | {"threshold": whole}, a * (a > 0.7), None),
    }[kind]
    trainer = {"dict_class": kind, "activation_dim": WIDTH, "dict_size": FEATURES, "k": K, "lm_name": "gpt2"}
    reconstruction = z @ p["dec"] + p["b_dec"]
    z = z if scale is None else z * scale  # its loader makes decoder rows unit
    return Written(save(folder, "ae.pt", {"trainer": trainer, "buffer": {}}, tensors), p["h"], z, reconstruction)


KINDS = (
    "AutoEncoder",
    "AutoEncoderNew",
    "GatedAutoEncoder",
    "JumpReluAutoEncoder",
    "AutoEncoderTopK",
    "BatchTopKSAE",
    "MatryoshkaBatchTopKSAE",
)
LAYOUTS: dict[str, Callable[[Path], Written]] = {
    **{f"sae-lens {name}": lambda f, n=name: sae_lens(f, n) for name in ("standard", "topk", "jumprelu", "gated")},
    "sae-lens uncentred": lambda folder: sae_lens(folder, "jumprelu", subtract=False),
    "sae-lens rescaled": sae_lens_rescaled,
    "sae-lens old": sae_lens_old,
    "gemma scope": gemma_scope,
    "sparsify": sparsify,
    "llama scope": llama_scope,
    "llama scope topk": lambda folder: llama_scope(folder, "topk"),
    "llama scope folded": lambda folder: llama_scope(folder, norm_activation="inference"),
    "llama scope plain": lambda folder: llama_scope(folder, sparsity_include_decoder_norm=False),
    **{f"dictionary_learning {kind}": lambda f, k=kind: dictionary_learning(f, k) for kind in KINDS},
}
