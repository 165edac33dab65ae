"""Changes of weights as an adapter of PEFT."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from safetensors.torch import save
from torch import Tensor, nn

from mmsteer.fold import Writable, write_folder
from mmsteer.folding.changes import Change


def save_peft(adapter: Writable, folder: str | Path, changes: Sequence[Change], card: str) -> None:
    """Write changes as a LoRA that `PeftModel.from_pretrained(model, folder)` loads; PEFT 0.14 or later.

    Args:
        adapter: The model.
        folder: A folder that does not exist yet; it is whole, or not there.
        changes: What is added.
        card: What was written, for people.

    Raises:
        AdapterError: The folder exists, or cannot be written.
    """
    rank = max(1, *(one.down.shape[0] for one in changes))
    # PEFT merges an adapter without biases, and one with them only where the layers have biases themselves.
    biased = any(bool(one.bias.any()) for one in changes)
    tensors = {
        f"base_model.model.{one.module}.{name}": part for one in changes for name, part in _parts(one, rank, biased)
    }
    config = {
        "peft_type": "LORA",
        "base_model_name_or_path": adapter.model.name_or_path,
        "r": rank,
        "lora_alpha": rank,
        "lora_bias": biased,
        "lora_dropout": 0.0,
        "bias": "none",
        "inference_mode": True,
        "target_modules": sorted(one.module for one in changes),
    }
    files = {
        "adapter_config.json": json.dumps(config, indent=2).encode(),
        "adapter_model.safetensors": save(tensors, {"format": "pt"}),
        "README.md": card.encode(),
    }

    def write(draft: Path) -> None:
        draft.mkdir()
        for name, data in files.items():
            (draft / name).write_bytes(data)

    write_folder(Path(folder), write)


def _parts(change: Change, rank: int, biased: bool) -> Iterator[tuple[str, Tensor]]:
    spare = rank - change.down.shape[0]
    yield "lora_A.weight", nn.functional.pad(change.down, (0, 0, 0, spare)).contiguous()
    yield "lora_B.weight", nn.functional.pad(change.up, (0, spare)).contiguous()
    if biased:
        yield "lora_B.bias", change.bias.contiguous()
