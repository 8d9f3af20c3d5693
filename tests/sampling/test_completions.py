"""Requests of the completions protocol: what is understood, and what is refused by name."""

import json
from typing import Any

import pytest

from bpe import Tokenizer
from sampling.completions import CompletionRequest, RequestError, read_request

END = 256


def read(tokenizer: Tokenizer, body: bytes | None = None, **fields: Any) -> CompletionRequest:
    return read_request(
        json.dumps(fields).encode() if body is None else body,
        tokenizer,
        model_name="tiny",
        end_of_text=END,
        max_tokens=100,
    )


def test_fields_become_settings(tokenizer: Tokenizer) -> None:
    request = read(
        tokenizer,
        prompt="ab",
        max_tokens=7,
        temperature=0.5,
        top_p=0.9,
        top_k=11,
        min_p=0.1,
        repetition_penalty=1.2,
        stop=["x", "yz"],
        seed=13,
        stream=True,
    )
    config = request.config
    assert request.prompts == [[97, 98]]
    assert request.stream
    assert (config.max_tokens, config.temperature, config.top_p, config.seed) == (7, 0.5, 0.9, 13)
    assert (config.top_k, config.min_p, config.repetition_penalty) == (11, 0.1, 1.2)
    assert (config.stop_strings, config.stop_tokens) == (("x", "yz"), (END,))


def test_defaults_are_those_of_the_protocol(tokenizer: Tokenizer) -> None:
    request = read(tokenizer, prompt="a")
    assert (request.config.max_tokens, request.config.temperature) == (16, 1.0)
    assert not request.stream


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("ab", [[97, 98]]),
        (["ab", "c"], [[97, 98], [99]]),
        ([97, 98], [[97, 98]]),
        ([[97], [98, 99]], [[97], [98, 99]]),
        ("", [[END]]),
        (None, [[END]]),
        ([], [[END]]),
    ],
)
def test_prompt_has_every_form_of_the_protocol(
    tokenizer: Tokenizer, prompt: Any, expected: list[list[int]]
) -> None:
    assert read(tokenizer, prompt=prompt).prompts == expected


def test_n_repeats_each_prompt(tokenizer: Tokenizer) -> None:
    assert read(tokenizer, prompt=["a", "b"], n=2).prompts == [[97], [97], [98], [98]]


def test_special_token_in_a_prompt_is_text(tokenizer: Tokenizer) -> None:
    assert len(read(tokenizer, prompt="<|endoftext|>").prompts[0]) == 13


def test_fields_that_change_nothing_are_accepted(tokenizer: Tokenizer) -> None:
    neutral: dict[str, Any] = {
        "presence_penalty": 0,
        "frequency_penalty": 0.0,
        "logit_bias": None,
        "best_of": 1,
    }
    assert read(tokenizer, prompt="a", user="me", model="tiny", **neutral).prompts == [[97]]


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"temperature": -1}, "temperature", "^temperature=-1 must be 0 or a finite number"),
        ({"temperature": "hot"}, "temperature", "^temperature='hot' must be 0 or"),
        ({"top_p": 0}, "top_p", r"^top_p=0 must be a number in \(0, 1\]"),
        ({"top_k": 0}, "top_k", "^top_k=0 must be an integer of at least 1"),
        ({"min_p": 2}, "min_p", r"^min_p=2 must be a number in \[0, 1\]"),
        ({"max_tokens": 101}, "max_tokens", r"^max_tokens=101 must be an integer in \[1, 100\]"),
        ({"max_tokens": True}, "max_tokens", "^max_tokens=True must be an integer"),
        ({"n": 0}, "n", r"^n=0 must be an integer in \[1, 16\]"),
        ({"n": 9, "prompt": ["a", "b"]}, "n", "^2 prompts with n=9 are more than 16 texts"),
        ({"seed": -1}, "seed", "^seed=-1 must be an integer in"),
        ({"stop": 3}, "stop", "^stop=3 must be a collection of strings"),
        ({"stop": [""]}, "stop", "^stop=.* holds '', not a string of 1 or more"),
        ({"stream": "yes"}, "stream", "^stream='yes' must be true or false"),
        ({"echo": 1}, "echo", "^echo=1 must be true or false"),
        ({"truncate": "right"}, "truncate", "^truncate='right' must be 'never' or 'left'"),
        ({"stream_options": 3}, "stream_options", "^stream_options=3 is no object"),
        ({"logprobs": 3}, "logprobs", "^logprobs=3 is not supported here"),
        ({"presence_penalty": 1}, "presence_penalty", "^presence_penalty=1 is not supported"),
        ({"temprature": 1}, "temprature", "^there is no field 'temprature'"),
        ({"model": "gpt"}, "model", "^there is no model 'gpt'; this server has 'tiny'"),
        ({"prompt": 3}, "prompt", "^prompt must be a string, a list of token ids, or"),
        ({"prompt": [True]}, "prompt", "^prompt must be"),
        ({"prompt": [300]}, "prompt", "^prompt has id 300, which is no token"),
        ({"prompt": "\ud800"}, "prompt", r"lone surrogate U\+D800"),
    ],
)
def test_what_cannot_be_had_is_refused_by_name(
    tokenizer: Tokenizer, fields: dict[str, Any], field: str, message: str
) -> None:
    with pytest.raises(RequestError, match=message) as raised:
        read(tokenizer, **{"prompt": "a", **fields})
    assert raised.value.field == field
    assert raised.value.body()["error"]["param"] == field


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "^the body is not JSON: Expecting value"),
        (b"{", "^the body is not JSON"),
        (b"\xff", "^the body is not JSON"),
        (b"[1]", "^the body is a JSON list, not an object"),
        (b'{"temperature": NaN}', "^the body is not JSON: NaN is no JSON number"),
        (b"[" * 100_000, "^the body is not JSON"),
    ],
)
def test_body_that_is_no_json_object_is_one_line(
    tokenizer: Tokenizer, body: bytes, message: str
) -> None:
    with pytest.raises(RequestError, match=message) as raised:
        read(tokenizer, body)
    assert raised.value.status == 400
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("body", "value"),
    [(b"{}", "null"), (b'{"prompt": ""}', '""'), (b'{"prompt": []}', r"\[\]")],
)
def test_empty_prompt_needs_an_end_of_text_token(
    tokenizer: Tokenizer, body: bytes, value: str
) -> None:
    with pytest.raises(RequestError, match=f"^prompt={value} is empty: give 1 or more characters"):
        read_request(body, tokenizer, model_name="tiny", end_of_text=None, max_tokens=9)
