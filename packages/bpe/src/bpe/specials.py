"""Cut text at special tokens.

Where two specials could start at one position the longer wins; a special that starts earlier wins
over one that starts later.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache


def compile_specials(specials: Sequence[str]) -> re.Pattern[str]:
    """Compile one expression that finds any of `specials`, longest first; cached.

    Raises ValueError for an empty special, which would match everywhere, and for one given twice.
    """
    if isinstance(specials, str):
        check_specials(specials)
    return _compile(tuple(specials))


@lru_cache(maxsize=64)
def _compile(specials: tuple[str, ...]) -> re.Pattern[str]:
    check_specials(specials)
    if not specials:
        return re.compile(r"(?!)")
    by_length = sorted(specials, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, by_length)))


def check_specials(specials: Sequence[str]) -> None:
    """Raise ValueError for an empty special token and for one that is given twice."""
    if isinstance(specials, str):
        raise ValueError(f"special tokens are a list of strings; wrap the one: [{specials!r}]")
    seen: set[str] = set()
    for position, special in enumerate(specials):
        if not special:
            raise ValueError(f"special token {position} is the empty string")
        if special in seen:
            raise ValueError(f"special token {special!r} is given twice")
        seen.add(special)


def split_on_specials(text: str, specials: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Yield the pieces of `text` in order, each with whether it is a special token.

    Ordinary pieces are never empty; joined, the pieces are `text`.
    """
    if not specials:
        if text:
            yield text, False
        return
    start = 0
    for match in compile_specials(specials).finditer(text):
        if match.start() > start:
            yield text[start : match.start()], False
        yield match.group(), True
        start = match.end()
    if start < len(text):
        yield text[start:], False
