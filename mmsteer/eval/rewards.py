"""Rewards of whatever a model puts out, by name."""

from typing import Literal

from mmsteer.errors import EvalError
from mmsteer.eval.attributes import ATTRIBUTES
from mmsteer.eval.audio_reward import VOICED, AudioReward, parse_audio_reward
from mmsteer.eval.text import REWARDS, NamedReward, parse_reward


def reward_of(text: str, output_kind: Literal["text", "audio"]) -> NamedReward | AudioReward:
    """Read a reward that fits a model's outputs, such as `contains:Arr` or `grounded` of text, or `note:C` of audio.

    Args:
        text: As it is written.
        output_kind: What the model puts out.

    Raises:
        EvalError: There is no such reward, or it reads the other kind of output.
    """
    name = text.strip().removeprefix("not ").strip().partition(":")[0]
    if output_kind == "text" and name not in REWARDS and name in (*ATTRIBUTES, VOICED):
        raise EvalError(f"the reward {text!r} reads audio, and this model makes text; write such as contains:Arr")
    if output_kind == "audio" and name in REWARDS:
        raise EvalError(f"the reward {text!r} reads text, and this model makes audio; write such as note:C")
    return parse_reward(text) if output_kind == "text" else parse_audio_reward(text)
