"""A model that judges answers, asked over HTTP. Nothing is ever asked unless the user names where.

The environment says which: MMSTEER_JUDGE_URL (such as http://localhost:8000/v1), MMSTEER_JUDGE_MODEL, and
MMSTEER_JUDGE_KEY where one is needed.
"""

import http.client
import json
import os
import queue
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from mmsteer.errors import EvalError, clip
from mmsteer.json_lines import parse_json

URL, MODEL, KEY = "MMSTEER_JUDGE_URL", "MMSTEER_JUDGE_MODEL", "MMSTEER_JUDGE_KEY"
TRIES = 4
LATE = "no whole answer within {:g} s"
LONGEST_BODY = 4 << 20  # bytes of one answer
BUSY = (429, 500, 502, 503, 504)


class Judge(Protocol):
    """Whatever reads a prompt and writes a verdict."""

    def rate(self, prompt: str) -> str:
        """The verdict in words."""


@dataclass(frozen=True)
class EndpointJudge:
    """A model behind an endpoint that speaks the chat completions protocol of OpenAI.

    Attributes:
        url: Where it is, up to and without `/chat/completions`.
        model: Its name there.
        key: Sent as a bearer token; never shown.
        timeout_s: Longest wait for one whole verdict, however it comes in.
        pause_s: Wait before a busy endpoint is asked again; doubled each time.
    """

    url: str
    model: str
    key: str | None = field(default=None, repr=False)
    timeout_s: float = 120.0
    pause_s: float = 1.0

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise EvalError(
                f"judge at {clip(self.url)}: give an http or https address, such as http://localhost:8000/v1"
            )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "EndpointJudge":
        """The judge that the environment names.

        Raises:
            EvalError: The address or the model is not set.
        """
        missing = [name for name in (URL, MODEL) if not environment.get(name)]
        if missing:
            raise EvalError(f"no judge: set {' and '.join(missing)}, and {KEY} where the endpoint asks for a key")
        return cls(environment[URL], environment[MODEL], environment.get(KEY))

    def rate(self, prompt: str) -> str:
        """The verdict in words, at temperature 0.

        Raises:
            EvalError: The endpoint does not answer, refuses, or answers something else.
        """
        for attempt in range(TRIES - 1):
            try:
                return self._try(prompt)
            except _BusyError:
                time.sleep(self.pause_s * 2**attempt)
        return self._try(prompt)

    def _try(self, prompt: str) -> str:
        try:
            return self._ask(prompt)
        except urllib.error.HTTPError as error:
            error.close()  # it holds the connection
            kind = _BusyError if error.code in BUSY else EvalError
            raise kind(f"judge {self.url}: HTTP {error.code} {error.reason}") from None
        except (OSError, http.client.HTTPException) as error:
            raise EvalError(f"judge {self.url} cannot be reached: {error}") from None

    def _ask(self, prompt: str) -> str:
        body = {"model": self.model, "temperature": 0, "messages": [{"role": "user", "content": prompt}]}
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self.key}"} if self.key else {})
        request = urllib.request.Request(
            f"{self.url.rstrip('/')}/chat/completions", json.dumps(body).encode(), headers, method="POST"
        )
        return self._verdict(_within(self.timeout_s, lambda: self._body(request)))

    def _body(self, request: urllib.request.Request) -> bytes:
        stop = time.monotonic() + self.timeout_s
        body = bytearray()
        with _OPENER.open(request, timeout=self.timeout_s) as response:
            while part := response.read1(LONGEST_BODY):
                body += part
                if len(body) > LONGEST_BODY:
                    raise EvalError(f"judge {self.url} sent more than {LONGEST_BODY >> 20} MiB; is the address right?")
                if time.monotonic() > stop:
                    raise TimeoutError(LATE.format(self.timeout_s))  # nobody waits for it any more
        return bytes(body)

    def _verdict(self, body: bytes) -> str:
        try:
            reply = parse_json(body.decode(errors="replace"), f"judge {self.url}", EvalError)
            verdict = reply["choices"][0]["message"]["content"]
        except (EvalError, LookupError, TypeError):
            verdict = None
        if not isinstance(verdict, str):
            raise EvalError(f"judge {self.url} gave no chat completion but {clip(body)}; is the address right?")
        return verdict


def _within(seconds: float, ask: Callable[[], bytes]) -> bytes:
    """What is answered in time; a socket's own timeout starts again with every byte that drips in.

    Raises:
        TimeoutError: Nothing whole was.
    """
    done: queue.SimpleQueue[bytes | BaseException] = queue.SimpleQueue()

    def work() -> None:
        try:
            done.put(ask())
        except (OSError, http.client.HTTPException, EvalError) as error:
            done.put(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        found = done.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(LATE.format(seconds)) from None
    if isinstance(found, BaseException):
        raise found
    return found


class _BusyError(EvalError):
    """The endpoint may answer later."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the key to another host."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Refuse; the status is then raised as an error."""


_OPENER = urllib.request.build_opener(_NoRedirects())
