"""The completions protocol of OpenAI's API: requests read and checked, answers shaped.

No server here: plain data in, plain data out. What a request asks for and cannot have is refused,
never ignored. Beyond the protocol, `top_k`, `min_p`, `repetition_penalty` and `truncate` are
understood, and the stream option `continuous_usage_stats`: counts of tokens in every piece.
"""

import json
import time
import uuid
from dataclasses import dataclass
from typing import Any, NoReturn

from bpe import Tokenizer
from sampling.cli import END_OF_TEXT
from sampling.config import SamplingConfig
from sampling.generation import Truncate
from sampling.stopping import FinishReason

# More texts at once than this are several requests.
MAX_TEXTS = 16

# Fields with the one value that changes nothing, which some clients send.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "presence_penalty": (0, None),
    "frequency_penalty": (0, None),
    "logit_bias": ({}, None),
    "logprobs": (None,),
    "suffix": (None, ""),
    "best_of": (1, None),
}
_FIELDS = {
    "model",
    "prompt",
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repetition_penalty",
    "n",
    "stream",
    "stream_options",
    "stop",
    "seed",
    "echo",
    "truncate",
    "user",
    *_NEUTRAL,
}


class RequestError(ValueError):
    """A request that cannot be served, with the status of the answer and the field at fault."""

    def __init__(self, message: str, *, field: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.field = field
        self.status = status

    def body(self) -> dict[str, Any]:
        """Return the answer in the shape that clients of the protocol expect."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        error = {"message": str(self), "type": kind, "param": self.field, "code": None}
        return {"error": error}


@dataclass(frozen=True)
class CompletionRequest:
    """A request that has been checked, as far as that is possible without the model."""

    prompts: list[list[int]]
    """One for each text that is wanted, in the order of the answer."""
    texts: list[str]
    """What each prompt says, to be put before its text; empty unless asked for."""
    config: SamplingConfig
    truncate: Truncate
    stream: bool
    include_usage: bool
    """Whether a stream's last piece counts the tokens."""
    continuous_usage: bool
    """Whether each of its pieces does."""


def read_request(
    body: bytes, tokenizer: Tokenizer, *, model_name: str, end_of_text: int | None, max_tokens: int
) -> CompletionRequest:
    """Read the JSON of a request. Raises RequestError that names field, value and range.

    Special tokens in a prompt are ordinary text. No prompt, or an empty one, asks for a text from
    its beginning: from `end_of_text`, which also ends every text. So the protocol has it; the
    command `generate` refuses an empty prompt. `max_tokens` is the most allowed.
    """
    request = _parse(body)
    for field in request:
        if field not in _FIELDS:
            raise RequestError(f"there is no field {field!r}", field=field)
    for field, neutral in _NEUTRAL.items():
        if request.get(field) not in neutral:
            raise RequestError(f"{field}={request[field]!r} is not supported here", field=field)
    name = request.get("model")
    if name is not None and name != model_name:
        message = f"there is no model {name!r}; this server has {model_name!r}"
        raise RequestError(message, field="model", status=404)
    prompts = _read_prompts(request.get("prompt"), tokenizer, end_of_text)
    count = _integer(request, "n", 1, low=1, high=MAX_TEXTS)
    if len(prompts) * count > MAX_TEXTS:
        message = f"{len(prompts)} prompts with n={count} are more than {MAX_TEXTS} texts"
        raise RequestError(message, field="n")
    prompts = [prompt for prompt in prompts for _ in range(count)]
    options = request.get("stream_options") or {}
    if not isinstance(options, dict):
        raise RequestError(f"stream_options={options!r} is no object", field="stream_options")
    truncate = request.get("truncate") or "never"
    if truncate not in ("never", "left"):
        raise RequestError(f"truncate={truncate!r} must be 'never' or 'left'", field="truncate")
    echo = _flag(request, "echo")
    return CompletionRequest(
        prompts=prompts,
        texts=[tokenizer.decode(ids) if echo else "" for ids in prompts],
        config=_read_config(request, end_of_text, max_tokens),
        truncate="left" if truncate == "left" else "never",
        stream=_flag(request, "stream"),
        include_usage=_flag(options, "include_usage"),
        continuous_usage=_flag(options, "continuous_usage_stats"),
    )


class Answer:
    """The frame of one answer: the same id, time and model in all of its parts."""

    def __init__(self, model_name: str) -> None:
        self._frame = {
            "id": f"cmpl-{uuid.uuid4().hex}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": model_name,
        }

    def with_choices(
        self, choices: list[dict[str, Any]], usage: dict[str, int] | None = None
    ) -> dict[str, Any]:
        """Return a whole answer, or a part of a streamed one."""
        return {**self._frame, "choices": choices, **({} if usage is None else {"usage": usage})}


def choice(index: int, text: str, reason: FinishReason | None) -> dict[str, Any]:
    """Return a text, or a piece of it, in the protocol's shape."""
    return {"index": index, "text": text, "logprobs": None, "finish_reason": reason}


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """Return the counts of tokens in the protocol's shape."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def _parse(body: bytes) -> dict[str, Any]:
    def refuse(name: str) -> NoReturn:
        raise ValueError(f"{name} is no JSON number")

    try:
        request = json.loads(body, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"the body is not JSON: {error}") from None
    if not isinstance(request, dict):
        raise RequestError(f"the body is a JSON {type(request).__name__}, not an object")
    return request


def _read_prompts(prompt: object, tokenizer: Tokenizer, end_of_text: int | None) -> list[list[int]]:
    """Take a string, a list of ids, or a list of either."""
    prompts = [prompt]
    if isinstance(prompt, list) and not _are_ids(prompt):
        prompts = prompt
    return [_read_prompt(one, tokenizer, end_of_text) for one in prompts]


def _read_prompt(prompt: object, tokenizer: Tokenizer, end_of_text: int | None) -> list[int]:
    if prompt is None or prompt in ("", []):
        if end_of_text is None:
            raise RequestError(
                f"prompt={json.dumps(prompt)} is empty: give 1 or more characters; "
                f"the tokenizer has no {END_OF_TEXT} to begin a text from",
                field="prompt",
            )
        return [end_of_text]
    if isinstance(prompt, str):
        try:
            return tokenizer.encode(prompt, allowed_special="none")
        except ValueError as error:
            raise RequestError(f"prompt: {error}", field="prompt") from None
    if isinstance(prompt, list) and _are_ids(prompt):
        for token in prompt:
            if token not in tokenizer.vocab:
                raise RequestError(f"prompt has id {token}, which is no token", field="prompt")
        return prompt
    raise RequestError(
        "prompt must be a string, a list of token ids, or a list of either", field="prompt"
    )


def _are_ids(values: list[Any]) -> bool:
    return all(isinstance(value, int) and not isinstance(value, bool) for value in values)


def _read_config(
    request: dict[str, Any], end_of_text: int | None, max_tokens: int
) -> SamplingConfig:
    stop = request.get("stop")
    if stop is None:
        stop = []
    settings: dict[str, Any] = {
        "stop_strings": [stop] if isinstance(stop, str) else stop,
        "stop_tokens": [] if end_of_text is None else [end_of_text],
        # The protocol's own default.
        "max_tokens": _integer(request, "max_tokens", 16, low=1, high=max_tokens),
    }
    for name in ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "seed"):
        if request.get(name) is not None:
            settings[name] = request[name]
    try:
        return SamplingConfig(**settings)
    except ValueError as error:
        message = str(error).replace("stop_strings", "stop")
        raise RequestError(message, field=message.partition("=")[0]) from None


def _integer(request: dict[str, Any], name: str, default: int, *, low: int, high: int) -> int:
    value = request.get(name)
    if value is None:
        return min(default, high)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise RequestError(f"{name}={value!r} must be an integer in [{low}, {high}]", field=name)
    return value


def _flag(request: dict[str, Any], name: str) -> bool:
    value = request.get(name)
    if value is not None and not isinstance(value, bool):
        raise RequestError(f"{name}={value!r} must be true or false", field=name)
    return bool(value)
