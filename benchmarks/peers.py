"""Other steering toolkits, each adding one vector to the output of each block of a LLaMA, at every token.

    uv pip install --no-deps repeng steering-vectors pyvene nnsight gguf greenlet repsteer hidden-directions
    uv pip install transformer-lens      (in an environment of its own, or without its torch and transformers)

`--no-deps`, since steering-vectors asks for transformers before 5 and repeng for NumPy before 2. Both run with today's,
as they are used here. Each peer hooks the model that it is given for as long as its `with` lasts.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from typing import Any

import numpy as np
from torch import Tensor

Generate = Callable[..., Any]
Vectors = Mapping[int, Tensor]
"""For each layer what is added to the output of its block, (width,)."""


@contextmanager
def repeng(model: Any, vectors: Vectors) -> Iterator[Generate]:
    # It names np.float_ in an annotation alone; NumPy 2 has dropped the alias.
    vars(np).setdefault("float_", np.float64)
    from repeng import ControlModel

    control = ControlModel(model, list(vectors))
    control.set_raw_control(dict(vectors))
    yield control.generate
    control.unwrap()


@contextmanager
def steering_vectors(model: Any, vectors: Vectors) -> Iterator[Generate]:
    from steering_vectors import SteeringVector

    with SteeringVector(dict(vectors)).apply(model):
        yield model.generate


@contextmanager
def pyvene(model: Any, vectors: Vectors) -> Iterator[Generate]:
    import pyvene as pv

    parts = [
        {"component": f"model.layers[{layer}].output", "intervention": lambda base, _, vector=vector: base + vector}
        for layer, vector in vectors.items()
    ]
    steered = pv.IntervenableModel(pv.IntervenableConfig(parts), model=model)

    def generate(input_ids: Tensor, attention_mask: Tensor, **options: Any) -> Any:
        base = {"input_ids": input_ids, "attention_mask": attention_mask}
        return steered.generate(base, unit_locations=None, intervene_on_prompt=True, **options)[1]

    yield generate


@contextmanager
def nnsight(model: Any, vectors: Vectors) -> Iterator[Generate]:
    from nnsight import TransformersModel

    traced = TransformersModel(model, task="text-generation", tokenizer=_any_tokenizer())

    def generate(input_ids: Tensor, attention_mask: Tensor, **options: Any) -> Any:
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
        with traced.generate(inputs, **options) as tracer:
            for _ in tracer.iter[: options["max_new_tokens"]]:
                for layer, vector in vectors.items():
                    traced.model.layers[layer].output = traced.model.layers[layer].output + vector
            output = tracer.result.save()
        return output

    yield generate


@contextmanager
def repsteer(model: Any, vectors: Vectors) -> Iterator[Generate]:
    import repsteer as library

    wrapped = library.models.from_model(model)
    plan = library.SteeringPlan(
        [
            library.Intervention(
                artifact=library.DirectionArtifact(
                    library.ArtifactMetadata(model_id=wrapped.model_id, site=library.sites.resid_post(layer=layer)),
                    vector,
                ),
                operator=library.operators.Add(),
                positions=library.positions.AllTokens(),
                strength=library.schedules.Constant(1.0),
            )
            for layer, vector in vectors.items()
        ]
    )
    with wrapped.steer(plan, compatibility="dimension"):
        yield lambda **options: wrapped.generate(**options).token_ids


@contextmanager
def hidden_directions(model: Any, vectors: Vectors) -> Iterator[Generate]:
    # It has no way to steer but the hooks of its own searches, which are one `h + b` a layer.
    from hidden_directions.sweep import _make_hook

    handles = [model.model.layers[at].register_forward_hook(_make_hook(one)) for at, one in vectors.items()]
    yield model.generate
    for handle in handles:
        handle.remove()


@contextmanager
def transformer_lens(model: Any, vectors: Vectors) -> Iterator[Generate]:
    # Version 3 and later; attention is its own choice, `eager`.
    from transformer_lens.model_bridge import TransformerBridge

    bridge = TransformerBridge.boot_transformers("model", hf_model=model, tokenizer=_any_tokenizer())
    hooks = [
        (f"blocks.{layer}.hook_out", lambda state, hook, vector=vector: state + vector)
        for layer, vector in vectors.items()
    ]

    def generate(input_ids: Tensor, **options: Any) -> Any:
        return bridge.hf_generate(input_ids, **options)

    with bridge.hooks(fwd_hooks=hooks):
        yield generate


def _any_tokenizer() -> Any:
    from transformers import AutoTokenizer

    from mmsteer.bundled import bundled_path

    return AutoTokenizer.from_pretrained(bundled_path("vision"))


PEERS: Mapping[str, Callable[[Any, Vectors], AbstractContextManager[Generate]]] = {
    "repeng": repeng,
    "steering-vectors": steering_vectors,
    "pyvene": pyvene,
    "nnsight": nnsight,
    "repsteer": repsteer,
    "hidden-directions": hidden_directions,
    "transformer-lens": transformer_lens,
}


def is_installed(name: str) -> bool:
    """Whether a peer can be imported.

    Args:
        name: Its name on PyPI.
    """
    return find_spec(name.replace("-", "_")) is not None
