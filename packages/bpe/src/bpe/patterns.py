"""The pretoken patterns: four that are known by name, or any regular expression of the user's.

A pattern cuts text into pretokens; no merge ever joins bytes of two of them. The named ones are
those of GPT-2, of tiktoken's `cl100k_base` and `o200k_base` and of Llama 3, so that vocabularies
can be moved. `llama3` is `cl100k` without `\\s++$`: they differ in whitespace that holds a line
break and ends the text, which is one pretoken in `cl100k`. The syntax is that of the `regex`
module.
"""

import difflib
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

import regex

_O200K_PREFIX = r"[^\r\n\p{L}\p{N}]?"
_O200K_UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_O200K_LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_O200K_CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"

PATTERNS: Mapping[str, str] = MappingProxyType(
    {
        "gpt2": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
        "cl100k": "|".join(
            [
                r"'(?i:[sdmt]|ll|ve|re)",
                r"[^\r\n\p{L}\p{N}]?\p{L}+",
                r"\p{N}{1,3}",
                r" ?[^\s\p{L}\p{N}]+[\r\n]*",
                # Possessive, since in the tokenizers library `$` matches before each line break.
                r"\s++$",
                r"\s*[\r\n]+",
                r"\s+(?!\S)",
                r"\s+",
            ]
        ),
        "llama3": "|".join(
            [
                r"(?i:'s|'t|'re|'ve|'m|'ll|'d)",
                r"[^\r\n\p{L}\p{N}]?\p{L}+",
                r"\p{N}{1,3}",
                r" ?[^\s\p{L}\p{N}]+[\r\n]*",
                r"\s*[\r\n]+",
                r"\s+(?!\S)",
                r"\s+",
            ]
        ),
        "o200k": "|".join(
            [
                f"{_O200K_PREFIX}{_O200K_UPPER}*{_O200K_LOWER}+{_O200K_CONTRACTION}",
                f"{_O200K_PREFIX}{_O200K_UPPER}+{_O200K_LOWER}*{_O200K_CONTRACTION}",
                r"\p{N}{1,3}",
                r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
                r"\s*[\r\n]+",
                r"\s+(?!\S)",
                r"\s+",
            ]
        ),
    }
)

# Other spellings of the named patterns in published files; each matches what the name matches.
_SPELLINGS: Mapping[str, str] = MappingProxyType(
    {
        r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+": "gpt2",
        r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s": "gpt2",
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
        r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s": "cl100k",
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+": "llama3",
        **{expression: name for name, expression in PATTERNS.items()},
    }
)


def named_pattern(expression: str) -> str:
    """Return the name of the pattern that `expression` spells, or `expression` if it has none."""
    return _SPELLINGS.get(expression, expression)


def compile_pattern(name_or_regex: str) -> regex.Pattern[str]:
    """Compile the pattern of that name, or the regular expression itself.

    Raises ValueError for a regular expression that does not compile, and for a plain word that is
    no pattern's name: as an expression it would match only itself, so it is taken for a typo.
    """
    return _compile(PATTERNS.get(name_or_regex, name_or_regex))


@lru_cache(maxsize=64)
def _compile(expression: str) -> regex.Pattern[str]:
    if not expression:
        raise ValueError("pattern is empty; give a regular expression or one of " + _names())
    if expression.isascii() and expression.replace("-", "").isidentifier():
        close = difflib.get_close_matches(expression.lower(), PATTERNS, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]!r}?" if close else f"the named ones are {_names()}"
        raise ValueError(f"unknown pattern {expression!r}; {hint}")
    try:
        return regex.compile(expression)
    except regex.error as error:
        raise ValueError(f"pattern {expression!r} is not a valid regex: {error}") from None


def _names() -> str:
    return ", ".join(map(repr, PATTERNS))
