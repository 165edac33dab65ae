"""lm-evaluation-harness: the model `mmsteer`, which steers every request.

`python -m mmsteer.harness.lm_eval run --model mmsteer --model_args pretrained=...,directions=...,steer=...` is
`lm-eval run` with this model registered; the harness itself knows no entry points for models.

The harness scores an answer in one forward of context and answer, padded on the right without a mask. Each row then
has a prompt of its own length: `last` is the last token of the context, `generated` the tokens of the answer that are
given to the model, and step 0 what the context's last token predicts, as when the model generates. A text of
`loglikelihood_rolling` has a context of one token, and all else is answer.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from lm_eval.__main__ import cli_evaluate
from lm_eval.api.registry import register_model
from lm_eval.models.huggingface import HFLM

from mmsteer.adapters import adapt
from mmsteer.errors import AdapterError
from mmsteer.harness.answers import Answers, Request
from mmsteer.harness.given import given_steering, located, safe_options
from mmsteer.steering import Session, steer
from mmsteer.types import Call

Scores = list[tuple[float, bool]]

# The harness shows what is logged below its own name.
_LOG = logging.getLogger("lm_eval.mmsteer")


@register_model("mmsteer")
class SteeredLM(HFLM):
    """The harness's own class for causal language models, with the model steered in every request."""

    def __init__(
        self,
        pretrained: str,
        directions: str | None = None,
        steer: str | None = None,
        compatibility: str | None = None,
        **options: Any,
    ) -> None:
        """Load the model as `HFLM` does, from safetensors alone, and check the steering.

        Args:
            pretrained: `bundled:text`, a folder, or a name on the hub.
            directions: The file that holds the directions.
            steer: Attributes with `;` between them, or `@FILE` with one a line, where a comma is in them.
            compatibility: How alike the model must be to the one that the directions were found in.
            options: Of `HFLM`.

        Raises:
            AdapterError: The model is an encoder and a decoder, or `use_safetensors` is not true.
        """
        usual = {"device": "cuda" if torch.cuda.is_available() else "cpu"}
        super().__init__(pretrained=located(pretrained), **usual | safe_options(options))
        if self.backend != "causal":
            raise AdapterError(f"{pretrained}: a model of backend {self.backend!r}; choose a causal language model")
        self._adapter = adapt(self.model, self.tokenizer)
        self._steering = given_steering(self._adapter, pretrained, steer, directions, compatibility)
        self._session: Session | None = None
        self._answers: Answers | None = None

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = False) -> Scores:
        """Log-probability of each answer after its context, and whether it is the likeliest.

        Args:
            requests: The harness's instances.
            disable_tqdm: Show no progress.
        """
        with self._steered():
            return super().loglikelihood(requests, disable_tqdm=disable_tqdm)

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """Log-probability of each text.

        Args:
            requests: The harness's instances.
            disable_tqdm: Show no progress.
        """
        with self._steered():
            return super().loglikelihood_rolling(requests, disable_tqdm=disable_tqdm)

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """What the model answers to each context.

        Args:
            requests: The harness's instances.
            disable_tqdm: Show no progress.
        """
        with self._steered():
            return super().generate_until(requests, disable_tqdm=disable_tqdm)

    @contextmanager
    def _steered(self) -> Iterator[None]:
        with steer(self._adapter, self._steering) as session:
            self._session = session
            try:
                yield
            finally:
                self._session = None
        if self._steering.attributes:
            _LOG.info("%s", session.receipt())

    def _loglikelihood_tokens(
        self, requests: Sequence[Request], disable_tqdm: bool = False, override_bs: int | None = None
    ) -> Scores:
        # The harness runs equal tokens once; where their prompts end differently, they are steered differently.
        parts = Answers((), self.max_length).apart(requests)
        scores: dict[int, tuple[float, bool]] = {}
        for part in parts:
            chosen = [requests[index] for index in part]
            self._answers = Answers(chosen, self.max_length)
            scores |= zip(part, super()._loglikelihood_tokens(chosen, disable_tqdm, override_bs), strict=True)
        self._answers = None
        return [scores[index] for index in range(len(requests))]

    def _model_call(self, inps: torch.Tensor, *masks: Any, **more: Any) -> torch.Tensor:
        if self._session is None:
            return super()._model_call(inps, *masks, **more)
        # Where no request is known, the harness tries how large a batch may be.
        spans = self._answers.spans(inps) if self._answers else ((1, inps.shape[1]),) * len(inps)
        with self._session.call(Call(spans=spans)):
            return super()._model_call(inps, *masks, **more)

    def _detect_batch_size(self, requests: Sequence[Any] | None = None, pos: int = 0) -> int:
        known, self._answers = self._answers, None
        try:
            return super()._detect_batch_size(requests, pos)
        finally:
            self._answers = known


def main() -> None:
    """Run the harness's command line with `mmsteer` among its models."""
    cli_evaluate()


if __name__ == "__main__":
    main()
