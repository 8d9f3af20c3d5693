"""Every process of a run learns at once when another one ends before its time.

Each holds one connection to the first process, and a thread that only listens. A process that dies,
however it dies, closes its connections: the kernel says so within milliseconds, on another machine
too. A machine that dies says nothing; TCP then asks for an answer and gives up after `SILENCE`. No
clock decides otherwise, so that nobody is taken for dead who only saves, compiles or waits.

Without this the others would wait in a collective operation: gloo notices a closed connection, NCCL
waits for ten minutes.
"""

import contextlib
import json
import os
import platform
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

# Seconds without an answer after which a machine counts as gone: idle + interval * count.
IDLE, INTERVAL, COUNT = 8, 4, 3
SILENCE = IDLE + INTERVAL * COUNT
# Seconds that a process which fails in a collective operation waits to hear why.
PATIENCE = 10.0
# Seconds that the first process waits for the others to end when it has failed.
FAREWELL = 2.0
# The exit status of a process that ends because another one was lost.
LOST = 5
GO_ON = "all processes end; the same command goes on from the last checkpoint"

_SHOW_CURSOR = b"\x1b[?25h"

Ending = Callable[[str, int], None]


class Lifeline:
    """Connections between the first process and all others.

    `port` of the first process must be told to the others, with a `token` that only they know.
    `ended` is called in the listening thread, with a line for people (or an empty one) and an exit
    status; it is expected not to return.
    """

    def __init__(self, rank: int, size: int, token: str, ended: Ending) -> None:
        self.rank = rank
        self.token = token
        self.port = 0
        self._size = size
        self._ended = ended
        self._lock = threading.Lock()
        self._leaving = False
        self._sockets: dict[int, socket.socket] = {}
        self._threads: list[threading.Thread] = []
        self._names: dict[int, str] = {}

    def listen(self) -> None:
        """Wait, in threads, for the others to connect; only in the first process."""
        server = socket.create_server(("", 0), backlog=self._size)
        self.port = server.getsockname()[1]
        threading.Thread(target=self._accept, args=(server,), daemon=True).start()

    def connect(self, host: str, port: int, name: str) -> None:
        """Connect to the first process, whose name for people is `name`."""
        line = socket.create_connection((host, port), timeout=SILENCE)
        line.settimeout(None)
        hello = {"token": self.token, "rank": self.rank, "name": describe_process(self.rank)}
        line.sendall(_encode(hello))
        self._names[0] = name
        self._watch(0, line)

    def part(self) -> None:
        """Say that this process ends as it should; what others do is of no account from now on."""
        self._leaving = True
        self._tell({"kind": "bye"})

    def fail(self, text: str, status: int) -> None:
        """Say that this process ends, why, and that the others are to end with `status`.

        The first process waits a moment for them: they may be talking to it in other ways, too.
        """
        self._leaving = True
        self._tell({"kind": "end", "text": text, "status": status, "rank": self.rank})
        deadline = time.monotonic() + FAREWELL
        for thread in self._threads if self.rank == 0 else []:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _accept(self, server: socket.socket) -> None:
        with server:
            while len(self._names) < self._size - 1:
                line, _ = server.accept()
                line.settimeout(SILENCE)
                with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                    hello = json.loads(line.makefile("rb", buffering=0).readline(1000))
                    if hello["token"] == self.token:
                        line.settimeout(None)
                        self._names[int(hello["rank"])] = str(hello["name"])
                        self._watch(int(hello["rank"]), line)
                        continue
                line.close()

    def _watch(self, rank: int, line: socket.socket) -> None:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (
            ("TCP_KEEPIDLE", IDLE),
            ("TCP_KEEPINTVL", INTERVAL),
            ("TCP_KEEPCNT", COUNT),
        ):
            # Not every system has all of these.
            if hasattr(socket, name):
                line.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        with self._lock:
            self._sockets[rank] = line
        thread = threading.Thread(target=self._listen, args=(rank, line), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _listen(self, rank: int, line: socket.socket) -> None:
        try:
            heard = line.makefile("rb").readline()
        except OSError:
            heard = b""
        try:
            message: dict[str, Any] = json.loads(heard)
        except ValueError:
            name = self._names[rank]
            text = f"{name} is gone; {GO_ON}"
            message = {"kind": "end", "status": LOST, "rank": rank, "text": text}
        if message["kind"] == "bye" or self._leaving:
            return
        text, status = str(message["text"]), int(message["status"])
        if self.rank == 0:
            # The others hear of it from here; what a process said itself it has printed, too.
            self._tell(message)
        elif message["rank"] == 0 and status != LOST:
            # What the first process says of itself everybody can read there.
            text = ""
        self._ended(text, status)

    def _tell(self, message: dict[str, Any]) -> None:
        with self._lock:
            for line in self._sockets.values():
                with contextlib.suppress(OSError):
                    line.sendall(_encode(message))


def end_process(text: str, status: int) -> None:
    """Print a line and end this process at once: its main thread may wait for ever."""
    if sys.stdout.isatty():
        os.write(sys.stdout.fileno(), _SHOW_CURSOR)
    if text:
        print(f"train: {text}", file=sys.stderr, flush=True)
    # What was told to the others must have left before the connections break.
    time.sleep(0.1)
    os._exit(status)


def describe_process(rank: int) -> str:
    """Name a process so that a person can find it."""
    return f"rank {rank} (process {os.getpid()} on {platform.node()})"


def _encode(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"
