"""From a request to rows of a batch: what is asked for is checked here, before it waits."""

import copy
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock

from mmsteer.adapters import LanguageModelAdapter
from mmsteer.api import parse_steering
from mmsteer.errors import MmsteerError, ServingError, clip
from mmsteer.serving.job import Event, Job
from mmsteer.serving.pictures import read_pictures
from mmsteer.serving.wire import ChatRequest, CompletionRequest, Request
from mmsteer.steering import Steering
from mmsteer.types import Chat, Direction, Identity, Raw, Sample, Sampling

ATTRIBUTES = 64
"""Most attributes of a steering."""

TOKEN_CHARACTERS = 16
"""Most characters of a prompt for each token that it may have, because a text is tokenised whole; English has four."""

TOO_LONG = "context_length_exceeded"

Emit = Callable[[int], Callable[[Event], None]]
"""Takes the index of an answer, and gives what takes its events."""


@dataclass(frozen=True)
class Limits:
    """What a request may ask for.

    Attributes:
        prompt: Most tokens of a prompt.
        tokens: Most tokens of an answer.
        usual: Tokens of an answer, unless a request says otherwise.
        answers: Most answers of a request, over all its prompts.
    """

    prompt: int = 4096
    tokens: int = 1024
    usual: int = 256
    answers: int = 16


@dataclass(frozen=True)
class Catalog:
    """What can be asked for.

    Attributes:
        model: The served name.
        directions: What lines of steering may name.
        presets: Lines of steering by name; `MODEL+NAME` is a model with one of them.
        usual: Lines of steering, or a preset, for requests that do not say.
    """

    model: str
    directions: Mapping[str, Direction] = field(default_factory=dict)
    presets: Mapping[str, str] = field(default_factory=dict)
    usual: str = ""

    @property
    def models(self) -> Mapping[str, str]:
        """The lines of steering of every model that can be asked for."""
        return {self.model: self.usual} | {f"{self.model}+{name}": line for name, line in self.presets.items()}

    def steering(self, model: str, steer: str | None) -> Steering:
        """The steering of a request.

        Args:
            model: The model that it asks for.
            steer: Lines, or the name of a preset; None for that of the model.

        Raises:
            ServingError: There is no such model, or the lines cannot be read.
        """
        if model not in self.models:
            raise ServingError(
                f"there is no model {clip(model)}; choose from {', '.join(self.models)}",
                404,
                field="model",
                code="model_not_found",
            )
        text = self.models[model] if steer is None else steer
        try:
            steering = parse_steering(self.presets.get(text, text), self.directions)
        except MmsteerError as cause:
            known = f"; presets: {', '.join(self.presets)}" if self.presets else ""
            raise ServingError(f"{cause}{known}", field="steer") from None
        if len(steering.attributes) > ATTRIBUTES:
            raise ServingError(
                f"{len(steering.attributes)} attributes; at most {ATTRIBUTES} are applied", field="steer"
            )
        return steering


class Admission:
    """Makes jobs of requests, in any thread.

    Args:
        adapter: The model.
        catalog: What can be asked for.
        limits: And how much of it.
    """

    def __init__(self, adapter: LanguageModelAdapter, catalog: Catalog, limits: Limits) -> None:
        # A processor of its own: that of the adapter is at work in another thread, and cannot be shared.
        self._adapter = LanguageModelAdapter(adapter.model, copy.deepcopy(adapter.processor))
        self._catalog, self._limits = catalog, limits
        self._identity = Identity(adapter)
        self._lock = Lock()
        for line in (catalog.usual, *catalog.presets.values()):
            self._steering(catalog.model, line)

    def jobs(self, request: Request, emit: Emit) -> list[Job]:
        """One job for each answer that is asked for.

        Args:
            request: The request.
            emit: Gives what takes the events of each answer.

        Raises:
            ServingError: It asks for what is not served.
        """
        steering, sampling = self._steering(request.model, request.steer), self._sampling(request)
        samples = self._samples(request)
        if len(samples) * request.n > self._limits.answers:
            raise ServingError(
                f"{len(samples) * request.n} answers; at most {self._limits.answers} are made", field="n"
            )
        given = [self._given(sample, sampling) for sample in samples]
        seed = secrets.randbelow(2**31) if request.seed is None else request.seed
        return [
            Job(
                sample,
                sampling,
                seed + again,
                steering,
                request.stops,
                tokens,
                request.stream,
                emit(place * request.n + again),
            )
            for place, (sample, tokens) in enumerate(zip(samples, given, strict=True))
            for again in range(request.n)
        ]

    def _steering(self, model: str, steer: str | None) -> Steering:
        steering = self._catalog.steering(model, steer)
        try:
            steering.check(self._identity)
        except MmsteerError as cause:
            raise ServingError(str(cause), field="steer") from None
        return steering

    def _sampling(self, request: Request) -> Sampling:
        tokens = min(self._limits.usual, self._limits.tokens) if request.tokens is None else request.tokens
        if tokens > self._limits.tokens:
            raise ServingError(f"{tokens} tokens; at most {self._limits.tokens} are made", field="max_tokens")
        if not request.temperature:
            return Sampling(tokens, temperature=0.0)
        return Sampling(tokens, None, request.temperature, request.top_k or 0, request.top_p or 1.0)

    def _samples(self, request: Request) -> list[Sample]:
        if isinstance(request, CompletionRequest):
            self._check_length(max(map(len, request.prompts)))
            return [Sample("the prompt", Raw(text)) for text in request.prompts]
        assert isinstance(request, ChatRequest)
        return [self._chat(request)]

    def _chat(self, request: ChatRequest) -> Sample:
        shown = [turn for turn in request.messages if turn.images]
        if shown and not self._adapter.sees:
            raise ServingError(f"{self._catalog.model} sees no images; send words alone", field="messages")
        first = next((turn for turn in request.messages if turn.role == "user"), None)
        if any(turn is not first for turn in shown):
            raise ServingError("images belong to the first turn of the user; move them there", field="messages")
        roles = {"developer": "system"}
        turns = tuple({"role": roles.get(turn.role, turn.role), "content": turn.text} for turn in request.messages)
        self._check_length(sum(len(turn["content"]) for turn in turns))
        return Sample("the conversation", Chat(turns), read_pictures(first.images if first else []))

    def _check_length(self, characters: int) -> None:
        most = self._limits.prompt * TOKEN_CHARACTERS
        if characters > most:
            raise ServingError(f"the prompt has {characters} characters; at most {most} are read", code=TOO_LONG)

    def _given(self, sample: Sample, sampling: Sampling) -> int:
        """How many tokens a prompt has.

        Raises:
            ServingError: Too many, or it cannot be written as the model reads it.
        """
        try:
            with self._lock:
                given = int(self._adapter.reading([sample]).arguments["input_ids"].shape[1])
        except MmsteerError as cause:
            raise ServingError(str(cause), code="invalid_prompt") from None
        assert sampling.tokens is not None
        whole = given + sampling.tokens
        if given > self._limits.prompt:
            raise ServingError(f"the prompt has {given} tokens; at most {self._limits.prompt} are read", code=TOO_LONG)
        if whole > self._adapter.max_steps:
            raise ServingError(
                f"the prompt has {given} tokens and the answer may have {sampling.tokens}; the model takes "
                f"{self._adapter.max_steps} together",
                code=TOO_LONG,
            )
        return given
