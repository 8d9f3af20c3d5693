"""The stories read right, and their probabilities are the true ones."""

import math
import os
import random
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.stories import Story, log_probability, story, write_corpus
from trainer.stories.forms import plain_words, word
from trainer.stories.grammar import Grammar, Lexicons, Word
from trainer.stories.notation import Call, Choice, Draw, Nodes, Reference, parse
from trainer.stories.plots import GRAMMAR
from trainer.stories.proof import NotProvenError, check

SEPARATOR = "<|endoftext|>"
TEN_MEGABYTES = 10_000_000
PETS = {
    "children": (word("Bo", pets="dogs"), word("Al", pets="cats")),
    "dogs": plain_words("Rex", "Fido", "Ace"),
    "cats": plain_words("Tiger", "Mog"),
}
PET_STORY = "{hero=children} [2: has {pet=*hero.pets}|likes {friend=children-hero}]. Hi, {hero}!"
PET_PROBABILITIES = {
    "Bo has Rex. Hi, Bo!": 1 / 9,
    "Bo has Fido. Hi, Bo!": 1 / 9,
    "Bo has Ace. Hi, Bo!": 1 / 9,
    "Bo likes Al. Hi, Bo!": 1 / 6,
    "Al has Tiger. Hi, Al!": 1 / 6,
    "Al has Mog. Hi, Al!": 1 / 6,
    "Al likes Bo. Hi, Al!": 1 / 6,
}


def grammar(template: str, lexicons: Lexicons | None = None, **rules: str) -> Grammar:
    return Grammar({"story": template, **rules}, lexicons or {})


def stories(number: int, seed: int = 0) -> list[Story]:
    return [story(seed, index) for index in range(number)]


def enumerate_derivations(
    nodes: Nodes, lexicons: Lexicons, bound: Mapping[str, Word]
) -> Iterator[tuple[str, float, Mapping[str, Word]]]:
    """Yield every derivation by brute force: its text, its probability, the words it bound."""
    if not nodes:
        yield "", 1.0, bound
        return
    head, rest = nodes[0], nodes[1:]
    heads: list[tuple[str, float, Mapping[str, Word]]] = []
    if isinstance(head, str):
        heads.append((head, 1.0, bound))
    elif isinstance(head, Reference):
        heads.append((bound[head.slot][head.form], 1.0, bound))
    elif isinstance(head, Draw):
        words = lexicons[head.source]
        heads += [(w[""], 1 / len(words), {**bound, head.slot: w}) for w in words]
    else:
        assert isinstance(head, Choice)
        for branch, weight in zip(head.branches, head.weights, strict=True):
            for text, p, now_bound in enumerate_derivations(branch, lexicons, bound):
                heads.append((text, p * weight / sum(head.weights), now_bound))
    for text, p, now_bound in heads:
        for more, q, end in enumerate_derivations(rest, lexicons, now_bound):
            yield text + more, p * q, end


# Templates over two letters: small enough to enumerate, and ambiguous about as often as not.
LETTERS = {"letters": plain_words("a", "b"), "pairs": plain_words("ab", "b")}
TEMPLATES = st.recursive(
    st.sampled_from(["a", "b", "ab", "{x=letters}", "{y=pairs}", "{x}"]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda two: f"[{two[0]}|3: {two[1]}]"),
    ),
    max_leaves=7,
)


def test_small_grammar_has_the_probabilities_computed_by_hand() -> None:
    pets = grammar(PET_STORY, PETS)
    found = {text: [math.exp(p) for p in pets.derivations(text)] for text in PET_PROBABILITIES}
    assert found == {text: [pytest.approx(p)] for text, p in PET_PROBABILITIES.items()}


def test_texts_come_as_often_as_their_probabilities_say() -> None:
    pets = grammar(PET_STORY, PETS)
    generator = random.Random(0)
    words = (generator.getrandbits(64) for _ in count())
    samples = 7000
    counts = Counter(pets.write(words)[0] for _ in range(samples))
    assert counts.keys() == PET_PROBABILITIES.keys()
    for text, p in PET_PROBABILITIES.items():
        assert abs(counts[text] - samples * p) < 6 * math.sqrt(samples * p * (1 - p))


def test_pet_story_is_proven() -> None:
    check(grammar(PET_STORY, PETS))


