"""The server as a process of its own, asked over HTTP by a client that is not ours."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

import browser
import pytest
import torch

from bpe import Tokenizer
from nn import ModelConfig, TransformerLM
from sampling import SamplingConfig, generate, generate_text
from sampling.cli import main as generate_main
from sampling.serve import main

COMMAND = [sys.executable, "-c", "import sys; from sampling.serve import main; sys.exit(main())"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


class Server:
    """A running server, the model that it serves, and requests to it."""

    def __init__(self, run: Path, process: "subprocess.Popen[str]", port: int) -> None:
        self.run = run
        self.process = process
        self.port = port
        self.model = TransformerLM.load(run / "model")
        self.tokenizer = Tokenizer.load(run / "tokenizer")

    def open(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> http.client.HTTPResponse:
        """Send a request on a connection that closes with the response."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        names = {"Content-Type": "application/json", "Connection": "close", **names}
        connection.request(method, path, body, names)
        return connection.getresponse()

    def send(self, method: str, path: str, body: bytes | None = None, **headers: str) -> "Reply":
        with self.open(method, path, body, **headers) as response:
            return Reply(response.status, response.headers, response.read().decode())

    def complete(self, **fields: Any) -> "Reply":
        return self.send("POST", "/v1/completions", json.dumps(fields).encode())


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Message
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    run = tmp_path_factory.mktemp("runs") / "tiny"
    config = ModelConfig(vocab_size=257, context_length=23, d_model=28, num_layers=2, num_heads=2)
    model = TransformerLM(config, generator=torch.Generator().manual_seed(37))
    with torch.no_grad():
        model.lm_head.weight.mul_(5)
        # Never <|endoftext|>: the lengths below are those asked for.
        model.lm_head.weight[256] = 0
    model.save(run / "model")
    Tokenizer({byte: bytes([byte]) for byte in range(256)}, [], ["<|endoftext|>"]).save(
        run / "tokenizer"
    )
    flags = ["--port", "0", "--max-requests", "2", "--max-tokens", "100000"]
    process = subprocess.Popen(
        [*COMMAND, str(run), *flags], stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    port = re.search(r"serving .*/tiny on http://127\.0\.0\.1:(\d+)$", line)
    assert port is not None, line
    yield Server(run, process, int(port[1]))
    process.send_signal(signal.SIGINT)
    # As a shell reports it, or 130 by our own hand.
    assert process.wait(timeout=30) in (130, -signal.SIGINT)
    process.stdout.close()


def chunks_of(reply: Reply) -> list[dict[str, Any]]:
    lines = [line for line in reply.text.split("\n\n") if line]
    assert lines.pop() == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def test_completion_is_what_generate_gives(server: Server) -> None:
    response = server.complete(prompt="fox", max_tokens=17, seed=3, temperature=0.7, model="tiny")
    answer = response.json()
    config = SamplingConfig(max_tokens=17, seed=3, temperature=0.7, stop_tokens=[256])
    text = generate_text(server.model, server.tokenizer, "fox", config)
    assert response.status == 200
    assert answer["object"] == "text_completion"
    assert answer["choices"] == [
        {"index": 0, "text": text, "logprobs": None, "finish_reason": "length"}
    ]
    assert answer["usage"] == {"prompt_tokens": 3, "completion_tokens": 17, "total_tokens": 20}


def test_streamed_pieces_join_to_the_completion(server: Server) -> None:
    fields: dict[str, Any] = {"prompt": "fox", "max_tokens": 17, "seed": 3}
    whole = server.complete(**fields).json()["choices"][0]["text"]
    response = server.complete(**fields, stream=True, stream_options={"include_usage": True})
    assert response.headers["Content-Type"].startswith("text/event-stream")
    *chunks, last = chunks_of(response)
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == whole
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks][-2:] == [None, "length"]
    assert last["usage"]["completion_tokens"] == 17
    assert not any("usage" in chunk for chunk in chunks)
    assert len({chunk["id"] for chunk in [*chunks, last]}) == 1


