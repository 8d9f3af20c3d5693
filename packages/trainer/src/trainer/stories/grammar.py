"""A weighted grammar that writes texts and reads them back, with the probability of each.

Writing walks the rules from left to right. Every choice draws one number, and words that were bound
to a slot can be referred to from then on, which is how a red hat stays a red hat.
Reading (`derivations`) walks the same rules along a given text and tries every choice, so it finds
each derivation of the text there is. `proof.check` shows that a grammar has only one for any text;
then the probability of the derivation is the probability of the text.

All log-probabilities are natural logarithms (nats).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from trainer.stories.notation import Call, Choice, Draw, Node, Nodes, Reference, parse

Word: TypeAlias = Mapping[str, str]
"""The forms of a word; the plain one is under the empty string."""

Lexicons: TypeAlias = Mapping[str, Sequence[Word]]
Bindings: TypeAlias = Mapping[str, Word]


@dataclass(frozen=True, slots=True)
class Branch:
    """One way to go on, with the log-probability of going it."""

    log_probability: float
    reversed_steps: tuple["Step", ...]


@dataclass(frozen=True, slots=True)
class Fork:
    """A choice made ready for drawing: `table` holds each branch as often as its weight says."""

    branches: tuple[Branch, ...]
    table: tuple[Branch, ...]


Step: TypeAlias = str | Reference | Draw | Fork
Pending: TypeAlias = tuple[Step, "Pending"] | None


def push(reversed_steps: tuple[Step, ...], pending: Pending) -> Pending:
    """Put steps before those that are pending."""
    for step in reversed_steps:
        pending = (step, pending)
    return pending


class Grammar:
    """Rules in the notation of `notation` over lexicons of words; `start` is the rule of a text.

    A rule must not lead back to itself. Unknown rules and lexicons raise a ValueError here;
    `proof.check` finds the deeper mistakes.
    """

    def __init__(self, rules: Mapping[str, str], lexicons: Lexicons, start: str = "story") -> None:
        self.rules: dict[str, Nodes] = {name: parse(template) for name, template in rules.items()}
        self.lexicons: dict[str, tuple[Word, ...]] = {
            name: tuple(words) for name, words in lexicons.items()
        }
        self.start = start
        self.reversed_steps = tuple(reversed(self._flatten((Call(start),), ())))

    def write(self, random_words: Iterator[int]) -> tuple[str, float]:
        """Write one text, and return it with its log-probability.

        `random_words` are uniform 64-bit integers; one is used per choice. A branch of
        probability p is taken with a probability that differs from p by less than 2**-64.
        """
        bound: dict[str, Word] = {}
        parts: list[str] = []
        log_probability = 0.0
        pending: list[Step] = list(self.reversed_steps)
        while pending:
            step = pending.pop()
            if type(step) is str:
                parts.append(step)
            elif type(step) is Reference:
                parts.append(bound[step.slot][step.form])
            elif type(step) is Fork:
                branch = step.table[next(random_words) * len(step.table) >> 64]
                log_probability += branch.log_probability
                pending += branch.reversed_steps
            elif type(step) is Draw:
                words = self.candidates(step, bound)
                word = words[next(random_words) * len(words) >> 64]
                log_probability -= math.log(len(words))
                bound[step.slot] = word
                parts.append(word[step.form])
        return "".join(parts), log_probability

    def derivations(self, text: str) -> Iterator[float]:
        """Yield the log-probability of every derivation of `text`; a foreign text has none."""
        start = push(self.reversed_steps, None)
        agenda: list[tuple[Pending, int, Bindings, float]] = [(start, 0, {}, 0.0)]
        while agenda:
            pending, position, bound, log_probability = agenda.pop()
            if pending is None:
                if position == len(text):
                    yield log_probability
                continue
            step, rest = pending
            if isinstance(step, Fork):
                for branch in step.branches:
                    p = log_probability + branch.log_probability
                    agenda.append((push(branch.reversed_steps, rest), position, bound, p))
            elif isinstance(step, Draw):
                words = self.candidates(step, bound)
                p = log_probability - math.log(len(words))
                for word in words:
                    if text.startswith(shown := word[step.form], position):
                        now_bound = {**bound, step.slot: word}
                        agenda.append((rest, position + len(shown), now_bound, p))
            else:
                shown = step if isinstance(step, str) else bound[step.slot][step.form]
                if text.startswith(shown, position):
                    agenda.append((rest, position + len(shown), bound, log_probability))

    def candidates(self, draw: Draw, bound: Bindings) -> Sequence[Word]:
        """List the words that `draw` may bind when `bound` are bound."""
        name = bound[draw.source][draw.key] if draw.key else draw.source
        words = self.lexicons[name]
        if not draw.without:
            return words
        taken = [bound[slot][""] for slot in draw.without]
        return [word for word in words if word[""] not in taken]

    def _flatten(self, nodes: Nodes, above: tuple[str, ...]) -> tuple[Step, ...]:
        """Replace calls by the rules they name, and choices by forks."""
        steps: list[Step] = []
        for node in nodes:
            if isinstance(node, Call):
                if node.rule not in self.rules:
                    raise ValueError(f"rule <{node.rule}> is not defined")
                if node.rule in above:
                    raise ValueError(f"rule <{node.rule}> leads back to itself")
                steps += self._flatten(self.rules[node.rule], (*above, node.rule))
            elif isinstance(node, Choice):
                steps.append(self._fork(node, above))
            else:
                self._require_lexicon(node)
                steps.append(node)
        return tuple(steps)

    def _fork(self, choice: Choice, above: tuple[str, ...]) -> Fork:
        total = math.log(sum(choice.weights))
        branches = tuple(
            Branch(math.log(weight) - total, tuple(reversed(self._flatten(nodes, above))))
            for nodes, weight in zip(choice.branches, choice.weights, strict=True)
        )
        pairs = zip(branches, choice.weights, strict=True)
        return Fork(branches, tuple(branch for branch, weight in pairs for _ in range(weight)))

    def _require_lexicon(self, node: Node) -> None:
        if isinstance(node, Draw) and not node.key and node.source not in self.lexicons:
            raise ValueError(f"lexicon {node.source!r} of slot {{{node.slot}}} is not defined")
