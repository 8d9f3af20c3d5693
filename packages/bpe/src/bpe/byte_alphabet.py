"""GPT-2's alphabet: every byte as one printable character, so that tokens can stand in text files.

A byte that is a printable Latin-1 character stands for itself; the other 68, space among them, take
the characters from U+0100 on in order.
"""

from functools import lru_cache


@lru_cache(maxsize=1)
def _letters() -> tuple[dict[int, str], dict[str, str]]:
    """Return byte to letter, as a table for str.translate, and letter to byte."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in printable]
    spell = {byte: chr(byte) for byte in printable}
    spell |= {byte: chr(0x100 + position) for position, byte in enumerate(others)}
    return spell, {letter: chr(byte) for byte, letter in spell.items()}


def spell_token(token: bytes) -> str:
    """Spell the bytes of a token in printable characters."""
    return token.decode("latin-1").translate(_letters()[0])


def parse_token(spelled: str) -> bytes:
    """Return the bytes of a spelled token. Raises ValueError for a character that spells none."""
    letters = _letters()[1]
    try:
        return "".join([letters[letter] for letter in spelled]).encode("latin-1")
    except KeyError as error:
        raise ValueError(f"{spelled!r:.80} has {error.args[0]!r}, which spells no byte") from None
