"""Requests as they come over the wire: OpenAI's fields that are served, and a clear refusal of every other."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mmsteer.errors import ServingError, clip
from mmsteer.json_lines import count_values, parse_json

STEER_CHARACTERS = 8_000
VALUES = 10_000
"""Most values of a request, in all its lists and objects: some 3,000 turns."""
STOPS, STOP_CHARACTERS = 16, 200

_Stop = Annotated[str, Field(min_length=1, max_length=STOP_CHARACTERS)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class TextPart(_Strict):
    """Words of a turn."""

    type: Literal["text"]
    text: str


class ImageUrl(_Strict):
    """Where an image is; `detail` changes nothing here."""

    url: str
    detail: Literal["auto", "low", "high"] | None = None


class ImagePart(_Strict):
    """An image of a turn."""

    type: Literal["image_url"]
    image_url: ImageUrl


class Turn(_Strict):
    """A turn of a conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Annotated[TextPart | ImagePart, Field(discriminator="type")]]
    name: str | None = None
    # What a client sends back with an answer that it was given.
    refusal: None = None

    @property
    def text(self) -> str:
        """Its words."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content if isinstance(part, TextPart))

    @property
    def images(self) -> list[str]:
        """The addresses of its images."""
        parts = [] if isinstance(self.content, str) else self.content
        return [part.image_url.url for part in parts if isinstance(part, ImagePart)]


class StreamOptions(_Strict):
    """What a stream holds beside the words."""

    include_usage: bool = False


class Request(_Strict):
    """What requests of both kinds have.

    Attributes:
        model: The served name, or that of a preset.
        steer: Lines of steering, or the name of a preset; empty for none; None for what the server does by default.
        temperature: 0 takes the likeliest token.
        top_p: Draw from the likeliest tokens with this probability.
        top_k: Draw from this many tokens; 0 for all.
        seed: Of what is drawn; answer `i` of `n` is drawn by seed + i.
        n: Answers to each prompt.
        stop: Texts that end an answer, and are no part of it.
        max_tokens: Most tokens of an answer.
        stream: Whether the words are sent as they come.
        stream_options: What a stream holds beside them.
        user: Of the caller's own books; nothing is done with it.
    """

    model: str
    steer: Annotated[str, Field(max_length=STEER_CHARACTERS)] | None = None
    temperature: Annotated[float, Field(ge=0, le=10)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**62)] | None = None
    n: Annotated[int, Field(ge=1)] = 1
    stop: _Stop | Annotated[list[_Stop], Field(max_length=STOPS)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    user: str | None = None

    @property
    def stops(self) -> tuple[str, ...]:
        """The texts that end an answer."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def tokens(self) -> int | None:
        """Most tokens of an answer, where the request says so."""
        return self.max_tokens


class ChatRequest(Request):
    """A conversation to go on with; `max_completion_tokens` is the newer name of `max_tokens`."""

    messages: Annotated[list[Turn], Field(min_length=1)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None

    @property
    def tokens(self) -> int | None:
        """Most tokens of an answer, where the request says so."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens


class CompletionRequest(Request):
    """Texts to go on with, as they are."""

    prompt: str | Annotated[list[str], Field(min_length=1)]

    @property
    def prompts(self) -> list[str]:
        """The texts."""
        return [self.prompt] if isinstance(self.prompt, str) else self.prompt


_TOOLS = "the model is asked for words alone"
_LOGITS = "the distribution is changed by steering, temperature, top_p and top_k alone"
_PROBABILITIES = "no probabilities are given"

REFUSED: Mapping[str, tuple[tuple[Any, ...], str]] = MappingProxyType(
    {
        "audio": ((), "no audio is made"),
        "best_of": ((1,), "answers are not ranked; give n"),
        "echo": ((False,), "the prompt is not repeated"),
        "frequency_penalty": ((0, 0.0), _LOGITS),
        "function_call": (("none",), _TOOLS),
        "functions": (([],), _TOOLS),
        "logit_bias": (({},), _LOGITS),
        "logprobs": ((False,), _PROBABILITIES),
        "modalities": ((["text"],), "text alone is made"),
        "parallel_tool_calls": ((True, False), _TOOLS),
        "presence_penalty": ((0, 0.0), _LOGITS),
        "response_format": (({"type": "text"},), "text is not held to a format"),
        "suffix": (("",), "nothing is filled in before a text"),
        "tool_choice": (("none",), _TOOLS),
        "tools": (([],), _TOOLS),
        "top_logprobs": ((), _PROBABILITIES),
    }
)
"""Fields that are not served: the values beside null that ask for nothing, and why any other is refused."""

_FORM = re.compile(r"\[|^(constrained-)?str$")
"""What pydantic puts among the names of fields: which of its forms a field was read as."""

Read = TypeVar("Read", bound=Request)


def read_request(text: str, kind: type[Read]) -> Read:
    """A request from its body.

    Args:
        text: JSON.
        kind: What it should be.

    Raises:
        ServingError: It is no strict JSON, too much of it, or has a field that is missing, wrong or not served.
    """
    body = parse_json(text, "the request", ServingError)
    if count_values(body) > VALUES:
        raise ServingError(f"the request has more than {VALUES} values in its lists and objects; send fewer")
    if not isinstance(body, dict):
        raise ServingError("the request is no JSON object; send one, such as {...}")
    for field, (idle, why) in REFUSED.items():
        value = body.pop(field, None)
        if value is not None and not any(type(value) is type(one) and value == one for one in idle):
            raise ServingError(
                f"{field!r} is not served here: {why}; leave it out", field=field, code="unsupported_parameter"
            )
    try:
        return kind.model_validate({name: value for name, value in body.items() if value is not None})
    except ValidationError as cause:
        # Of the forms that a field may have, the one that is most like what came is what is meant.
        problem = max(cause.errors(include_input=False, include_url=False), key=lambda one: len(one["loc"]))
        raise ServingError(_said(problem), field=str(problem["loc"][0])[:80], code=_code(problem)) from None


def _said(problem: Mapping[str, Any]) -> str:
    where = clip(".".join(str(part)[:80] for part in problem["loc"] if not _FORM.search(str(part))))
    return f"{where} is not served here; leave it out" if _is_unknown(problem) else f"{where}: {problem['msg'][:300]}"


def _code(problem: Mapping[str, Any]) -> str:
    return "unsupported_parameter" if _is_unknown(problem) else "invalid_value"


def _is_unknown(problem: Mapping[str, Any]) -> bool:
    return bool(problem["type"] == "extra_forbidden")
