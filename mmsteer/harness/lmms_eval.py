"""lmms-eval: the model `mmsteer`, found by its entry point, which steers every answer of a model that sees.

`lmms-eval --model mmsteer --model_args pretrained=...,directions=...,steer=... --tasks pope`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from lmms_eval.models.chat.llava_hf import LlavaHf
from lmms_eval.models.registry_v2 import ModelManifest
from loguru import logger

from mmsteer.adapters import adapt
from mmsteer.errors import MmsteerError, SteeringError
from mmsteer.harness.given import given_steering, located
from mmsteer.steering import steer

MANIFEST = ModelManifest("mmsteer", chat_class_path="mmsteer.harness.lmms_eval.SteeredLlava")


class SteeredLlava(LlavaHf):
    """The harness's own class for LLaVA, LLaVA-NeXT and LLaVA-OneVision, with the model steered in every answer."""

    is_simple = False

    def __init__(
        self,
        pretrained: str,
        directions: str | None = None,
        steer: str | None = None,
        compatibility: str | None = None,
        **options: Any,
    ) -> None:
        """Load the model as `llava_hf` does, and check the steering.

        Args:
            pretrained: `bundled:vision`, a folder, or a name on the hub.
            directions: The file that holds the directions; None for the ready-made ones of a bundled model.
            steer: Attributes with `;` between them, or `@FILE` with one a line, where a comma is in them.
            compatibility: How alike the model must be to the one that the directions were found in.
            options: Of `llava_hf`.
        """
        device = options.pop("device", None) or ("cuda" if torch.cuda.is_available() else "cpu")
        super().__init__(located(pretrained), **{"device": device, "device_map": device} | options)
        self._adapter = adapt(self.model, self._image_processor)
        self._steering = given_steering(self._adapter, pretrained, steer, directions, compatibility)

    def generate_until(self, requests: Sequence[Any]) -> list[Any]:
        """What the model answers to each request.

        Args:
            requests: The harness's instances.

        Raises:
            MmsteerError: A request cannot be steered as asked.
        """
        with steer(self._adapter, self._steering) as session, _errors_raised(self.model):
            answers: list[Any] = super().generate_until(requests)
        if self._steering.attributes:
            logger.info("{}", session.receipt())
        return answers

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """The loss of each answer, which the harness's class has of one forward of prompt and answer.

        Args:
            requests: The harness's instances.

        Raises:
            SteeringError: The model is steered.
        """
        if self._steering.attributes:
            raise SteeringError(
                "lmms-eval scores a given answer in one forward, in which nothing says where the answer begins; steer "
                "tasks of output_type generate_until, or score answers with `mmsteer eval`"
            )
        scores: list[tuple[float, bool]] = super().loglikelihood(requests)
        return scores


@contextmanager
def _errors_raised(model: Any) -> Iterator[None]:
    """Raise an error of steering in the end; the harness's class logs it and takes the answer as empty."""
    steered, errors = model.generate, []

    def generate(*given: Any, **named: Any) -> Any:
        try:
            return steered(*given, **named)
        except MmsteerError as error:
            errors.append(error)
            raise

    model.generate = generate
    try:
        yield
    finally:
        model.generate = steered
    if errors:
        raise errors[0]
