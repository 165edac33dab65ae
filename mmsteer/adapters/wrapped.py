"""The transformers model inside what people wrap around one: PEFT, torch.compile, (Distributed)DataParallel.

Every wrapper runs the model that it holds, `generate` included, so hooks on that model serve the wrapper's calls too.
"""

import sys
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from mmsteer.errors import AdapterError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def unwrapped(model: Any) -> "PreTrainedModel":
    """The transformers model that a wrapper runs; a bare model is returned as it is.

    `model`: A transformers model, or a wrapper around one, or around another wrapper.

    Raises:
        AdapterError: There is no transformers model inside, or the wrapper cannot be steered.
    """
    from transformers import PreTrainedModel  # slow to import: it brings torch's compiler

    outer = model
    while not isinstance(model, PreTrainedModel):
        if _is_compiled(model):
            _guard_hooks()
            model = model._orig_mod
        elif isinstance(model, nn.DataParallel):
            model = _of_one_device(model)
        elif isinstance(model, nn.parallel.DistributedDataParallel):
            model = model.module
        elif _is_peft(model):
            model = _of_weights(model)
        else:
            raise AdapterError(
                "expected a transformers model, bare or in PEFT, torch.compile, DataParallel or "
                f"DistributedDataParallel, got {type(outer).__name__}; give the model inside"
            )
    return model


def execution_device(model: "PreTrainedModel") -> torch.device:
    """Where a model takes its input; offloaded weights lie nowhere, but accelerate's hook knows where they run."""
    device = torch.device(model.device)
    if device.type != "meta":
        return device
    hook = model.get_input_embeddings()._hf_hook
    return torch.device(hook.execution_device)


def _is_compiled(model: Any) -> bool:
    # Whoever holds such a model has imported the compiler, which takes its time.
    compiler = sys.modules.get("torch._dynamo.eval_frame")
    return compiler is not None and isinstance(model, compiler.OptimizedModule)


def _guard_hooks() -> None:
    """Have compiled code look for hooks: by default it runs on without them, or with those that are gone."""
    import torch._dynamo

    if torch._dynamo.config.skip_nnmodule_hook_guards:
        torch._dynamo.config.skip_nnmodule_hook_guards = False
        torch.compiler.reset()


def _of_one_device(model: nn.DataParallel[Any]) -> Any:
    if len(model.device_ids) > 1:
        raise AdapterError(
            f"DataParallel runs copies of the model on {len(model.device_ids)} devices at once, in which steering "
            "cannot tell the rows of one from another's; use DistributedDataParallel, or one device"
        )
    return model.module


def _is_peft(model: Any) -> bool:
    # Whoever holds such a model has imported peft.
    peft = sys.modules.get("peft")
    return peft is not None and isinstance(model, peft.PeftModel)


def _of_weights(model: Any) -> Any:
    config = model.active_peft_config
    if config.is_prompt_learning:
        raise AdapterError(
            f"{config.peft_type.value} puts tokens of its own before the prompt, which positions cannot name; steer a "
            "model with LoRA or another adapter of the weights"
        )
    return model.get_base_model()
