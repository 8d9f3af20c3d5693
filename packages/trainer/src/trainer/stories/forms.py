"""Words and their forms: articles for things, pronouns for persons.

A word is a mapping from the name of a form to its text, with the plain form under the empty string.
"""

from trainer.stories.grammar import Word
from trainer.stories.notation import capital


def word(plain: str, **forms: str) -> Word:
    """Make a word, with an extra form for each that begins with a capital letter."""
    plain_and_others = {"": plain, **forms}
    capitals = {
        capital(form): text[:1].upper() + text[1:] for form, text in plain_and_others.items()
    }
    return plain_and_others | capitals


def plain_words(*texts: str) -> tuple[Word, ...]:
    """Make words that have the plain form only."""
    return tuple(word(text) for text in texts)


def nouns(*texts: str) -> tuple[Word, ...]:
    """Make words (nouns, or adjectives before them) with the form `a`: the article before it."""
    return tuple(word(text, a=with_article(text)) for text in texts)


def with_article(text: str) -> str:
    """Put "a" or "an" before a word, by its first sound."""
    return f"an {text}" if text[0] in "aeiou" and not text.startswith("uni") else f"a {text}"


def female(*names: str, friends: str = "") -> tuple[Word, ...]:
    """Make words for persons who are "she"; `friends` names the lexicon of their playmates."""
    return tuple(
        word(name, he="she", him="her", his="her", himself="herself", friends=friends)
        for name in names
    )


def male(*names: str, friends: str = "") -> tuple[Word, ...]:
    """Make words for persons who are "he"; `friends` names the lexicon of their playmates."""
    return tuple(
        word(name, he="he", him="him", his="his", himself="himself", friends=friends)
        for name in names
    )
