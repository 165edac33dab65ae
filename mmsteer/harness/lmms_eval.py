"""lmms-eval: the model `mmsteer` for images and text, found by its entry point, which steers every request.

`lmms-eval --model mmsteer --model_args pretrained=...,directions=...,steer=... --tasks pope`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from lmms_eval.models.chat.huggingface import Huggingface
from lmms_eval.models.registry_v2 import ModelManifest
from loguru import logger

from mmsteer.adapters import adapt
from mmsteer.harness.given import given_steering, located
from mmsteer.steering import steer

MANIFEST = ModelManifest("mmsteer", chat_class_path="mmsteer.harness.lmms_eval.SteeredLMM")


class SteeredLMM(Huggingface):
    """The harness's own class for models of transformers that see, with the model steered in every request."""

    is_simple = False

    def __init__(
        self,
        pretrained: str,
        directions: str | None = None,
        steer: str | None = None,
        compatibility: str | None = None,
        **options: Any,
    ) -> None:
        """Load the model as `huggingface` does, in bfloat16, and check the steering.

        Args:
            pretrained: `bundled:vision`, a folder, or a name on the hub.
            directions: The file that holds the directions; None for the ready-made ones of a bundled model.
            steer: Attributes with `;` between them, or `@FILE` with one a line, where a comma is in them.
            compatibility: How alike the model must be to the one that the directions were found in.
            options: Of `huggingface`.
        """
        device = options.pop("device", None) or ("cuda" if torch.cuda.is_available() else "cpu")
        super().__init__(located(pretrained), **{"device": device, "device_map": device} | options)
        self._adapter = adapt(self.model, self.processor)
        self._steering = given_steering(self._adapter, pretrained, steer, directions, compatibility)

    def generate_until(self, requests: Sequence[Any]) -> list[Any]:
        """What the model answers to each request.

        Args:
            requests: The harness's instances.
        """
        with self._steered():
            return super().generate_until(requests)

    @contextmanager
    def _steered(self) -> Iterator[None]:
        with steer(self._adapter, self._steering) as session:
            yield
        if self._steering.attributes:
            logger.info("{}", session.receipt())
