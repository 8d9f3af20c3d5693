"""Cut a stream of text into pretokens, whatever its chunk borders, in constant memory.

Four generators, one after the other:
- `gathered` joins short strings, such as lines;
- `well_formed` finds lone surrogates, which no UTF-8 can hold;
- `split_stream` finds special tokens, and holds back a text's end that may begin one;
- `cut_stream` finds pretokens, and holds back those that more text could still change.

When is a pretoken settled? When the search that found it never looked at the end of the text. The
named patterns look past the end of a match by at most a run of white space (`\\s+(?!\\S)`,
`\\s*[\\r\\n]+`) or of letters and marks (o200k, for the case of a word), and 3 characters more (a
contraction). So a pretoken is settled once it ends 3 characters before the run that ends the text.
What another pattern looks at is not known: there the text is held until a special token or its
end.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import regex

from bpe.patterns import PATTERNS
from bpe.pretokenize import split_pretokens
from bpe.specials import compile_specials, split_on_specials

# Characters that are looked at in one go. Larger windows gain no speed.
WINDOW = 1 << 16

_LOOKAHEAD = 3
_LETTERS_AT_END = regex.compile(r"(?r)[\p{L}\p{M}]+\Z")


# The most characters that `gathered` waits for. More gain no speed, and leave holes in memory.
_GATHERED = 1 << 9


class LoneSurrogateError(ValueError):
    """A text has half of a surrogate pair, which no UTF-8 can hold."""


def gathered(strings: Iterable[str]) -> Iterator[str]:
    """Join short strings, which would cost more than their text, into longer ones.

    What it waits for is at most a sixteenth of what it has passed on, so that a stream starts at
    once. Raises TypeError for what is not a string.
    """
    waiting: list[str] = []
    length = passed = limit = 0
    for string in strings:
        if not isinstance(string, str):
            raise TypeError(f"text is a {type(string).__name__}, not a str")
        waiting.append(string)
        length += len(string)
        if length >= limit:
            yield "".join(waiting)
            waiting.clear()
            passed += length
            length, limit = 0, min(passed >> 4, _GATHERED)
    yield "".join(waiting)


def well_formed(
    chunks: Iterable[str], errors: str = "strict", *, window: int = WINDOW
) -> Iterator[str]:
    """Yield the text in pieces of at most `window` characters, none of them a lone surrogate.

    With `errors="strict"` a lone surrogate raises LoneSurrogateError with its index in the joined
    text. With "replace" it becomes U+FFFD, and two that form a pair become their character.
    """
    check_errors(errors)
    index, held = 0, ""
    for chunk in chunks:
        for start in range(0, len(chunk), window):
            piece = chunk[start : start + window]
            if held or not piece.isascii():
                piece = held + piece
                held = ""
                if errors == "strict":
                    _check_surrogates(piece, index)
                else:
                    # Its other half may come with the next chunk.
                    if "\ud800" <= piece[-1] <= "\udbff":
                        piece, held = piece[:-1], piece[-1]
                    piece = _replace_surrogates(piece)
            index += len(piece)
            yield piece
    if held:
        yield "\ufffd"


def check_errors(errors: str) -> None:
    """Raise ValueError unless `errors` is "strict" or "replace"."""
    if errors not in ("strict", "replace"):
        raise ValueError(f"errors is {errors!r}; it can be 'strict' or 'replace'")


def _check_surrogates(text: str, index: int) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        raise LoneSurrogateError(
            f"text has a lone surrogate U+{code:04X} at index {index + error.start}"
        ) from None


def _replace_surrogates(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def split_stream(pieces: Iterable[str], specials: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Yield the text in pieces, each with whether it is a special token; no piece is empty.

    The specials are those that `split_on_specials` finds in the joined text. At most the length of
    the longest special is held back.
    """
    if not specials:
        yield from ((piece, False) for piece in pieces if piece)
        return
    search = compile_specials(specials).search
    unfinished = _unfinished_finder(specials)
    held = ""
    for piece in pieces:
        text = held + piece
        start = 0
        edge = unfinished(text, 0)
        # A special that starts before the edge is found for good: none that starts earlier, and no
        # longer one at its place, can still come.
        while (match := search(text, start)) and match.start() < edge:
            if match.start() > start:
                yield text[start : match.start()], False
            yield match.group(), True
            start = match.end()
            if start > edge:
                edge = unfinished(text, start)
        if edge > start:
            yield text[start:edge], False
        held = text[edge:]
    yield from split_on_specials(held, specials)


def _unfinished_finder(specials: Sequence[str]) -> Callable[[str, int], int]:
    """Return a function that finds the first place, from `start`, where a special may have begun.

    It gives the length of the text where there is none.
    """
    longest = max(map(len, specials))
    first_letters = frozenset(special[0] for special in specials)

    def unfinished(text: str, start: int) -> int:
        for at in range(max(start, len(text) - longest + 1), len(text)):
            if text[at] in first_letters:
                begun = text[at:]
                if any(len(s) > len(begun) and s.startswith(begun) for s in specials):
                    return at
        return len(text)

    return unfinished


def cut_stream(
    pieces: Iterable[tuple[str, bool]], pattern: regex.Pattern[str]
) -> Iterator[tuple[list[str], str | None]]:
    """Yield lists of pretokens, each with the special token that follows it, if one does.

    `pieces` come from `split_stream`. The pretokens are those of the text between two special
    tokens taken whole. A text without a border is gathered until it has doubled before it is looked
    at again, so that the work stays linear in its length.
    """
    lean = pattern.pattern in PATTERNS.values()
    waiting: list[str] = []
    fresh = tail = 0
    for piece, is_special in pieces:
        if is_special:
            yield split_pretokens(pattern, "".join(waiting)), piece
            waiting, fresh, tail = [], 0, 0
            continue
        waiting.append(piece)
        fresh += len(piece)
        if lean and fresh > tail:
            text = "".join(waiting)
            pretokens, end = settled_pretokens(pattern, text)
            if pretokens:
                yield pretokens, None
            waiting, fresh, tail = [text[end:]], 0, len(text) - end
    yield split_pretokens(pattern, "".join(waiting)), None


def settled_pretokens(pattern: regex.Pattern[str], text: str) -> tuple[list[str], int]:
    """Return the first pretokens of `text`, which no continuation changes, and where they end.

    `pattern` must be one of the named ones.
    """
    # str.rstrip takes a few control characters for white space too: that only waits longer.
    end = len(text.rstrip())
    if end == len(text) and (letters := _LETTERS_AT_END.search(text)):
        end = letters.start()
    limit = end - _LOOKAHEAD
    if limit <= 0:
        return [], 0
    pretokens: list[str] = pattern.findall(text)
    end = len(text)
    while end > limit:
        end -= len(pretokens.pop())
    return pretokens, end
