"""The logits processor that contrasts two contexts, and the branch that follows the second one."""

import inspect
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import LogitsProcessor

from mmsteer import hooks
from mmsteer.adapters.caches import cache_name
from mmsteer.errors import AdapterError


class ContrastiveDecoding(LogitsProcessor):  # type: ignore[misc]  # transformers is untyped here
    """Prefers tokens that the true context makes likelier than a distorted one does.

    With log-probabilities l of the true context and l' of the distorted one, the scores are (1 + a) l - a l', only for
    tokens with l >= log b + max l, and normalised, so that beams can be compared. Strength 0 leaves the scores as they
    are, cut included, and runs no second branch.

    The distorted branch keeps a cache of its own and is fed the tokens that were chosen. It follows batches, left
    padding, sampling and beams. It is never steered: inside `mmsteer.steer` the contrast is between the steered model
    and the plain one, so it enlarges the push as well. One processor serves any number of calls with the same prompts.

    Source: Leng et al. 2024, arXiv:2311.16922; the cut is that of Li et al. 2023, arXiv:2210.15097.
    """

    def __init__(
        self,
        model: Any,
        inputs: Mapping[str, Any],
        distorted: Mapping[str, Any],
        *,
        strength: float = 1.0,
        cutoff: float = 0.1,
    ) -> None:
        """Prepare the second branch.

        Args:
            model: The model whose `generate` will be called.
            inputs: What `generate` will be given, `input_ids` among it.
            distorted: The same prompts in the distorted context, padded on the left.
            strength: The factor a.
            cutoff: The share b of the largest probability; 0 cuts nothing.

        Raises:
            AdapterError: The model is an encoder-decoder, the rows of the two contexts differ, or a number is out of
                range.
        """
        if model.config.is_encoder_decoder:
            raise AdapterError("contrastive decoding is for decoder-only language models; this one has an encoder")
        if len(inputs["input_ids"]) != len(distorted["input_ids"]):
            rows = f"{len(inputs['input_ids'])} and {len(distorted['input_ids'])}"
            raise AdapterError(f"the two contexts have {rows} rows; give one distorted prompt for each prompt")
        if not (math.isfinite(strength) and strength >= 0 and 0 <= cutoff <= 1):
            raise AdapterError(
                f"strength {strength:g} and cutoff {cutoff:g}: the strength is 0 or more, the cutoff within 0 and 1"
            )
        self._model = model
        self._prompts: Tensor = inputs["input_ids"]
        self._distorted = distorted
        self._strength = strength
        self._floor = math.log(cutoff) if cutoff else -math.inf
        self._branch: _Branch | None = None
        self._seen = self._prompts

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Contrast the scores of one step.

        Args:
            input_ids: Tokens so far, (rows, length).
            scores: Logits of the next one, (rows, vocabulary).
        """
        if not self._strength:
            return scores
        true = scores.log_softmax(dim=-1)
        distorted = self._follow(input_ids).to(scores.device).log_softmax(dim=-1)
        contrast = (1 + self._strength) * true - self._strength * distorted
        implausible = true < true.amax(dim=-1, keepdim=True) + self._floor
        return contrast.masked_fill(implausible, -math.inf).log_softmax(dim=-1)

    def _follow(self, ids: Tensor) -> Tensor:
        """Logits of the distorted branch after the same tokens."""
        if self._branch is None or ids.shape != (len(self._seen), self._seen.shape[1] + 1):
            copies = self._copies(ids)
            self._branch, self._seen = _Branch(self._model, self._distorted), ids
            return self._branch.start(copies)
        parents = _parents(self._seen, ids[:, :-1], len(ids) // len(self._prompts))
        self._seen = ids
        return self._branch.step(ids[:, -1:], parents)

    def _copies(self, ids: Tensor) -> int:
        """How many rows each prompt has, at the start of a sequence.

        Raises:
            AdapterError: The sequence does not start with the prompts.
        """
        copies = len(ids) // len(self._prompts)
        if not torch.equal(self._prompts.to(ids.device).repeat_interleave(copies, dim=0), ids):
            raise AdapterError(
                f"generate is at {tuple(ids.shape)} tokens that are not the prompts, "
                f"{tuple(self._prompts.shape)}, which this contrast was made for; make one for each batch, from the "
                "arguments that generate is given, and leave out assisted decoding"
            )
        return copies


class _Branch:
    """A model continued with tokens that others choose, as its own `generate` would run it."""

    def __init__(self, model: Any, inputs: Mapping[str, Any]) -> None:
        self._model, given = _loop(model, inputs)
        self._cache = cache_name(self._model)
        self._ids: Tensor = given.pop("input_ids")
        given.setdefault("attention_mask", torch.ones_like(self._ids))
        takes = inspect.signature(self._model.forward).parameters
        if "position_ids" in takes:
            given["position_ids"] = self._model._prepare_position_ids_for_generation(self._ids, given)
        if "logits_to_keep" in takes:
            given["logits_to_keep"] = 1
        self._given = {**given, "use_cache": True}

    def start(self, copies: int) -> Tensor:
        """Logits after the prompt, (rows, vocabulary)."""
        logits = self._forward(None)
        self._given.pop("pixel_values", None)
        if copies > 1:
            # Only now: packed images cannot be repeated row by row, and what was computed of them need not be.
            cache = self._given.pop(self._cache)
            cache.reorder_cache(torch.arange(len(logits), device=logits.device).repeat_interleave(copies))
            _, self._given = self._model._expand_inputs_for_generation(expand_size=copies, **self._given)
            self._given[self._cache] = cache
        return logits.repeat_interleave(copies, dim=0)

    def step(self, chosen: Tensor, parents: Tensor | None) -> Tensor:
        """Logits after one more token.

        `chosen`: the tokens, (rows, 1).
        `parents`: which row each row continues; None where each continues itself.
        """
        if parents is not None:
            self._given[self._cache].reorder_cache(parents)
        self._ids = chosen
        return self._forward(1)

    def _forward(self, width: int | None) -> Tensor:
        call = self._model.prepare_inputs_for_generation(
            self._ids, next_sequence_length=width, is_first_iteration=width is None, **self._given
        )
        with torch.no_grad(), _unsteered(self._model):
            output = self._model(**call, return_dict=True)
        self._given = self._model._update_model_kwargs_for_generation(output, self._given)
        return output.logits[:, -1].float()


def _loop(model: Any, inputs: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The model that loops over tokens, and its arguments: BLIP's models hand embeddings to a model inside."""
    inner: Any = getattr(model, "language_model", None)
    if not hasattr(inner, "generate"):
        return model, dict(inputs)
    caught: dict[str, Any] = {}
    with torch.no_grad(), _unsteered(model), hooks.around(inner, "generate", lambda _: caught.update):
        type(model).generate(model, **inputs)
    return inner, caught


