"""What a call of transformers' `generate` asks for, read as `generate` itself reads it."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor


def configured(model: Any, arguments: Mapping[str, Any]) -> Any:
    """The configuration of a call: its arguments, over a configuration that is given, over the model's own.

    `arguments`: of `generate`, by name.
    """
    options = {name: value for name, value in arguments.items() if name != "generation_config"}
    return model._prepare_generation_config(arguments.get("generation_config"), **options)[0]


def new_tokens(model: Any, config: Any, *, repeated: int, embedded: int = 0, is_default: bool) -> int:
    """How many tokens a call makes at most.

    `repeated`: tokens of the prompt that stand in the output.
    `embedded`: tokens that are given as embeddings.
    `is_default`: Whether the length is one that nobody set: of the new tokens alone, then.
    """
    if config.max_new_tokens is not None:
        return int(config.max_new_tokens)
    if is_default:
        longest = getattr(model.config, "max_position_embeddings", None)
        return int(config.max_length if longest is None else min(config.max_length, longest - repeated))
    # Where tokens and embeddings are both given, the output repeats the tokens, and both count once.
    return int(config.max_length - repeated - (embedded if embedded != repeated else 0))


def nobody_set_the_length(model: Any, arguments: Mapping[str, Any]) -> bool:
    """Whether neither the call nor the model says how long an output is.

    `arguments`: of `generate`, by name.
    """
    given = arguments.get("generation_config")
    lengths = (arguments.get("max_length"), given and given.max_length, model.generation_config.max_length)
    return all(length is None for length in lengths)


def ends_in_padding(arguments: Mapping[str, Any], config: Any) -> bool:
    """Whether a prompt has padding behind it, from which the first token would be predicted.

    `arguments`: of `generate`, by name.
    `config`: what `configured` gave; without a mask its padding token says what is padding, as for `generate` itself.
    """
    mask, ids = first_given(arguments, "attention_mask"), first_given(arguments, "input_ids", "inputs")
    if isinstance(mask, Tensor):
        return mask.ndim == 2 and not bool((mask[:, -1] != 0).all())
    ends = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
    padding = config.pad_token_id
    return ids is not None and padding not in (None, *ends) and bool((ids[:, -1] == padding).any())


def first_given(arguments: Mapping[str, Any], *names: str) -> Tensor | None:
    """The first of some arguments that is given.

    `arguments`: of `generate`, by name.
    """
    return next((arguments[name] for name in names if arguments.get(name) is not None), None)
