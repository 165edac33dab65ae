"""The model of inspect_ai's provider `mmsteer`: that of its provider `hf`, steered in every call of `generate`."""

import logging
from collections.abc import Sequence
from typing import Any

import torch
from inspect_ai.model import GenerateConfig
from inspect_ai.model._providers.hf import HuggingFaceAPI

from mmsteer.adapters import AnyAdapter, adapt
from mmsteer.harness.given import given_steering, located, safe_options
from mmsteer.steering import Steering, steer

_LOG = logging.getLogger(__name__)


class SteeredModel:
    """What inspect_ai asks of a transformers model, with the model steered while it generates.

    inspect_ai runs batches in a thread that never ends, so a session is opened for each batch.
    """

    def __init__(self, adapter: AnyAdapter, steering: Steering) -> None:
        self._adapter = adapter
        self._steering = steering

    @property
    def device(self) -> torch.device:
        """Where it takes its input."""
        return self._adapter.device

    def generate(self, **arguments: Any) -> Any:
        """The model's own `generate`, steered.

        Args:
            arguments: For it.
        """
        with steer(self._adapter, self._steering) as session:
            output = self._adapter.model.generate(**arguments)
        if self._steering.attributes:
            _LOG.info("%s", session.receipt())
        return output


class SteeredAPI(HuggingFaceAPI):
    """inspect_ai's provider for transformers models, steered in every request."""

    model: Any

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig = GenerateConfig(),  # noqa: B008  # inspect_ai's own signature
        *,
        directions: str | None = None,
        steer: str | Sequence[str] | None = None,
        compatibility: str | None = None,
        **options: Any,
    ) -> None:
        """Load the model as inspect_ai's `hf` does, from safetensors alone, and check the steering.

        Args:
            model_name: `bundled:text`, a folder, or a name on the hub.
            base_url: Not used.
            api_key: Of the hub.
            config: How requests are sampled.
            directions: The file that holds the directions.
            steer: Attributes with `;` between them, or `@FILE` with one a line. What was cut at commas is joined.
            compatibility: How alike the model must be to the one that the directions were found in.
            options: Of `hf`, such as `do_sample`.
        """
        usual = {"model_path": located(model_name)}
        super().__init__(model_name, base_url, api_key, config, **usual | safe_options(options))
        line = steer if steer is None or isinstance(steer, str) else ",".join(steer)
        adapter = adapt(self.model, self.tokenizer)
        self.model = SteeredModel(adapter, given_steering(adapter, model_name, line, directions, compatibility))
