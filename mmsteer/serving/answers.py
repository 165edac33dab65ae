"""What goes back over the wire: answers, whole or in pieces, and errors, in OpenAI's shapes."""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import time
from typing import Any

from mmsteer.errors import ServingError
from mmsteer.recipes.receipts import joined_receipt, receipt_json
from mmsteer.serving.job import Job, Made

DONE = "data: [DONE]\n\n"


def error_json(error: ServingError) -> dict[str, Any]:
    """An error as OpenAI writes it.

    Args:
        error: The error.
    """
    kinds = {429: "rate_limit_error", 404: "not_found_error"}
    kind = kinds.get(error.status, "server_error" if error.status >= 500 else "invalid_request_error")
    return {"error": {"message": str(error), "type": kind, "param": error.field, "code": error.code}}


def event(content: Mapping[str, Any]) -> str:
    """One event of a stream.

    Args:
        content: What it holds.
    """
    return f"data: {json.dumps(content, ensure_ascii=False, allow_nan=False)}\n\n"


@dataclass(frozen=True)
class Answers:
    """The answers to one request.

    Attributes:
        model: The model that was asked for.
        is_chat: Whether they are turns of a conversation.
        jobs: One an answer.
        id: Of the response.
        created: When, in seconds since 1970.
    """

    model: str
    is_chat: bool
    jobs: Sequence[Job]
    id: str = field(default_factory=lambda: secrets.token_hex(12))
    created: int = field(default_factory=lambda: int(time()))

    def whole(self, made: Sequence[Made]) -> dict[str, Any]:
        """The response of a request that waits for all.

        Args:
            made: The answers.
        """
        choices = [self._choice(index, one.text, one.finish) for index, one in enumerate(made)]
        return self._head("") | {"choices": choices, "usage": self._usage(made)} | self._receipts(dict(enumerate(made)))

    def begun(self, index: int) -> str:
        """The event with which an answer begins.

        Args:
            index: Of the answer.
        """
        return self._chunk(index, {"role": "assistant", "content": ""} if self.is_chat else "", None)

    def piece(self, index: int, text: str) -> str:
        """The event of some words.

        Args:
            index: Of the answer.
            text: The words.
        """
        return self._chunk(index, {"content": text} if self.is_chat else text, None)

    def ended(self, index: int, made: Made) -> str:
        """The event with which an answer ends, and its receipt.

        Args:
            index: Of the answer.
            made: The answer.
        """
        return self._chunk(index, {} if self.is_chat else "", made.finish, self._receipts({index: made}))

    def counted(self, made: Sequence[Made]) -> str:
        """The event of a stream that counts tokens.

        Args:
            made: The answers.
        """
        return event(self._head(".chunk") | {"choices": [], "usage": self._usage(made)})

    def _chunk(self, index: int, delta: Any, finish: str | None, more: Mapping[str, Any] | None = None) -> str:
        words = {"delta": delta} if self.is_chat else {"text": delta}
        choice = {"index": index, **words, "logprobs": None, "finish_reason": finish}
        return event(self._head(".chunk") | {"choices": [choice]} | dict(more or {}))

    def _choice(self, index: int, text: str, finish: str) -> dict[str, Any]:
        words: dict[str, Any] = {"text": text}
        if self.is_chat:
            words = {"message": {"role": "assistant", "content": text, "refusal": None}}
        return {"index": index, **words, "logprobs": None, "finish_reason": finish}

    def _head(self, part: str) -> dict[str, Any]:
        kind = f"chat.completion{part}" if self.is_chat else "text_completion"
        prefix = "chatcmpl" if self.is_chat else "cmpl"
        return {"id": f"{prefix}-{self.id}", "object": kind, "created": self.created, "model": self.model}

    def _usage(self, made: Sequence[Made]) -> dict[str, int]:
        # A prompt is read once for each of its answers, and counts once, as with OpenAI.
        read = sum({id(job.sample): job.given for job in self.jobs}.values())
        tokens = sum(one.tokens for one in made)
        return {"prompt_tokens": read, "completion_tokens": tokens, "total_tokens": read + tokens}

    def _receipts(self, made: Mapping[int, Made]) -> dict[str, Any]:
        receipts = [
            {"index": index, "seed": self.jobs[index].seed, "batch": one.rows}
            | joined_receipt([receipt_json(one.receipt)])
            for index, one in made.items()
        ]
        return {"mmsteer": {"receipts": receipts}}
