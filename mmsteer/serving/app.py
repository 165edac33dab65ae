"""The HTTP side: FastAPI knows paths, bodies and streams, and nothing of models."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic, time
from typing import Any

from fastapi import FastAPI, Response
from fastapi import Request as HttpRequest
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.middleware.trustedhost import TrustedHostMiddleware

from mmsteer.errors import ServingError
from mmsteer.serving.admission import Admission, Catalog
from mmsteer.serving.answers import DONE, Answers, error_json, event
from mmsteer.serving.batcher import Batcher
from mmsteer.serving.job import Event, Failed, Job, Made, Piece
from mmsteer.serving.metrics import TYPE, Metrics
from mmsteer.serving.queue import Queue
from mmsteer.serving.wire import ChatRequest, CompletionRequest, Request, read_request

BODY_SECONDS = 30
"""In which a request has to be sent."""

GONE = 499
"""The status, in the counts, of a request whose client went away."""


class Inbox:
    """Events of one request, from the thread of the batcher to the loop of the server."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[tuple[int, Event]] = asyncio.Queue()

    def of(self, index: int) -> Any:
        """What takes the events of one answer.

        Args:
            index: Of the answer.
        """
        return lambda event: self._loop.call_soon_threadsafe(self._events.put_nowait, (index, event))

    async def get(self) -> tuple[int, Piece | Made]:
        """The next event, with the index of its answer; an error is raised.

        Raises:
            ServingError: There will be no answer.
        """
        index, event = await self._events.get()
        if isinstance(event, Failed):
            error = event.error
            raise error if isinstance(error, ServingError) else ServingError(str(error), code="refused_by_model")
        return index, event


@dataclass(frozen=True)
class Server:
    """Answers requests.

    Attributes:
        catalog: What can be asked for.
        admission: Makes jobs of requests.
        queue: Where they wait.
        batcher: What runs them.
        metrics: What is counted.
        body: Most bytes of a request.
    """

    catalog: Catalog
    admission: Admission
    queue: Queue
    batcher: Batcher
    metrics: Metrics
    body: int

    async def chat(self, http: HttpRequest) -> Response:
        """Go on with a conversation."""
        return await self._counted(http, ChatRequest)

    async def complete(self, http: HttpRequest) -> Response:
        """Go on with texts."""
        return await self._counted(http, CompletionRequest)

    async def models(self, _: HttpRequest) -> Response:
        """What can be asked for."""
        names = sorted(self.catalog.directions)
        rows = [
            {"id": name, "object": "model", "created": int(time()), "owned_by": "mmsteer", "steer": line}
            for name, line in self.catalog.models.items()
        ]
        return JSONResponse({"object": "list", "data": rows, "directions": names})

    async def health(self, _: HttpRequest) -> Response:
        """Whether requests are answered."""
        alive = self.batcher.is_alive
        return JSONResponse({"status": "ok" if alive else "stopped"}, 200 if alive else 503)

    async def count(self, _: HttpRequest) -> Response:
        """What was counted."""
        return Response(self.metrics.text(), media_type=TYPE)

    async def _counted(self, http: HttpRequest, kind: type[Request]) -> Response:
        try:
            response = await self._answer(http, kind)
        except ServingError as error:
            wait = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
            response = JSONResponse(error_json(error), error.status, headers=wait)
        self.metrics.requests.add(1, http.url.path, str(response.status_code))
        return response

    async def _answer(self, http: HttpRequest, kind: type[Request]) -> Response:
        start, inbox = monotonic(), Inbox()
        # In a thread: reading a large body must not hold up the streams of others.
        request = await asyncio.to_thread(read_request, await _body(http, self.body), kind)
        jobs = await asyncio.to_thread(self.admission.jobs, request, inbox.of)
        self.queue.put(jobs)
        self.metrics.read.add(sum(job.given for job in jobs))
        answers = Answers(request.model, kind is ChatRequest, jobs)
        if request.stream:
            stream = self._stream(request, answers, inbox, start)
            # What is refused before the first words is refused by its status.
            first = await _or_gone(http, jobs, anext(stream))
            return StreamingResponse(_behind(first, stream), media_type="text/event-stream")
        made = await _or_gone(http, jobs, _all(inbox, jobs))
        self.metrics.request_seconds.observe(monotonic() - start)
        return JSONResponse(answers.whole(made))

    async def _stream(self, request: Request, answers: Answers, inbox: Inbox, start: float) -> AsyncIterator[str]:
        made: dict[int, Made] = {}
        head = "".join(answers.begun(index) for index in range(len(answers.jobs)))
        try:
            while len(made) < len(answers.jobs):
                index, one = await inbox.get()
                if head:
                    self.metrics.first_seconds.observe(monotonic() - start)
                yield head + (answers.piece(index, one.text) if one.text else "")
                head = ""
                if isinstance(one, Made):
                    made[index] = one
                    yield answers.ended(index, one)
            if request.stream_options and request.stream_options.include_usage:
                yield answers.counted(list(made.values()))
            yield DONE
            self.metrics.request_seconds.observe(monotonic() - start)
        except ServingError as error:
            if head:
                raise
            yield event(error_json(error))
        finally:
            _cancel(answers.jobs)


