"""inspect_ai: the provider `mmsteer`, found by its entry point and loaded when a model of it is asked for.

`inspect eval task.py --model mmsteer/bundled:text -M directions=style.safetensors -M steer="style:pirate 0.3"`.
"""

from inspect_ai.model import ModelAPI, modelapi


@modelapi(name="mmsteer")
def mmsteer() -> type[ModelAPI]:
    """The class of the provider's models."""
    from mmsteer.harness.inspect_model import SteeredAPI

    return SteeredAPI
