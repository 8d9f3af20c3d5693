"""Write the tokens of a text so that each can be told from the next, on one terminal or another.

Where there is colour, tokens have the colours of `_STYLES` in turn; elsewhere a bar stands between
them. Whitespace and whatever else shows nothing is made visible, and a line ends where its text
does. A token that holds part of a character shows the bytes of it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

# Four of the sixteen colours that every terminal tells apart, so that neighbours always differ.
_STYLES = (
    "black on bright_cyan",
    "black on bright_yellow",
    "black on bright_green",
    "black on bright_magenta",
)
_SPECIAL_STYLE = "bold white on red"
_ID_STYLE = "dim"
_SIGNS = {" ": "·", "\t": "→", "\n": "↵\n", "\r": "␍"}
_PLAIN_SIGNS = {" ": "_", "\t": "\\t", "\n": "\\n\n", "\r": "\\r"}


@dataclass(frozen=True)
class ViewedToken:
    """One token of a text: its id, its bytes, and whether it is a special one."""

    token_id: int
    token: bytes
    is_special: bool


def view_tokens(
    tokens: Iterable[ViewedToken], console: Console, *, with_ids: bool = False
) -> Iterator[Text]:
    """Yield what `console` is to print for each token, one behind the other, lines and all."""
    colour = console.is_terminal and not console.no_color and console.color_system is not None
    # A terminal without UTF-8 gets ASCII alone.
    plain = not console.encoding.lower().startswith("utf")
    for index, viewed in enumerate(tokens):
        shown = visible(viewed.token, ascii_only=plain)
        if viewed.is_special and not colour:
            shown = f"[{shown}]"
        body, line_break = shown.removesuffix("\n"), "\n" * shown.endswith("\n")
        text = Text("" if colour or not index else "|")
        text.append(body, _style(index, viewed) if colour else "")
        if with_ids:
            text.append(f":{viewed.token_id}", _ID_STYLE if colour else "")
        text.append(line_break)
        yield text


def visible(token: bytes, *, ascii_only: bool = False) -> str:
    r"""Return a token as text in which every byte shows.

    What is not UTF-8 is written as `\xe6`, and so are characters that do not print. A line break
    is a sign and then a line break, so that text keeps its lines.
    """
    signs = _PLAIN_SIGNS if ascii_only else _SIGNS
    shown = ""
    for character in token.decode("utf-8", "backslashreplace"):
        if character in signs:
            shown += signs[character]
        elif not character.isprintable() or (ascii_only and not character.isascii()):
            shown += character.encode("unicode_escape").decode("ascii")
        else:
            shown += character
    return shown


def _style(index: int, viewed: ViewedToken) -> str:
    return _SPECIAL_STYLE if viewed.is_special else _STYLES[index % len(_STYLES)]