def test_each_streamed_piece_counts_the_tokens_if_asked(server: Server) -> None:
    options = {"continuous_usage_stats": True}
    fields: dict[str, Any] = {"prompt": "fox", "max_tokens": 17, "stream": True}
    chunks = chunks_of(server.complete(**fields, seed=3, stream_options=options))
    counts = [chunk["usage"]["completion_tokens"] for chunk in chunks]
    assert counts == sorted(set(counts))
    assert counts[-1] == 17
    assert {chunk["usage"]["prompt_tokens"] for chunk in chunks} == {3}


@pytest.mark.parametrize("fields", [{}, {"prompt": ""}])
def test_empty_prompt_begins_a_text_as_generate_does_from_end_of_text(
    server: Server, fields: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    response = server.complete(**fields, max_tokens=17, seed=3, temperature=0.8, top_p=0.95)
    flags = ["--allow-special", "--no-echo", "--max-tokens", "17", "--seed", "3"]
    assert generate_main([str(server.run), "--prompt", "<|endoftext|>", *flags]) == 0
    text = capsys.readouterr().out.removesuffix("\n")
    assert response.json()["choices"][0]["text"] == text


def test_several_prompts_are_answered_in_order(server: Server) -> None:
    response = server.complete(prompt=["fox", "a"], n=2, max_tokens=5, seed=3, echo=True)
    choices = response.json()["choices"]
    prompts = [server.tokenizer.encode(text) for text in ("fox", "fox", "a", "a")]
    config = SamplingConfig(max_tokens=5, seed=3)
    new = generate(server.model, prompts, config, tokenizer=server.tokenizer)
    expected = [
        server.tokenizer.decode([*old, *ids]) for old, ids in zip(prompts, new, strict=True)
    ]
    assert [choice["text"] for choice in choices] == expected
    assert [choice["index"] for choice in choices] == [0, 1, 2, 3]


def test_mistakes_are_answered_with_one_line(server: Server) -> None:
    response = server.send("POST", "/v1/completions", b"{not json")
    assert response.status == 400
    message = response.json()["error"]["message"]
    assert message.startswith("the body is not JSON: ")
    assert "\n" not in message


def test_prompt_longer_than_the_context_is_400_unless_truncated(server: Server) -> None:
    response = server.complete(prompt="x" * 29)
    assert response.status == 400
    assert response.json()["error"]["message"] == (
        "prompt 0 has 29 tokens, more than context_length=23: "
        'shorten it, or keep its end with "truncate": "left"'
    )
    assert server.complete(prompt="x" * 29, truncate="left", max_tokens=1).status == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        ("GET", "/nowhere", None, {}, 404),
        ("GET", "/v1/completions", None, {}, 405),
        ("POST", "/v1/completions", b"{}", {"Content_Type": "text/plain"}, 415),
        ("POST", "/v1/completions", b" " * (2**20 + 1), {}, 413),
        ("GET", "/", None, {"Host": "strangers.example"}, 400),
    ],
)
def test_request_that_should_not_be_served_is_refused(
    server: Server,
    method: str,
    path: str,
    body: bytes | None,
    headers: dict[str, str],
    status: int,
) -> None:
    assert server.send(method, path, body, **headers).status == status


@pytest.mark.parametrize(
    ("method", "path", "message"),
    [
        ("GET", "/v1/completions", "/v1/completions does not answer GET: send POST"),
        ("DELETE", "/v1/models", "/v1/models does not answer DELETE: send GET, HEAD"),
        ("GET", "/v1/chat/completions", "there is nothing at /v1/chat/completions"),
        ("POST", "/nowhere", "there is nothing at /nowhere"),
    ],
)
def test_wrong_address_or_method_is_answered_as_other_mistakes_are(
    server: Server, method: str, path: str, message: str
) -> None:
    error = server.send(method, path).json()["error"]
    assert error == {
        "message": message,
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }


