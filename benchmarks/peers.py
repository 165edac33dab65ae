"""Other steering toolkits, each adding one vector to the output of each block of a LLaMA, at every token.

    uv pip install --no-deps repeng steering-vectors pyvene nnsight gguf greenlet

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


def _any_tokenizer() -> Any:
    from transformers import AutoTokenizer

    from mmsteer.bundled import bundled_path

    return AutoTokenizer.from_pretrained(bundled_path("vision"))


PEERS: Mapping[str, Callable[[Any, Vectors], AbstractContextManager[Generate]]] = {
    "repeng": repeng,
    "steering-vectors": steering_vectors,
    "pyvene": pyvene,
    "nnsight": nnsight,
}


def is_installed(name: str) -> bool:
    """Whether a peer can be imported.

    Args:
        name: Its name on PyPI.
    """
    return find_spec(name.replace("-", "_")) is not None
