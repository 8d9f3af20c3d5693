"""Prove that every text of a grammar has one derivation only.

The argument is that of prefix codes. Suppose that at each choice no text of one branch is the
beginning of a text of another. Then whoever reads a text from left to right knows each choice at
the latest where its branch ends. So two derivations never give the same text, and no text of the
grammar is the beginning of another: where a text ends is certain, too.

`check` shows that the supposition holds, choice by choice. It expands two branches side by side
along everything that they can become, for as long as they agree letter for letter. A word that was
bound before the choice is the same for both branches, but may be any that its slot can hold.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TypeAlias

from trainer.stories.grammar import Bindings, Branch, Fork, Grammar, Pending, Step, Word, push
from trainer.stories.notation import Draw, Reference

_Slots: TypeAlias = frozenset[str]


class NotProvenError(ValueError):
    """The grammar may be ambiguous, or may fail while it writes."""


def check(grammar: Grammar) -> None:
    """Raise NotProvenError unless each text of `grammar` has one derivation and each slot is sound.

    A slot is sound if it is bound once, before it is referred to, and if all the words that it can
    hold have the forms in which it is shown.
    """
    draws: dict[str, list[Draw]] = {}
    shown: list[Reference | Draw] = []
    forks: list[Fork] = []
    _follow(grammar.reversed_steps, frozenset(), frozenset(), draws, shown, forks)
    proof = _Proof(grammar, draws)
    for use in shown:
        for word in proof.words(use.slot):
            if use.form not in word:
                raise NotProvenError(f"{word['']!r} has no form {use.form!r} for {{{use.slot}}}")
    for draw in {draw for same_slot in draws.values() for draw in same_slot}:
        proof.require_telling_words(draw)
    for fork in forks:
        for one, other in combinations(fork.branches, 2):
            proof.require_telling_branches(one, other)


def _follow(
    reversed_steps: tuple[Step, ...],
    certain: _Slots,
    possible: _Slots,
    draws: dict[str, list[Draw]],
    shown: list[Reference | Draw],
    forks: list[Fork],
) -> tuple[_Slots, _Slots]:
    """Collect what `reversed_steps` use; return the slots certainly, and possibly, bound after."""
    for step in reversed(reversed_steps):
        if isinstance(step, Reference):
            _require_bound({step.slot}, certain)
            shown.append(step)
        elif isinstance(step, Draw):
            _require_bound({*step.without, *([step.source] if step.key else [])}, certain)
            if step.slot in possible:
                raise NotProvenError(f"slot {{{step.slot}}} is bound twice")
            draws.setdefault(step.slot, []).append(step)
            shown.append(step)
            certain, possible = certain | {step.slot}, possible | {step.slot}
        elif isinstance(step, Fork):
            forks.append(step)
            ends = [
                _follow(branch.reversed_steps, certain, possible, draws, shown, forks)
                for branch in step.branches
            ]
            certain = frozenset.intersection(*(end[0] for end in ends))
            possible = frozenset.union(*(end[1] for end in ends))
    return certain, possible


def _require_bound(slots: set[str], certain: _Slots) -> None:
    for slot in slots - certain:
        raise NotProvenError(f"slot {{{slot}}} is used where it may not be bound")


@dataclass(frozen=True, slots=True)
class _Side:
    """A branch on its way: text not compared yet, steps to come, words that it bound itself."""

    text: str
    pending: Pending
    bound: Bindings


class _Proof:
    """Compares branches, given every draw of the grammar by its slot."""

    def __init__(self, grammar: Grammar, draws: dict[str, list[Draw]]) -> None:
        self._grammar = grammar
        self._draws = draws

    def words(self, slot: str) -> list[Word]:
        """List the words that `slot` can hold."""
        found: dict[tuple[tuple[str, str], ...], Word] = {}
        for draw in self._draws[slot]:
            for lexicon in self._lexicons(draw):
                found |= {tuple(word.items()): word for word in self._grammar.lexicons[lexicon]}
        return list(found.values())

    def require_telling_words(self, draw: Draw) -> None:
        """Raise unless there is always a word to draw, and the form shown tells which it was."""
        for lexicon in self._lexicons(draw):
            words = self._grammar.lexicons[lexicon]
            if len(words) <= len(draw.without):
                raise NotProvenError(f"{lexicon!r} has too few words for {{{draw.slot}}}")
            for one, other in combinations([word[draw.form] for word in words], 2):
                if one.startswith(other) or other.startswith(one):
                    raise NotProvenError(f"{one!r} and {other!r} are both in {lexicon!r}")

    def require_telling_branches(self, one: Branch, other: Branch) -> None:
        """Raise if a text of one branch is, or may be, the beginning of a text of the other."""
        left, right = (_Side("", push(branch.reversed_steps, None), {}) for branch in (one, other))
        agenda: list[tuple[_Side, _Side, Bindings, str]] = [(left, right, {}, "")]
        while agenda:
            left, right, before, agreed = agenda.pop()
            length = min(len(left.text), len(right.text))
            if left.text[:length] != right.text[:length]:
                continue
            agreed += left.text[:length]
            left = replace(left, text=left.text[length:])
            right = replace(right, text=right.text[length:])
            # Expand the side that has no text left; which one it is does not matter to the pair.
            short, long = (right, left) if left.text else (left, right)
            if short.pending is None:
                raise NotProvenError(f"two branches may both begin with {agreed!r}")
            for grown, now_before in self._grow(short, before):
                agenda.append((grown, long, now_before, agreed))

    def _grow(self, side: _Side, before: Bindings) -> Iterator[tuple[_Side, Bindings]]:
        """Take one step of `side` in every way; `before` holds words bound before the choice."""
        assert side.pending is not None
        step, rest = side.pending
        if isinstance(step, str):
            yield _Side(step, rest, side.bound), before
        elif isinstance(step, Fork):
            for branch in step.branches:
                yield _Side("", push(branch.reversed_steps, rest), side.bound), before
        elif unknown := self._first_unknown(step, {**before, **side.bound}):
            for word in self.words(unknown):
                if self._can_hold(unknown, word, before):
                    yield side, {**before, unknown: word}
        elif isinstance(step, Reference):
            word = {**before, **side.bound}[step.slot]
            yield _Side(word[step.form], rest, side.bound), before
        else:
            for word in self._grammar.candidates(step, {**before, **side.bound}):
                yield _Side(word[step.form], rest, {**side.bound, step.slot: word}), before

    def _first_unknown(self, step: Reference | Draw, known: Bindings) -> str | None:
        """Return a slot that `step` looks at and that is not among `known`."""
        if isinstance(step, Reference):
            looks_at: tuple[str, ...] = (step.slot,)
        else:
            looks_at = (*([step.source] if step.key else []), *step.without)
        return next((slot for slot in looks_at if slot not in known), None)

    def _can_hold(self, slot: str, word: Word, before: Bindings) -> bool:
        """Whether `slot` can hold `word` beside `before`, of which some must differ from it."""
        return not any(
            word[""] == held[""] and (self._apart(slot, other) or self._apart(other, slot))
            for other, held in before.items()
        )

    def _apart(self, slot: str, other: str) -> bool:
        return all(other in draw.without for draw in self._draws[slot])

    def _lexicons(self, draw: Draw) -> set[str]:
        """Name the lexicons that `draw` may draw from."""
        if not draw.key:
            return {draw.source}
        return {word[draw.key] for word in self.words(draw.source)}