@given(TEMPLATES)
def test_what_is_proven_has_one_derivation_per_text_and_no_text_begins_another(
    template: str,
) -> None:
    small = grammar(template, LETTERS)
    try:
        check(small)
    except NotProvenError:
        return
    derivations = list(enumerate_derivations(parse(template), LETTERS, {}))
    texts = sorted(text for text, _, _ in derivations)
    assert all(not later.startswith(text) for text, later in pairwise(texts))
    assert sum(p for _, p, _ in derivations) == pytest.approx(1)
    for text, p, _ in derivations:
        assert [math.exp(q) for q in small.derivations(text)] == [pytest.approx(p)]


@given(TEMPLATES)
def test_reading_sums_over_every_derivation(template: str) -> None:
    small = grammar(template, LETTERS)
    total: dict[str, list[float]] = defaultdict(list)
    try:
        for text, p, _ in enumerate_derivations(parse(template), LETTERS, {}):
            total[text].append(p)
    except KeyError:
        return
    for text, ps in total.items():
        assert sorted(map(math.exp, small.derivations(text))) == pytest.approx(sorted(ps))


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        ("[sun|sunny].", "both begin with 'sun'"),
        ("[a[b|c]|a[c|d]]", "both begin with 'ac'"),
        ("{x=letters}[{x}|a]", "both begin with 'a'"),
        ("{x=letters}{y=letters}[{x}!|{y}!]", "both begin with"),
        ("{y=nested}", "'ball' and 'balloon' are both in 'nested'"),
        ("{x}", "{x} is used where it may not be bound"),
        ("[a{x=letters}|b]{x}", "{x} is used where it may not be bound"),
        ("{x=letters}{x=letters}", "{x} is bound twice"),
        ("{x=letters}{x.plural}", "'a' has no form 'plural'"),
        ("{x=letters}{y=letters-x}{z=letters-x-y}", "'letters' has too few words for {z}"),
        ("[{x=letters}|!{x=homonyms}]{x.plural}", "'a' has no form 'plural'"),
    ],
)
def test_unsound_grammar_is_not_proven(template: str, complaint: str) -> None:
    lexicons = {
        **LETTERS,
        "nested": plain_words("ball", "balloon"),
        "homonyms": (word("a", plural="as"), word("b", plural="bs")),
    }
    with pytest.raises(NotProvenError, match=re.escape(complaint)):
        check(grammar(template, lexicons))


def test_words_that_must_differ_are_told_apart() -> None:
    check(grammar("{x=letters}{y=letters-x}[{x}!|{y}!]", LETTERS))


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        ("[a|b", "not closed"),
        ("a]", "outside of a choice"),
        ("[a|]", "must not be empty"),
        ("[0: a|b]", "weight 0"),
        ("{a b}", "cannot read the slot {a b}"),
        ("{x=*y}", "a lexicon is written"),
        ("{x=nowhere}", "lexicon 'nowhere'"),
        ("<nowhere>", "rule <nowhere> is not defined"),
        ("a<story>", "rule <story> leads back to itself"),
        ("{", "unbalanced brackets"),
    ],
)
def test_mistake_in_the_notation_is_named(template: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)):
        grammar(template, LETTERS)


def test_line_breaks_are_spaces_except_beside_brackets() -> None:
    assert parse("\none\n  two [a\n|b\n]\n\n three <four>\n") == (
        "one two ",
        Choice((("a",), ("b",)), (1, 1)),
        "\n\nthree ",
        Call("four"),
    )


def test_every_story_has_exactly_one_derivation() -> None:
    check(GRAMMAR)


@given(st.integers(), st.integers(min_value=0))
def test_reading_a_story_gives_the_probability_it_was_written_with(seed: int, index: int) -> None:
    told = story(seed, index)
    assert list(GRAMMAR.derivations(told.text)) == [told.log_probability]
    assert log_probability(told.text) == told.log_probability


@given(st.integers(min_value=0, max_value=10**6), st.data())
def test_beginning_of_a_story_is_no_story(index: int, data: st.DataObject) -> None:
    text = story(0, index).text
    with pytest.raises(ValueError, match="not a story of the grammar"):
        log_probability(text[: data.draw(st.integers(0, len(text) - 1))])


def test_story_does_not_depend_on_the_hash_seed() -> None:
    code = "from trainer.stories import story; print(story(5, 7).text)"
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert told == {story(5, 7).text + "\n"}