def _parents(before: Tensor, now: Tensor, copies: int) -> Tensor | None:
    """Which row of the same prompt each row continues, (rows,); None where each continues itself.

    Rows of one prompt with the same tokens are the same sequence, so either will do.

    Raises:
        AdapterError: A row continues none.
    """
    if torch.equal(before, now):
        return None
    same = (now.view(-1, copies, 1, now.shape[1]) == before.view(-1, 1, copies, now.shape[1])).all(dim=-1)
    if not same.any(dim=-1).all():
        raise AdapterError(
            "a sequence does not continue what it was one token ago, so its distorted branch is lost; make one "
            "contrast for each batch, and leave out assisted decoding"
        )
    first = torch.arange(0, len(now), copies, device=now.device)
    return (first[:, None] + same.int().argmax(dim=-1)).flatten()


@contextmanager
def _unsteered(model: nn.Module) -> Iterator[None]:
    """Without the hooks of mmsteer: the clock of a steered call must not tick for another sequence."""
    tables = [table for module in model.modules() for table in (module._forward_hooks, module._forward_pre_hooks)]
    ours = [(table, dict(table)) for table in tables if any(map(_is_ours, table.values()))]
    try:
        for table, whole in ours:
            for key in [key for key, hook in whole.items() if _is_ours(hook)]:
                del table[key]
        yield
    finally:
        for table, whole in ours:
            table.clear()
            table.update(whole)  # in the order they were in


def _is_ours(hook: Any) -> bool:
    return getattr(hook, "__module__", None) == hooks.__name__
