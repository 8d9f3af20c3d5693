"""`serve`: a model behind OpenAI's completions protocol, and a page to write stories with.

Needs the extra `sampling[serve]`. It listens on this machine alone unless told otherwise, has no
passwords and no encryption: put it behind a proxy that has before strangers may reach it.
"""

import dataclasses
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

from sampling.cli import choose_device, exit_status, own_process
from sampling.flags import parse_flags
from sampling.run_directory import check_run, load_run

DESCRIPTION = """Serve a trained model: OpenAI's /v1/completions, and a page to write stories with.

Examples:
  serve runs/tiny                      then open http://127.0.0.1:8000
  serve runs/tiny --port 9000
  curl http://127.0.0.1:8000/v1/completions -H 'Content-Type: application/json' \\
       -d '{"prompt": "Once upon a time", "max_tokens": 100, "stream": true}'

An empty prompt begins a new text, as in OpenAI's protocol. The command generate refuses one.
"""


@dataclasses.dataclass(frozen=True)
class ServeFlags:
    """The flags of `serve`."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Directory of a run: it holds model/ and tokenizer/."""
    port: int = 8000
    """Port to listen on; 0 takes a free one."""
    host: str = "127.0.0.1"
    """Address to listen on. The default is reachable from this machine alone."""
    max_requests: int = 8
    """Most requests that are served at once; one more is answered with status 503."""
    max_tokens: int = 2048
    """Most tokens that one request may ask for."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute; auto takes an accelerator if there is one."""


def command() -> int:
    """Run the command as a process of its own, without shape checks, as `generate` does."""
    own_process()
    return main()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server until a signal ends it; return the exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        flags = parse_flags(ServeFlags, given, prog="serve", description=DESCRIPTION)
        _check(flags)
        return _run(flags)
    except KeyboardInterrupt:
        return 130
    except ModuleNotFoundError as error:
        print(f"serve: {error.name} is missing: install sampling[serve]", file=sys.stderr)
        return 2
    except (ValueError, OSError, MemoryError, RuntimeError) as error:
        status = exit_status(error)
        if status is None:
            raise
        print(f"serve: {' '.join(str(error).split())}", file=sys.stderr)
        return status


def _check(flags: ServeFlags) -> None:
    if not 0 <= flags.port < 2**16:
        raise ValueError(f"port={flags.port} must be an integer in [0, 65535]")
    for name in ("max_requests", "max_tokens"):
        if getattr(flags, name) < 1:
            raise ValueError(f"{name}={getattr(flags, name)} must be an integer of at least 1")


def _run(flags: ServeFlags) -> int:
    check_run(flags.run)
    import uvicorn

    from sampling.service import make_app

    # Bound first, so that a taken port is one line and nothing is loaded in vain.
    with _listen(flags.host, flags.port) as listener:
        model, tokenizer = load_run(flags.run, device=choose_device(flags.device))
        app = make_app(
            model,
            tokenizer,
            name=flags.run.resolve().name,
            host=flags.host,
            max_requests=flags.max_requests,
            max_tokens=flags.max_tokens,
        )
        # Whoever reads the line below may connect at once, before uvicorn has started.
        listener.listen()
        host = f"[{flags.host}]" if ":" in flags.host else flags.host
        print(f"serving {flags.run} on http://{host}:{listener.getsockname()[1]}", flush=True)
        settings = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=3)
        uvicorn.Server(settings).run(sockets=[listener])
    return 0


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ValueError(
            f"cannot listen on host {host} and port {port}: {error.strerror}; try another --port"
        ) from None
    return listener
