"""The web application behind `serve`: its routes, and the answers to requests.

Requests are read and shaped by `completions`, and take turns at the model by `turns`.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from importlib.resources import files

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from bpe import Tokenizer
from nn import TransformerLM
from sampling.cli import END_OF_TEXT
from sampling.completions import (
    Answer,
    CompletionRequest,
    RequestError,
    choice,
    read_request,
    usage,
)
from sampling.generation import stream_batch
from sampling.text import PieceReader
from sampling.turns import BusyError, Event, Job, Turns

MAX_BODY_BYTES = 2**20


def make_app(
    model: TransformerLM,
    tokenizer: Tokenizer,
    *,
    name: str,
    host: str,
    max_requests: int,
    max_tokens: int,
) -> Starlette:
    """Return the application; it serves while its lifespan lasts.

    `name` is what requests call the model; at most `max_requests` of them are served at once.
    """
    turns = Turns(room=max_requests)
    service = Service(model, tokenizer, name=name, max_tokens=max_tokens, turns=turns)
    page = files("sampling").joinpath("page.html").read_text("utf-8")

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        with turns:
            yield

    async def show_page(_: Request) -> Response:
        rules = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        rules += "script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; "
        rules += "form-action 'none'; frame-ancestors 'none'"
        return HTMLResponse(page, headers={"Content-Security-Policy": rules})

    async def list_models(_: Request) -> Response:
        entry = {"id": service.name, "object": "model", "created": 0, "owned_by": "you"}
        # Not of the protocol, but other servers call it so too: the most tokens that are read.
        entry["max_model_len"] = model.config.context_length
        return JSONResponse({"object": "list", "data": [entry]})

    async def refuse(request: Request, reason: Exception) -> Response:
        assert isinstance(reason, HTTPException)
        path, status = request.url.path, reason.status_code
        message = reason.detail
        if status == 404:
            message = f"there is nothing at {path}"
        elif status == 405:
            allowed = ", ".join(sorted((reason.headers or {})["Allow"].split(", ")))
            message = f"{path} does not answer {request.method}: send {allowed}"
        error = RequestError(message, status=status)
        return JSONResponse(error.body(), status, headers=reason.headers)

    # A page of a stranger may send a browser here under a name of its own that leads to this
    # machine. On the default address nobody else has a reason to use another name than these.
    local = host in ("127.0.0.1", "::1", "localhost")
    names = ["127.0.0.1", "localhost", "[::1]"] if local else ["*"]
    return Starlette(
        routes=[
            Route("/", show_page),
            Route("/v1/models", list_models),
            Route("/v1/completions", service.complete, methods=["POST"]),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=names)],
        exception_handlers={HTTPException: refuse},
        lifespan=lifespan,
    )


class Service:
    """What answers completions: one model for all requests, which take turns."""

    def __init__(
        self,
        model: TransformerLM,
        tokenizer: Tokenizer,
        *,
        name: str,
        max_tokens: int,
        turns: Turns,
    ) -> None:
        self.name = name
        self._model = model
        self._tokenizer = tokenizer
        self._max_tokens = max_tokens
        self._turns = turns

    async def complete(self, request: Request) -> Response:
        """Answer POST /v1/completions."""
        try:
            wanted = await self._read(request)
            events, job = self._start(wanted)
            if wanted.stream:
                return StreamingResponse(
                    self._stream(wanted, events, job),
                    media_type="text/event-stream",
                    headers={"Cache-Control": "no-store"},
                )
            return JSONResponse(await self._collect(wanted, events, job, request))
        except RequestError as error:
            headers = {"Retry-After": "1"} if error.status == 503 else None
            return JSONResponse(error.body(), error.status, headers=headers)

    async def _read(self, request: Request) -> CompletionRequest:
        # A page of a stranger can send plain text without asking, but JSON only with permission.
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            message = f"Content-Type is {kind!r}: send application/json"
            raise RequestError(message, status=415)
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                message = f"the body is longer than {MAX_BODY_BYTES} bytes"
                raise RequestError(message, status=413)
        return read_request(
            bytes(body),
            self._tokenizer,
            model_name=self.name,
            end_of_text=self._tokenizer.special_tokens.get(END_OF_TEXT),
            max_tokens=self._max_tokens,
        )

    def _start(self, wanted: CompletionRequest) -> tuple[asyncio.Queue[Event], Job]:
        """Begin to write; events arrive in the queue."""
        loop = asyncio.get_running_loop()
        events: asyncio.Queue[Event] = asyncio.Queue()

        def deliver(event: Event) -> None:
            # At the end of the server the loop is closed before the last job notices.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(events.put_nowait, event)

        try:
            pieces = stream_batch(
                self._model,
                wanted.prompts,
                wanted.config,
                tokenizer=self._tokenizer,
                truncate=wanted.truncate,
            )
            job = Job(pieces, deliver)
            self._turns.submit(job)
        except BusyError as error:
            raise RequestError(str(error), status=503) from None
        except ValueError as error:
            # Functions speak of their arguments, the protocol of fields.
            message = str(error).replace("truncate='left'", '"truncate": "left"')
            raise RequestError(message, field="prompt") from None
        return events, job

    async def _collect(
        self,
        wanted: CompletionRequest,
        events: asyncio.Queue[Event],
        job: Job,
        request: Request,
    ) -> dict[str, object]:
        """Wait for all texts; give up when the client has."""
        texts = list(wanted.texts)
        readers = [PieceReader() for _ in texts]
        choices = [choice(index, "", None) for index in range(len(texts))]
        drawn = 0
        try:
            while True:
                try:
                    event = await asyncio.wait_for(events.get(), timeout=0.5)
                except TimeoutError:
                    if await request.is_disconnected():
                        raise RequestError("the client is gone", status=499) from None
                    continue
                if event is None:
                    break
                if isinstance(event, Exception):
                    raise RequestError(str(event), status=500) from event
                index, piece = event
                drawn += 1
                texts[index] += readers[index].read(piece)
                if piece.finish_reason is not None:
                    choices[index] = choice(index, texts[index], piece.finish_reason)
        finally:
            job.cancel()
        counts = usage(sum(map(len, wanted.prompts)), drawn)
        return Answer(self.name).with_choices(choices, counts)

    async def _stream(
        self, wanted: CompletionRequest, events: asyncio.Queue[Event], job: Job
    ) -> AsyncIterator[bytes]:
        """Yield server-sent events. When the client is gone, this is closed, and the job ends."""
        answer = Answer(self.name)
        readers = [PieceReader() for _ in wanted.prompts]
        drawn = 0
        try:
            for index, text in enumerate(wanted.texts):
                if text:
                    yield _event(answer.with_choices([choice(index, text, None)]))
            while (event := await events.get()) is not None:
                if isinstance(event, Exception):
                    yield _event(RequestError(str(event), status=500).body())
                    return
                index, piece = event
                drawn += 1
                text = readers[index].read(piece)
                counts = usage(sum(map(len, wanted.prompts)), drawn)
                if text or piece.finish_reason is not None:
                    choices = [choice(index, text, piece.finish_reason)]
                    so_far = counts if wanted.continuous_usage else None
                    yield _event(answer.with_choices(choices, so_far))
            if wanted.include_usage:
                yield _event(answer.with_choices([], counts))
            yield b"data: [DONE]\n\n"
        finally:
            job.cancel()


def _event(data: dict[str, object]) -> bytes:
    return b"data: " + json.dumps(data, ensure_ascii=False).encode() + b"\n\n"
