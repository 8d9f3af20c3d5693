"""Cut text where no pretoken and no special token is cut in two.

The pretokens of the chunks are exactly those of the whole text. For the named patterns a cut is
made between two characters that no pretoken can join, and that no alternative of the pattern can
look across:

- a character that is not whitespace, then whitespace that is not a line break (line breaks may
  trail punctuation in cl100k and o200k);
- a letter, then anything but a letter, a mark or an apostrophe (words of o200k hold marks and end
  in contractions);
- a number, then anything but a number, a mark or an apostrophe.

Of any other pattern nothing is known, so its text is cut only where a special token begins.
A text in which no such place comes stays whole: memory is bounded by the chunk size, or by the
longest stretch without a cut if that is longer (for the named patterns, about the longest
pretoken).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import regex

from bpe.patterns import PATTERNS

# (?r) searches from the end: the last cut is wanted.
_BORDER = regex.compile(
    r"(?r)(?<=\S)(?=[^\S\r\n])|(?<=\p{L})(?=[^\p{L}\p{M}'])|(?<=\p{N})(?=[^\p{N}\p{M}'])"
)


@dataclass(frozen=True)
class Chunk:
    """Some texts, each of which can be cut into pretokens on its own.

    They are whole documents, or parts of one; `goes_on` says that the last of them does not end its
    document.
    """

    texts: list[str]
    goes_on: bool = False


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


def cut_chunks(pieces: Iterable[str], cutter: ChunkCutter) -> Iterator[str]:
    """Join the pieces of a text into chunks about as long, which are cut at safe places."""
    held: list[str] = []
    num_held = num_wanted = 0
    for piece in pieces:
        held.append(piece)
        num_held += len(piece)
        if num_held < num_wanted:
            continue
        text = "".join(held)
        cut = cutter.last_cut(text)
        if cut:
            yield text[:cut]
        held = [text[cut:]]
        num_held = len(held[0])
        # Looking again only when the text has doubled keeps the work linear in its length.
        num_wanted = 0 if cut else 2 * num_held
    if num_held:
        yield "".join(held)


def pack_documents(
    documents: Iterable[str], cutter: ChunkCutter, num_characters: int
) -> Iterator[Chunk]:
    """Join short documents into chunks of about `num_characters`, and cut long ones into such."""
    waiting: list[str] = []
    length = 0
    for document in documents:
        if len(document) > num_characters:
            if waiting:
                yield Chunk(waiting)
            starts = range(0, len(document), num_characters)
            pieces = (document[start : start + num_characters] for start in starts)
            *parts, document = cut_chunks(pieces, cutter)
            yield from (Chunk([part], goes_on=True) for part in parts)
            waiting, length = [], 0
        waiting.append(document)
        # One more, so that empty documents end a chunk too.
        length += len(document) + 1
        if length >= num_characters:
            yield Chunk(waiting)
            waiting, length = [], 0
    if waiting:
        yield Chunk(waiting)
