"""When a text ends: stop tokens, stop strings, the most tokens. Nothing after the end gets out.

A stop string may begin in one token and end in another. So the last bytes of a text are held back
as long as they could be the beginning of one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from sampling.config import SamplingConfig

FinishReason = Literal["stop", "length"]


class StopStringFinder:
    """Pass bytes on until one of `stops` has been found in them.

    The stop that ends first counts, and of those that end together the longest: so the result does
    not depend on how the bytes are cut into pieces.
    """

    def __init__(self, stops: Sequence[bytes]) -> None:
        self._stops = stops
        self._held = b""

    def push(self, data: bytes) -> tuple[bytes, bool]:
        """Take bytes; return those that are certain to precede any stop, and whether one ended."""
        text = self._held + data
        found = [(at + len(stop), at) for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            self._held = b""
            return text[: min(found)[1]], True
        safe = len(text) - self._begun(text)
        self._held = text[safe:]
        return text[:safe], False

    def flush(self) -> bytes:
        """Return what was held back: no more bytes will come."""
        held, self._held = self._held, b""
        return held

    def _begun(self, text: bytes) -> int:
        """Return the length of the longest end of `text` with which a stop begins."""
        longest = max((len(stop) - 1 for stop in self._stops), default=0)
        for length in range(min(longest, len(text)), 0, -1):
            end = text[-length:]
            if any(stop.startswith(end) for stop in self._stops):
                return length
        return 0


@dataclass(frozen=True)
class Piece:
    """What one drawn token lets out: nothing, itself, or also tokens held back before it.

    `data` may end inside a token, where a stop string begins; `tokens` are whole.
    """

    tokens: list[int]
    data: bytes
    finish_reason: FinishReason | None


class Gate:
    """Pass one text's tokens on until it ends, as `config` says.

    `to_bytes` gives the bytes of a token; without it there are no bytes in the pieces.
    """

    def __init__(
        self, config: SamplingConfig, to_bytes: Callable[[int], bytes] | None = None
    ) -> None:
        self._stop_tokens = frozenset(config.stop_tokens)
        self._room = config.max_tokens
        self._finder = StopStringFinder([stop.encode() for stop in config.stop_strings])
        self._to_bytes = to_bytes
        # Tokens not passed on yet, each with its length.
        self._held: list[tuple[int, int]] = []
        # Bytes passed on that belong to the first of them.
        self._ahead = 0

    def push(self, token: int) -> Piece:
        """Take the next token of the text; after a piece with a finish reason there is none."""
        if token in self._stop_tokens:
            return self._release(self._finder.flush(), "stop")
        data = b"" if self._to_bytes is None else self._to_bytes(token)
        self._held.append((token, len(data)))
        self._room -= 1
        data, stopped = self._finder.push(data)
        if stopped:
            return self._release(data, "stop")
        if self._room == 0:
            return self._release(data + self._finder.flush(), "length")
        return self._release(data, None)

    def _release(self, data: bytes, reason: FinishReason | None) -> Piece:
        self._ahead += len(data)
        tokens = []
        while self._held and self._held[0][1] <= self._ahead:
            token, length = self._held.pop(0)
            self._ahead -= length
            tokens.append(token)
        return Piece(tokens, data, reason)
