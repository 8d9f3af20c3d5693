"""Cut text that holds no special tokens into pretokens.

Text that a pattern does not match is not lost: what lies between two matches is a pretoken too, so
the pretokens, joined, are always the text. (The named patterns leave no such gaps.)
"""

from collections.abc import Iterator

import regex


def split_pretokens(pattern: regex.Pattern[str], text: str) -> list[str]:
    """Cut `text` into the matches of `pattern` and the gaps between them, in order, none empty."""
    if not pattern.groups:
        pretokens: list[str] = pattern.findall(text)
        if sum(map(len, pretokens)) == len(text) and all(pretokens):
            return pretokens
    return list(iterate_pretokens(pattern, text))


def iterate_pretokens(pattern: regex.Pattern[str], text: str) -> Iterator[str]:
    """Yield what `split_pretokens` returns, one at a time."""
    end = 0
    for match in pattern.finditer(text):
        if match.start() > end:
            yield text[end : match.start()]
        if match.end() > match.start():
            yield match.group()
        end = match.end()
    if end < len(text):
        yield text[end:]
