"""Training of the vision tower: each patch is asked what it shows, and the class token what the picture shows.

The heads that answer are dropped afterwards. Stands in for the pretraining that real towers come with; the
language model is trained on top of the finished tower, as LLaVA is.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPVisionModel

from mmsteer.worlds.scenes import OBJECTS
from mmsteer.worlds.training.training import Pace, autocast, train_within
from mmsteer.worlds.training.vision_data import GRID, VisionData, shown_objects
from mmsteer.worlds.training.vision_model import FEATURE_LAYER

# Mean and spread that the image processor takes off, in units of full scale.
_MEAN, _SPREAD = 0.5, 0.25


class Sight(nn.Module):
    """A tower with one head for its patches and one for its class token."""

    def __init__(self, tower: CLIPVisionModel) -> None:
        super().__init__()
        self.tower = tower
        self.of_patches = nn.Linear(tower.config.hidden_size, len(OBJECTS))
        self.of_picture = nn.Linear(tower.config.hidden_size, len(OBJECTS))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of each object in each patch and in the picture, (n, patches, objects) and (n, objects).

        Args:
            pixels: (n, 3, side, side), normalised.
        """
        seen = self.tower(pixels, output_hidden_states=True)
        return self.of_patches(seen.hidden_states[FEATURE_LAYER][:, 1:]), self.of_picture(seen.pooler_output)


def train_sight(sight: Sight, data: VisionData, pace: Pace, checkpoint: Path, report: Callable[[str], None]) -> None:
    """Train a tower until the time is spent, from the checkpoint where there is one.

    Args:
        sight: The tower and its heads, trained in place.
        data: The training set.
        pace: How to train.
        checkpoint: Where the state is kept.
        report: Takes progress lines.
    """

    def losses(step: int) -> Tensor:
        generator = torch.Generator().manual_seed(pace.seed * 1_000_003 + step)
        rows = torch.randint(len(data.images), (pace.batch,), generator=generator)
        pixels, shown = normalised(data.images[rows]), shown_objects(data.shown[rows])
        if torch.rand(1, generator=generator) < 0.5:
            pixels, shown = pixels.flip(-1), shown.unflatten(1, (GRID, GRID)).flip(2).flatten(1, 2)
        of_patches, of_picture = sight(pixels)
        return torch.stack(
            [
                # The rare positives weigh as much as all the empty patches.
                10 * functional.binary_cross_entropy_with_logits(of_patches.float(), shown),
                functional.binary_cross_entropy_with_logits(of_picture.float(), shown.amax(dim=1)),
            ]
        )

    train_within(pace, sight, losses, checkpoint, report)


@torch.no_grad()
def features(tower: CLIPVisionModel, images: Tensor, batch: int = 256) -> Tensor:
    """What the language model will see of pictures, (n, patches, width) bfloat16.

    Args:
        tower: The finished tower.
        images: (n, 3, side, side) uint8.
        batch: Pictures at a time.
    """
    parts = []
    for part in images.split(batch):
        with autocast(part.device):
            seen = tower(normalised(part), output_hidden_states=True)
        parts.append(seen.hidden_states[FEATURE_LAYER][:, 1:].to(torch.bfloat16))
    return torch.cat(parts)


def normalised(images: Tensor) -> Tensor:
    """Pixels as the image processor gives them, (n, 3, side, side) float32.

    Args:
        images: (n, 3, side, side) uint8.
    """
    return (images.float() / 255 - _MEAN) / _SPREAD
