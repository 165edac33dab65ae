"""How images enter a vision-language model: its tower, its projector, and the tokens that stand for them."""

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn

from mmsteer.adapters import locate
from mmsteer.adapters.families import FAMILIES, Family, no_row
from mmsteer.adapters.tokens import image_kinds, real_tokens
from mmsteer.errors import AdapterError
from mmsteer.types import Forward, Layout, Port

VISION, PROJECTOR = "vision", "projector"


class SeenImages:
    """The images of one model.

    Attributes:
        tower: Its vision tower; None where it sees nothing.
    """

    def __init__(self, model: Any, family: Family) -> None:
        self._model, self._family = model, family
        self.tower: nn.Module | None = locate.vision_tower(model)
        if self.tower is not None and model.config.model_type not in FAMILIES:
            raise AdapterError(no_row(model.config.model_type))
        self._has_class_token = self.tower is not None and locate.has_class_token(self.tower)

    def blocks(self) -> Sequence[nn.Module]:
        """The blocks of the tower."""
        return locate.vision_blocks(self.tower, self._family)

    def projector(self) -> Port:
        """Where the projector's output passes."""
        return Port(attrgetter(self._family.projector)(self._model.base_model), grid=self._family.grid)

    def forward(self, stack: str, arguments: Mapping[str, Any]) -> Forward:
        """Read the arguments of a block of the tower, or of the projector.

        Args:
            stack: `vision` or `projector`.
            arguments: Its arguments, by name.
        """
        state = _state(arguments)
        if stack == PROJECTOR:
            return self._projecting(state)
        return Forward(state.shape[:-2].numel() if state.ndim > 2 else 1, int(state.shape[-2]), 0)

    def _projecting(self, state: Tensor) -> Forward:
        """The forward of the projector that is given a state, or the tokens of what it looks up beside the image."""
        if not state.is_floating_point():
            return Forward(state.shape[:-1].numel(), state.shape[-1], 0)
        shape = state.shape
        rows = 1 if len(shape) < 3 else shape[0] if self._family.grid else shape[:-2].numel()
        return Forward(rows, self._family.projected(self._model.config, shape[:-1].numel() // rows), 0)

    def layout(self, stack: str, forward: Forward, arguments: Mapping[str, Any], device: torch.device) -> Layout:
        """What the tokens of a forward of the tower or the projector are.

        Args:
            stack: `vision` or `projector`.
            forward: The forward.
            arguments: Its arguments, by name.
            device: Where to answer.
        """
        place = torch.arange(forward.width, device=device)
        tiles = attrgetter(self._family.tiles)(self._model.config) if self._family.tiles else 1
        patches = forward.width // tiles
        first = place % patches == (patches - 1 if self._family.class_token_last else 0)
        first &= stack == VISION and self._has_class_token
        real = real_tokens(forward, arguments.get("attention_mask"), device)
        # Tokens that a projector looks up, such as those that begin and end an image, are no image.
        real &= _state(arguments).is_floating_point()
        return Layout(image_kinds(forward, real, first), forward.width - 1)

    def tokens(self, forward: Forward, arguments: Mapping[str, Any], real: Tensor) -> Tensor:
        """Which tokens of the text stack stand for images, (rows, tokens) bool.

        Args:
            forward: The forward of the text stack.
            arguments: Its arguments, by name.
            real: Which of its tokens are not padding, (rows, tokens) bool.

        Raises:
            AdapterError: The model was given embeddings in place of tokens.
        """
        if self.tower is None or self._family.fused:
            return torch.zeros_like(real)
        if self._family.queries:
            return (real.cumsum(1) <= getattr(self._model.config, self._family.queries)) & (int(forward.start) == 0)
        ids = arguments.get("input_ids")
        if ids is None:
            raise AdapterError("the model was given embeddings, in which images cannot be found; give it input_ids")
        return self._stands_for_images(ids)

    def _stands_for_images(self, ids: Tensor) -> Tensor:
        """Which tokens are an image's or a video's own, (rows, tokens) bool."""
        image, video = (getattr(self._model.config, f"{name}_token_id", None) for name in ("image", "video"))
        seen = torch.as_tensor(ids == image)
        return seen if video is None else seen | (ids == video)

    def all_see(self, ids: Tensor | None) -> bool | None:
        """Whether every prompt has an image; None where that cannot be known.

        Args:
            ids: The tokens of the prompts, (rows, tokens).
        """
        if self.tower is None or ids is None or ids.is_floating_point():
            return None
        return self._family.needs_image or bool(self._stands_for_images(ids).any(dim=1).all())


def _state(arguments: Mapping[str, Any]) -> Tensor:
    """What a block of the tower, or the projector, is given."""
    return torch.as_tensor(arguments.get("hidden_states", next(iter(arguments.values()))))
