"""What torchrun runs for `test_ranks`: a training, whose dictionary the first process writes.

python -m torch.distributed.run ... -m tests.sae.ranked FOLDER ARCHITECTURE
"""

import sys
from pathlib import Path

from mmsteer.ranks import joined
from mmsteer.sae import (
    BatchTopK,
    Gated,
    Held,
    JumpReLU,
    Shuffled,
    SparseDictionary,
    TopK,
    Training,
    assist_training,
    train_dictionary,
    write_sae_lens,
)
from tests.sae.planted import planted

ARCHITECTURES = {
    # Without the part of the loss that is a share of what a whole batch leaves.
    "topk": TopK(3, auxiliary=0.0),
    "gated": Gated(0.3, warmup=50),
    "batchtopk": BatchTopK(3, threshold_start=10),
    "jumprelu": JumpReLU(3, 0.05, 0.05, warmup=50),
}
TRAINING = Training(64, 60, rate=1e-2, warmup=20, dead_after=2000)
# Two processes learn from 51 and 50 states of a batch.
BATCH = 101


def learned(name: str, checkpoint: Path, source=None) -> SparseDictionary:
    """A training by this process alone, or as the first of several."""
    source = source or Shuffled(Held(planted(rows=3000, offset=3.0)[1]), batch=BATCH)
    return train_dictionary(source, ARCHITECTURES[name], TRAINING, checkpoint=checkpoint, checkpoint_steps=20)


def main() -> None:
    """One of the processes."""
    place, name = Path(sys.argv[1]), sys.argv[2]
    with joined("cpu") as (ranks, device):
        if ranks.number:
            assist_training(ARCHITECTURES[name], TRAINING, device=device)
        else:
            write_sae_lens(place / name, learned(name, place / f"{name}.safetensors"))


if __name__ == "__main__":
    main()
