"""Read text files piece by piece, cut where no pretoken and no special token is cut in two.

    bytes --TextReader--> text --ChunkCutter--> chunks, each to be pretokenized on its own

The pretokens of the chunks are exactly those of the whole text. For the named patterns a cut is
made between two characters that no pretoken can join, and that no alternative of the pattern can
look across:

- a character that is not whitespace, then whitespace that is not a line break (line breaks may
  trail punctuation in cl100k and o200k);
- a letter, then anything but a letter, a mark or an apostrophe (words of o200k hold marks and end
  in contractions);
- a number, then anything but a number, a mark or an apostrophe.

Of any other pattern nothing is known, so its text is cut only where a special token begins.
A file in which no such place comes is read whole: memory is bounded by the chunk size, or by the
longest stretch without a cut if that is longer (for the named patterns, about the longest
pretoken).
"""

import codecs
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Literal

import regex

from bpe.patterns import PATTERNS

DecodeErrors = Literal["strict", "replace"]

# (?r) searches from the end: the last cut is wanted.
_BORDER = regex.compile(
    r"(?r)(?<=\S)(?=[^\S\r\n])|(?<=\p{L})(?=[^\p{L}\p{M}'])|(?<=\p{N})(?=[^\p{N}\p{M}'])"
)


class TextReader:
    """Decode a binary stream of UTF-8, and know where in it an invalid byte lies.

    Bytes are kept as they are: line ends are not translated, a byte order mark is a character.
    With `errors="replace"` malformed bytes become U+FFFD and `num_replaced` counts them.
    """

    def __init__(self, stream: BinaryIO, name: str, errors: DecodeErrors = "strict") -> None:
        self.name = name
        self.num_bytes = 0
        self.num_replaced = 0
        self._stream = stream
        self._errors = errors
        self._undecoded = b""
        self._num_lines = 0

    def read(self, num_bytes: int) -> str:
        """Return the text of about the next `num_bytes` bytes, "" only at the end.

        Raises ValueError that names the file, the byte, its offset and its line.
        """
        while True:
            block = self._stream.read(num_bytes)
            data = self._undecoded + block
            try:
                text, consumed = codecs.utf_8_decode(data, self._errors, not block)
            except UnicodeDecodeError as error:
                raise ValueError(self._describe(data, error.start)) from None
            if self._errors == "replace":
                # A U+FFFD that the file itself holds is no replacement.
                intact = data.count(b"\xef\xbf\xbd", 0, consumed)
                self.num_replaced += text.count("\ufffd") - intact
            self._num_lines += data.count(b"\n", 0, consumed)
            self._undecoded = data[consumed:]
            self.num_bytes += len(block)
            if text or not block:
                return text

    def _describe(self, data: bytes, start: int) -> str:
        offset = self.num_bytes - len(self._undecoded) + start
        line = self._num_lines + data.count(b"\n", 0, start) + 1
        return (
            f"{self.name}: invalid byte 0x{data[start]:02x} at offset {offset:,} (line {line:,}); "
            'not UTF-8 text. errors="replace" reads it as U+FFFD'
        )


class ChunkCutter:
    """Find where text can be cut without changing its pretokens under `pattern` and `specials`."""

    def __init__(self, pattern: regex.Pattern[str], specials: Sequence[str]) -> None:
        self._specials = specials
        self._longest = max(map(len, specials), default=0)
        if pattern.pattern in PATTERNS.values():
            self._candidates = _BORDER
        else:
            alternatives = "|".join(map(regex.escape, specials)) or "(?!)"
            self._candidates = regex.compile(f"(?r)(?={alternatives})")

    def last_cut(self, text: str) -> int:
        """Return the last safe cut inside `text`, which more text may follow; 0 if it has none."""
        # Past `visible` a special token could begin before the cut and end beyond the text.
        visible = len(text) - self._longest + 1
        for match in self._candidates.finditer(text):
            cut = match.start()
            if cut <= visible and not self._inside_special(text, cut):
                return cut
        return 0

    def _inside_special(self, text: str, cut: int) -> bool:
        # Any occurrence counts, also one that a special before it would hide: then the text on
        # each side of the cut is split into specials as it is in the whole.
        return any(
            text.find(special, max(0, cut - len(special) + 1), cut + len(special) - 1) >= 0
            for special in self._specials
        )


def read_chunks(reader: TextReader, cutter: ChunkCutter, chunk_bytes: int) -> Iterator[str]:
    """Yield the text of `reader` in chunks of about `chunk_bytes`, cut only at safe places."""
    pending = ""
    # Doubling what is read while no cut is found keeps the work linear in the file.
    while text := reader.read(max(chunk_bytes, len(pending))):
        pending += text
        if cut := cutter.last_cut(pending):
            yield pending[:cut]
            pending = pending[cut:]
    if pending:
        yield pending
