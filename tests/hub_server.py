"""A local stand-in for the Hugging Face hub: what its client asks for when it fetches a file."""

import hashlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "0123456789abcdef" * 2 + "01234567"


@dataclass
class Hub:
    """What is served, and what happens on the way."""

    files: Mapping[str, bytes]
    """`OWNER/NAME/FILE` to content."""
    break_at: int | None = None
    """Close the connection once, after so many bytes of a file."""
    pause_at: int | None = None
    """Send so many bytes of a file, and then nothing more until `resume` is set."""
    lie: bool = False
    """Send other bytes than those that were hashed."""
    resume: threading.Event = field(default_factory=threading.Event)
    paused: threading.Event = field(default_factory=threading.Event)
    ranges: list[tuple[str, int]] = field(default_factory=list)
    """Name and first byte of each download."""
    url: str = ""


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """Serve `hub` at `hub.url` within the block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        hub.resume.set()
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def _content(self) -> bytes | None:
            parts = self.path.split("/")
            # /datasets/OWNER/NAME/resolve/REVISION/FILE
            if len(parts) == 7 and (parts[1], parts[4]) == ("datasets", "resolve"):
                name = "/".join((parts[2], parts[3], parts[6]))
                if parts[5] in ("main", COMMIT) and name in hub.files:
                    return hub.files[name]
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None

        def _headers(self, content: bytes, first: int) -> None:
            self.send_response(206 if first else 200)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(len(content) - first))
            if first:
                span = f"bytes {first}-{len(content) - 1}/{len(content)}"
                self.send_header("Content-Range", span)
            self.end_headers()

        def do_HEAD(self) -> None:
            content = self._content()
            if content is not None:
                self._headers(content, 0)

        def do_GET(self) -> None:
            content = self._content()
            if content is None:
                return
            first = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=")[:-1])
            hub.ranges.append((self.path.rpartition("/")[2], first))
            self._headers(content, first)
            sent = content[::-1] if hub.lie else content
            end = len(sent)
            if hub.break_at is not None and first < hub.break_at:
                end, hub.break_at = hub.break_at, None
            if hub.pause_at is not None and first < hub.pause_at:
                self.wfile.write(sent[first : hub.pause_at])
                self.wfile.flush()
                first = hub.pause_at
                hub.paused.set()
                hub.resume.wait()
            # The client may have been killed.
            with suppress(OSError):
                self.wfile.write(sent[first:end])
            self.close_connection = end < len(sent)

    return Handler
