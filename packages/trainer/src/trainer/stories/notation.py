"""The notation that stories are written in, and its parser: text in, nodes out.

    plain words                 themselves
    {hero}  {hero.his}          a word bound earlier, in its plain form or another
    {toy=toys}  {toy.a=toys}    draw a word from the lexicon `toys`, bind it to `toy`, and show it
    {spot=*place.spots}         draw from the lexicon that `place` names in its form `spots`
    {friend=children-hero}      draw any word but that of `hero` (or of several: `-hero-rival`)
    {Hero.he}                   with a capital: the same form, its first letter capital
    [one|3: two]                a choice; `two` is three times as likely as `one`
    <moral>                     the rule of that name

A line break is a space, except beside `[`, `|` and `]`, where it is nothing; an empty line starts a
new paragraph. So a plot can be laid out like the story that it tells.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

_BREAKS = (
    (re.compile(r"\s*\n\s*(?=[|\]])"), ""),
    (re.compile(r"(?<=[\[|])\s*\n\s*"), ""),
    (re.compile(r" *\n *\n\s*"), "\0"),
    (re.compile(r"\s*\n\s*"), " "),
    (re.compile("\0"), "\n\n"),
)
_LEXEME = re.compile(r"\{[^{}]*\}|<[^<>]*>|[\[|\]]|[^{}<>\[|\]]+")
_SLOT = re.compile(
    r"(?P<slot>\w+)(?:\.(?P<form>\w+))?"
    r"(?:=(?P<source>\*?\w+)(?:\.(?P<key>\w+))?(?P<without>(?:-\w+)*))?"
)
_WEIGHT = re.compile(r"(\d+): ?")


@dataclass(frozen=True, slots=True)
class Reference:
    """Show `form` of the word bound to `slot`."""

    slot: str
    form: str


@dataclass(frozen=True, slots=True)
class Draw:
    """Draw a word, each with equal probability, bind it to `slot` and show its `form`.

    `source` is the name of a lexicon or, if `key` is not empty, the slot whose word names the
    lexicon in its form `key`. Words that are bound to the slots `without` are left out.
    """

    slot: str
    form: str
    source: str
    key: str
    without: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """Go on with the rule of that name."""

    rule: str


@dataclass(frozen=True, slots=True)
class Choice:
    """Go on with one of the branches, chosen in proportion to its whole-numbered weight."""

    branches: tuple["Nodes", ...]
    weights: tuple[int, ...]


Node: TypeAlias = str | Reference | Draw | Call | Choice
Nodes: TypeAlias = tuple[Node, ...]


def parse(template: str) -> Nodes:
    """Parse `template` into nodes; a ValueError quotes what cannot be read."""
    flat = template.strip()
    for pattern, replacement in _BREAKS:
        flat = pattern.sub(replacement, flat)
    lexemes = _LEXEME.findall(flat)
    if "".join(lexemes) != flat:
        raise ValueError(f"unbalanced brackets in the template {flat!r}")
    stream = iter(lexemes)
    nodes, end = _parse_nodes(stream)
    if end is not None:
        raise ValueError(f"{end!r} outside of a choice in the template {flat!r}")
    return nodes


def _parse_nodes(lexemes: Iterator[str]) -> tuple[Nodes, str | None]:
    """Read up to the end of this branch; also return the `|` or `]` that ended it."""
    nodes: list[Node] = []
    for lexeme in lexemes:
        if lexeme in "|]":
            return tuple(nodes), lexeme
        if lexeme == "[":
            nodes.append(_parse_choice(lexemes))
        elif lexeme.startswith("{"):
            nodes.append(_parse_slot(lexeme[1:-1]))
        elif lexeme.startswith("<"):
            nodes.append(Call(lexeme[1:-1]))
        else:
            nodes.append(lexeme)
    return tuple(nodes), None


def _parse_choice(lexemes: Iterator[str]) -> Choice:
    branches: list[Nodes] = []
    weights: list[int] = []
    end: str | None = "|"
    while end == "|":
        nodes, end = _parse_nodes(lexemes)
        weight = 1
        if nodes and isinstance(nodes[0], str) and (match := _WEIGHT.match(nodes[0])):
            weight = int(match[1])
            rest = nodes[0][match.end() :]
            nodes = (rest, *nodes[1:]) if rest else nodes[1:]
        if not nodes or not weight:
            raise ValueError("a branch of a choice must not be empty or have weight 0")
        branches.append(nodes)
        weights.append(weight)
    if end is None:
        raise ValueError("a choice is not closed by ']'")
    return Choice(tuple(branches), tuple(weights))


def _parse_slot(text: str) -> Reference | Draw:
    match = _SLOT.fullmatch(text)
    if match is None:
        raise ValueError(f"cannot read the slot {{{text}}}")
    slot = match["slot"].lower()
    form = match["form"] or ""
    if match["slot"][0].isupper():
        form = capital(form)
    source, key = match["source"], match["key"] or ""
    if source is None:
        return Reference(slot, form)
    if source.startswith("*") != bool(key):
        raise ValueError(f"a lexicon is written `=name` or `=*slot.form`, not {{{text}}}")
    return Draw(slot, form, source.removeprefix("*"), key, tuple(match["without"].split("-")[1:]))


def capital(form: str) -> str:
    """Name the form that is `form` with its first letter capital."""
    return f"^{form}"