def test_one_request_too_many_is_503_and_a_client_that_leaves_makes_room(server: Server) -> None:
    """Two endless texts fill the server; when one client has gone, the next is served."""
    fields: dict[str, Any] = {"prompt": "fox", "max_tokens": 100_000, "stream": True}
    body = json.dumps(fields).encode()
    first = server.open("POST", "/v1/completions", body)
    with server.open("POST", "/v1/completions", body) as second:
        # Both are being written, by turns.
        assert first.readline().startswith(b"data: ")
        assert second.readline().startswith(b"data: ")
        refused = server.complete(prompt="fox")
        assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
        first.close()
        deadline = time.monotonic() + 30
        while (status := server.complete(prompt="fox", max_tokens=1).status) == 503:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert status == 200


def test_page_is_self_contained(server: Server) -> None:
    response = server.send("GET", "/")
    page = response.text
    assert response.status == 200
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert not re.search(r"""(src|href)=["']?(https?:)?//|@import|url\(""", page)
    assert "innerHTML" not in page


def test_models_names_the_run_and_its_context(server: Server) -> None:
    entry = server.send("GET", "/v1/models").json()["data"][0]
    assert (entry["id"], entry["max_model_len"]) == ("tiny", 23)


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Page]:
    yield from browser.start(tmp_path_factory.mktemp("browser"))


def write_on_page(tab: browser.Page, server: Server, prompt: str, tokens: int) -> None:
    """Open the page, wait until it knows the model, and let it begin to write."""
    tab.errors.clear()
    tab.call("Page.navigate", url=f"http://127.0.0.1:{server.port}/")
    wait_for(tab, "document.querySelector('#model')?.textContent === 'tiny'")
    tab.evaluate(f"at('prompt').value = {json.dumps(prompt)}; at('max_tokens').value = {tokens}")
    tab.click("#write")


def wait_for(tab: browser.Page, condition: str) -> None:
    deadline = time.monotonic() + 30
    while not tab.evaluate(condition):
        assert time.monotonic() < deadline, condition
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("prompt", "said"),
    [("x" * 23, ""), ("x" * 29, "longer than the context: read the last 23 of 29 tokens")],
)
def test_page_says_when_it_kept_the_end_of_a_prompt(
    server: Server, tab: browser.Page, prompt: str, said: str
) -> None:
    write_on_page(tab, server, prompt, 7)
    wait_for(tab, "at('figures').textContent !== ''")
    assert tab.evaluate("at('cut').textContent") == said
    figures = tab.evaluate("at('figures').textContent")
    assert re.fullmatch(r"7 tokens, \d+ tokens/s, reached the number of tokens", figures)
    assert not tab.errors


def test_page_shows_the_figures_of_a_stopped_text(server: Server, tab: browser.Page) -> None:
    write_on_page(tab, server, "fox", 100_000)
    wait_for(tab, "at('story').textContent.length > 5")
    tab.click("#stop")
    wait_for(tab, "running === null")
    figures = tab.evaluate("at('figures').textContent")
    assert re.fullmatch(r"[1-9]\d* tokens, [1-9]\d* tokens/s, stopped", figures)
    assert not tab.errors


def test_taken_port_is_one_line(run_directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main([str(run_directory), "--port", str(port)]) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"serve: cannot listen on host 127.0.0.1 and port {port}: ")
    assert message.count("\n") == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--port", "70000"], r"port=70000 must be an integer in \[0, 65535\]"),
        (["--max-requests", "0"], "max_requests=0 must be an integer of at least 1"),
        (["--prot", "1"], "unknown flag --prot: did you mean --port?"),
        ([], "nowhere does not exist: give the directory of a run"),
    ],
)
def test_mistake_is_one_line_and_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    given = [str(tmp_path / "nowhere"), *(flags or ["--port", "0"])]
    assert main(given) == 2
    assert re.search(message, capsys.readouterr().err)