def make_app(server: Server, hosts: Sequence[str]) -> FastAPI:
    """The application.

    Args:
        server: Answers requests.
        hosts: Names by which it may be called; `*` for any.
    """

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        server.batcher.start()
        yield
        await asyncio.to_thread(server.batcher.close)

    app = FastAPI(title="mmsteer", lifespan=running, openapi_url=None)
    # A page of another site must not reach a server on its reader's machine by a name that points there.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))
    app.add_api_route("/v1/chat/completions", server.chat, methods=["POST"])
    app.add_api_route("/v1/completions", server.complete, methods=["POST"])
    app.add_api_route("/v1/models", server.models, methods=["GET"])
    app.add_api_route("/health", server.health, methods=["GET"])
    app.add_api_route("/metrics", server.count, methods=["GET"])
    return app


async def _body(http: HttpRequest, most: int) -> str:
    # Other types need no permission to be sent from a page of another site.
    if http.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise ServingError("the request is no JSON; send Content-Type: application/json", 415, code="invalid_type")
    data = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in http.stream():
                data += part
                if len(data) > most:
                    raise ServingError(f"the request has more than {most} bytes", 413, code="request_too_large")
        return data.decode()
    except TimeoutError:
        raise ServingError(f"the request was not sent within {BODY_SECONDS} s", 408, code="timeout") from None
    except UnicodeDecodeError:
        raise ServingError("the request is not UTF-8 text") from None


async def _or_gone(http: HttpRequest, jobs: Sequence[Job], awaited: Any) -> Any:
    """What is awaited, unless the client goes away first or a part fails; then nothing more is made of it.

    Raises:
        ServingError: The client went away, or what is awaited failed.
        CancelledError: The server ends.
    """
    answer, gone = asyncio.ensure_future(awaited), asyncio.ensure_future(_gone(http))
    try:
        await asyncio.wait((answer, gone), return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise ServingError("the client went away", GONE, code="client_gone")
        return answer.result()
    except (ServingError, asyncio.CancelledError):
        _cancel(jobs)
        answer.cancel()
        raise
    finally:
        gone.cancel()


async def _gone(http: HttpRequest) -> None:
    while (await http.receive())["type"] != "http.disconnect":
        pass


async def _all(inbox: Inbox, jobs: Sequence[Job]) -> list[Made]:
    made: dict[int, Made] = {}
    while len(made) < len(jobs):
        index, one = await inbox.get()
        assert isinstance(one, Made)
        made[index] = one
    return [made[index] for index in range(len(jobs))]


async def _behind(first: str, stream: AsyncIterator[str]) -> AsyncIterator[str]:
    yield first
    async for one in stream:
        yield one


def _cancel(jobs: Sequence[Job]) -> None:
    for job in jobs:
        job.is_cancelled |= not job.is_over
