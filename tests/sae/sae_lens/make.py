"""Train a small dictionary of `bundled:text` with sae-lens itself, and keep what it computes of some states.

In an environment that has `sae-lens` (6.54.12 made the files here); STATES are files with the states of `text.14`, such
as `python -m mmsteer.worlds.training.train_text_dictionaries` keeps in its folder:

    python tests/sae/sae_lens/make.py STATES...
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from sae_lens import SAE, BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig, SAETrainer
from sae_lens.config import LoggingConfig, SAETrainerConfig
from sae_lens.saes.sae import SAEMetadata
from safetensors.torch import load_file, save_file
from torch import Tensor

FOLDER = Path(__file__).parent / "text.14"
FEATURES, ACTIVE, STEPS, BATCH, KEPT = 128, 16.0, 4000, 1024, 16


def main(paths: list[str]) -> None:
    torch.manual_seed(0)
    states = torch.cat([load_file(path)["text.14"] for path in paths]).float()
    metadata = SAEMetadata(model_name="HuggingFaceTB/SmolLM2-135M-Instruct", hook_name="blocks.14.hook_resid_post")
    config = BatchTopKTrainingSAEConfig(d_in=states.shape[1], d_sae=FEATURES, k=ACTIVE, metadata=metadata)
    steps = SAETrainerConfig(
        total_training_samples=STEPS * BATCH,
        train_batch_size_samples=BATCH,
        lr=1e-3,
        lr_end=1e-4,
        lr_decay_steps=STEPS // 5,
        logger=LoggingConfig(log_to_wandb=False),
    )
    trained = SAETrainer(steps, BatchTopKTrainingSAE(config), batches(states)).fit()
    trained.to(torch.float16)
    trained.cfg.dtype = "float16"
    trained.save_inference_model(FOLDER)
    reader = SAE.load_from_disk(FOLDER, device="cpu", dtype="float32")
    some = states[:: len(states) // KEPT][:KEPT]
    with torch.no_grad():
        codes = reader.encode(some)
        save_file(
            {"states": some.contiguous(), "codes": codes, "decoded": reader.decode(codes)},
            FOLDER / "computed.safetensors",
        )
    print(f"{len(states)} states, {(codes > 0).sum(1).float().mean():.1f} features active")


def batches(states: Tensor) -> Iterator[Tensor]:
    while True:
        yield states[torch.randint(len(states), (BATCH,))]


if __name__ == "__main__":
    main(sys.argv[1:])