def test_negative_index_is_refused() -> None:
    with pytest.raises(ValueError, match="story index -1 is negative"):
        story(0, -1)


def test_ten_megabytes_hold_no_story_twice_and_none_of_another_index_range() -> None:
    seen: set[str] = set()
    size = number = 0
    while size < TEN_MEGABYTES:
        text = story(0, number).text
        size += len(text)
        number += 1
        seen.add(text)
    assert len(seen) == number
    assert not any(story(0, 2**32 + index).text in seen for index in range(1009))


def test_stories_are_written_correctly() -> None:
    for text in (told.text for told in stories(997)):
        assert 400 < len(text) < 1000, text
        assert re.fullmatch(r"[A-Z][A-Za-z ,.!?:'\"\n]+[.!?]\"?", text), text
        assert not re.search(r"\b[Aa] (?!uni)[aeiou]|\b[Aa]n (?!(?!uni)[aeiou])", text), text
        assert not re.search(r"\b(\w+) \1\b|  | [,.!?:\n]|\n\n\n|[,.!?:][A-Za-z]", text), text
        assert not re.search(r"[.!?]\s+\"?[a-z]", re.sub(r'[.!?]" \w+', "", text)), text
        for paragraph in text.split("\n\n"):
            assert re.fullmatch(r'([^"]*(^|(?<= ))"[^" ]([^"]*[^" ])?"(?= |$))*[^"]*', paragraph), (
                text
            )


def test_what_the_wind_took_is_made_anew() -> None:
    given = r"had an? (\w+) hat that (\w+) (\w+) had .* [A-Z]?\2 \3 .* made \w+ a new \1 hat\."
    texts = [told.text for told in stories(499) if "windy" in told.text and " hat!" in told.text]
    assert texts
    for text in texts:
        assert re.search(given, text.replace("\n", " "), re.IGNORECASE), text


def test_as_many_birds_fly_out_as_eggs_were_in_the_hat() -> None:
    hat = r"But a little (\w+) was .* (\w+) tiny eggs.*, \2 young \1"
    texts = [told.text for told in stories(499) if "tiny eggs" in told.text]
    assert texts
    assert all(re.search(hat, text, re.DOTALL) for text in texts)


def test_child_is_she_if_a_girl_and_he_if_a_boy() -> None:
    pairs = [re.search(r" (girl|boy) named \w+\. (She|He) ", told.text) for told in stories(499)]
    assert {pair.groups() for pair in pairs if pair} == {("girl", "She"), ("boy", "He")}


def test_corpus_is_its_stories_each_with_a_separator(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus.txt", seed=3, num_stories=7, first=11)
    told = [story(3, index) for index in range(11, 18)]
    written = (tmp_path / "corpus.txt").read_bytes()
    assert written == "".join(one.text + SEPARATOR for one in told).encode()
    assert corpus.num_bytes == len(written)
    assert (corpus.seed, corpus.first, corpus.num_stories) == (3, 11, 7)
    assert corpus.log_probability == pytest.approx(sum(one.log_probability for one in told))


def test_corpus_ends_with_the_story_that_makes_it_large_enough(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus.txt", seed=0, num_bytes=10007, separator="\n")
    last = story(0, corpus.num_stories - 1)
    assert corpus.num_bytes - len(last.text) - 1 < 10007 <= corpus.num_bytes


def test_floor_per_token_is_the_total_over_the_tokens(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus.txt", seed=0, num_stories=5)
    assert corpus.nats_per_token(1001) == -corpus.log_probability / 1001
    assert corpus.nats_per_byte == corpus.nats_per_token(corpus.num_bytes)


def test_failed_corpus_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "corpus.txt"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_corpus(path, seed=0, num_stories=3, separator="\ud800")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("corpus.txt", "old")]


@pytest.mark.parametrize(
    ("sizes", "complaint"),
    [
        ({}, "either num_bytes or num_stories"),
        ({"num_bytes": 5, "num_stories": 5}, "either num_bytes or num_stories"),
        ({"num_bytes": 0}, "num_bytes=0 is below 1"),
        ({"num_stories": -1}, "num_stories=-1 is below 1"),
        ({"num_stories": 1, "first": -1}, "first=-1 is negative"),
    ],
)
def test_impossible_size_is_refused_before_any_file(
    tmp_path: Path, sizes: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        write_corpus(tmp_path / "corpus.txt", seed=0, **sizes)
    assert not list(tmp_path.iterdir())
