"""Words that are no command, preset or setting, and those that were probably meant."""

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known name that `word` was probably meant to be, or None.

    A setting named without its section counts as near: `lr` for `optimizer.lr`.
    """
    names = list(known)
    last_parts = [name for name in names if name.rpartition(".")[2] == word]
    if len(last_parts) == 1:
        return last_parts[0]
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    return close[0] if close else None


def unknown_word(kind: str, word: str, known: Iterable[str], *, otherwise: str) -> str:
    """Say in one line that `word` is unknown, with the nearest known name or else `otherwise`."""
    suggestion = nearest(word, known)
    hint = f"did you mean {suggestion!r}?" if suggestion else otherwise
    return f"unknown {kind} {word!r}: {hint}"
