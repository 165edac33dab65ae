"""What the arguments of transformers' `generate` say of a language model's call, before it runs."""

from collections.abc import Mapping
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor

from mmsteer.adapters.caches import cached_tokens
from mmsteer.adapters.families import Family
from mmsteer.adapters.generation import (
    configured,
    ends_in_padding,
    first_given,
    new_tokens,
    nobody_set_the_length,
)
from mmsteer.adapters.seen_images import SeenImages
from mmsteer.errors import AdapterError
from mmsteer.types import Call, Marks, open_behind


def language_call(
    model: Any, family: Family, images: SeenImages, marks: Marks | None, arguments: Mapping[str, Any]
) -> Call:
    """Read the arguments of `generate`.

    Args:
        model: The model.
        family: How it differs from others.
        images: The images that it sees.
        marks: What opens and closes its thoughts.
        arguments: Of its `generate`, by name.

    Raises:
        AdapterError: They ask for classifier-free guidance, which runs a second sequence beside the first, or for
            token healing, which rewrites the prompt; or prompts are padded on the right.
    """
    # Some families hand embeddings to the language model inside.
    runs = attrgetter(family.runs)(model) if family.runs else model
    config = configured(runs, arguments)
    _check(config, arguments)
    ids, embeds = first_given(arguments, "input_ids", "inputs"), first_given(arguments, "inputs_embeds")
    repeated = _repeated(model, family, ids, embeds)
    embedded = 0 if embeds is None else int(embeds.shape[1])
    is_default = nobody_set_the_length(runs, arguments)
    new = new_tokens(runs, config, repeated=repeated, embedded=embedded, is_default=is_default)
    prompts = first_given(arguments, "input_ids", "inputs", "inputs_embeds", "pixel_values")
    continues = bool(cached_tokens(arguments))
    # With a cache, the prompt may be what is new alone; the mask is of the whole sequence.
    mask = first_given(arguments, "attention_mask") if continues else None
    prompt = embedded or (repeated if mask is None else int(mask.shape[1]))
    samples = None if prompts is None else len(prompts)
    return Call(
        steps=max(1, new),
        prompt=prompt or None,
        samples=samples,
        repeated=repeated,
        continues=continues,
        all_see=images.all_see(ids),
        thinks=_thinks(ids, marks),
        reorders=(config.num_beams or 1) > 1 and config.use_cache is not False,
    )


def _check(config: Any, arguments: Mapping[str, Any]) -> None:
    if (config.guidance_scale or 1) != 1:
        raise AdapterError(
            "guidance_scale makes transformers run a second sequence with a clock of its own, which steering "
            "cannot follow; leave it out, and contrast prompts by a direction instead"
        )
    if ends_in_padding(arguments, config):
        raise AdapterError(
            "a prompt has padding behind it, so that its first token would be predicted from padding; pad on the "
            "left: processor.tokenizer.padding_side = 'left', or tokenizer.padding_side = 'left'"
        )
    if config.token_healing:
        raise AdapterError("token_healing changes the prompt inside generate; heal it first, with heal_tokens")


def _thinks(ids: Tensor | None, marks: Marks | None) -> tuple[bool, ...] | None:
    """Of each prompt whether its end is inside thoughts."""
    if marks is None or ids is None or ids.is_floating_point():
        return None
    before = torch.zeros(len(ids), dtype=torch.bool, device=ids.device)
    return tuple(open_behind(ids, marks, before)[:, -1].tolist())


def _repeated(model: Any, family: Family, ids: Tensor | None, embeds: Tensor | None) -> int:
    """How many tokens of its prompt `generate` begins its output with."""
    if ids is not None:
        return int(ids.shape[1])
    if embeds is not None:
        return 0
    # It makes a prompt itself: the token that begins every sequence, behind an image where one is needed.
    return 1 + (getattr(model.config, family.queries) if family.queries else 0)
