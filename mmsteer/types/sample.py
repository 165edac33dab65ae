"""What a model is given, what it puts out, and how the output is sampled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any


@dataclass(frozen=True)
class Raw:
    """Text that no chat template touches: what a base model continues, or a document as it is.

    Attributes:
        text: The text.
    """

    text: str


@dataclass(frozen=True)
class Chat:
    """A conversation. A last turn of the assistant is continued; any images belong to the first turn of the user.

    Attributes:
        messages: Turns, each with its `role` (`system`, `user`, `assistant`) and `content`.
        options: Further arguments of the chat template, such as `enable_thinking`.
    """

    messages: tuple[Mapping[str, str], ...]
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Waveform:
    """Audio that a model is given.

    Attributes:
        samples: (samples,) or (samples, channels), full scale 1.
        sample_rate: In Hz; adapters resample it to their model's.
    """

    samples: Any
    sample_rate: int


@dataclass(frozen=True, eq=False)
class Sample:
    """One input of a model, and the output that it is taken to have made of it.

    Attributes:
        id: Its name.
        prompt: What the user says, a whole conversation, or raw text; for music the description, and None for the null
            branch of guidance.
        images: PIL images that the prompt is about.
        output: The output that follows, None where there is none: text, or audio: a `Waveform`, or (samples,) at
            the model's sample rate.
        audio_prompt: Music that the output begins with and continues; it is part of the output and of its length.
        melody: Music whose melody the output follows.
    """

    id: str
    prompt: str | Chat | Raw | None = None
    images: tuple[Any, ...] = ()
    output: Any = None
    audio_prompt: Waveform | None = None
    melody: Waveform | None = None

    @property
    def text(self) -> str:
        """The prompt as plain text: of a conversation its last turn that is not the assistant's."""
        if isinstance(self.prompt, Raw):
            return self.prompt.text
        if isinstance(self.prompt, Chat):
            asked = [turn["content"] for turn in self.prompt.messages if turn["role"] != "assistant"]
            return asked[-1] if asked else ""
        return self.prompt or ""


@dataclass(frozen=True)
class Sampling:
    """How outputs are sampled; None stands for the usual value of the model, `adapter.sampling`.

    Attributes:
        tokens: At most this many tokens of text.
        seconds: Duration of audio.
        temperature: Divides the logits; 0 takes the likeliest token.
        top_k: Tokens to draw from; 0 for all.
        top_p: Draw from the likeliest tokens that together have this probability.
        guidance: Scale of classifier-free guidance; 1 for none.
        beams: Beams of the search; 1 for none.
        processors: Further logits processors of transformers, before sampling.
    """

    tokens: int | None = None
    seconds: float | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    guidance: float | None = None
    beams: int | None = None
    processors: tuple[Any, ...] = ()

    def filled(self, usual: "Sampling") -> "Sampling":
        """This sampling with the usual values where it gives none.

        Args:
            usual: The usual values.
        """
        given = {one.name: getattr(self, one.name) for one in fields(self) if getattr(self, one.name) is not None}
        return replace(usual, **given)


def as_samples(prompts: Sequence[Sample | str]) -> list[Sample]:
    """Samples, where a plain text stands for a prompt.

    Args:
        prompts: Samples or texts.
    """
    return [one if isinstance(one, Sample) else Sample(str(at), one) for at, one in enumerate(prompts)]
