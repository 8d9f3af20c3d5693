"""The reference engine: the pattern runs in `regex`, merging in Python, over a cache of pretokens.

No warm-up, any pattern. The cache is all that ever changes, so threads may share an encoder.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from bpe.encoding import MergeTable
from bpe.patterns import PATTERNS, compile_pattern
from bpe.pretoken_cache import PretokenCache
from bpe.pretokenize import split_pretokens
from bpe.specials import compile_specials, split_on_specials
from bpe.streaming import WINDOW, check_errors, cut_stream, gathered, split_stream, well_formed
from bpe.text_file import TextFile, TextInMemory
from bpe.vocabulary import Vocabulary

if TYPE_CHECKING:
    from bpe.token_file import TokenArray


class ReferenceEncoder:
    """Text to ids for one vocabulary."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        ids = vocabulary.ordinary_ids()
        table = MergeTable(ids, vocabulary.merges, ids if vocabulary.ignore_merges else None)
        self._cache = PretokenCache(table.encode)
        self._pattern = pattern = compile_pattern(vocabulary.pattern)
        # The named patterns match all of any text, and leave nothing between two matches.
        named = vocabulary.pattern in PATTERNS
        self._cut = pattern.findall if named else partial(split_pretokens, pattern)
        self._special_ids = vocabulary.special_tokens
        self._num_ids = vocabulary.size

    def encode(self, text: str, specials: Sequence[str], errors: str) -> list[int]:
        """Return the ids of `text`, cut at `specials`."""
        if len(text) > WINDOW:
            # Fewer pretokens at a time: less memory, and they stay in the processor's cache.
            return list(chain.from_iterable(self.batches((text,), specials, errors)))
        if not text.isascii() or errors != "strict":
            text = "".join(well_formed((text,), errors))
        known = self._cache.__getitem__
        if not specials or not compile_specials(specials).search(text):
            return list(chain.from_iterable(map(known, self._cut(text))))
        ids: list[int] = []
        for piece, is_special in split_on_specials(text, specials):
            if is_special:
                ids.append(self._special_ids[piece])
            else:
                ids.extend(chain.from_iterable(map(known, self._cut(piece))))
        return ids

    def encode_array(
        self,
        text: str | memoryview,
        specials: Sequence[str],
        errors: str,
        workers: int | None = None,
    ) -> "TokenArray":
        """Return the ids of `text`, which may be UTF-8, as an array; there is one worker only."""
        # numpy takes longer to import than the rest of the package: it waits for its first use.
        import numpy as np

        ids = array("H" if self._num_ids <= 1 << 16 else "I")
        pieces = (text,) if isinstance(text, str) else TextInMemory(text, errors=errors)
        for batch in self.batches(pieces, specials, errors):
            ids.extend(batch)
        return np.frombuffer(ids, dtype=f"<u{ids.itemsize}")

    def encode_batch(
        self, texts: Iterable[str], specials: Sequence[str], errors: str, workers: int | None = None
    ) -> list[list[int]]:
        """Return the ids of each text; there is one worker only."""
        check_errors(errors)
        return [self.encode(text, specials, errors) for text in texts]

    def encode_documents(
        self, texts: Iterable[str], specials: Sequence[str], workers: int | None = None
    ) -> Iterator[tuple["TokenArray", Sequence[int]]]:
        """Yield the ids of each of the texts, and where in them it ends."""
        for text in texts:
            ids = self.encode_array(text, specials, "strict")
            yield ids, [len(ids)]

    def encode_file(
        self, text: TextFile, specials: Sequence[str], workers: int | None = None
    ) -> Iterator[list[int]]:
        """Yield the ids of a file in batches."""
        return map(list, self.batches(text, specials, text.errors))

    def batches(
        self, strings: Iterable[str], specials: Sequence[str], errors: str
    ) -> Iterator[Iterable[int]]:
        """Yield the ids of the joined strings in batches, each to be used up before the next."""
        pieces = split_stream(well_formed(gathered(strings), errors), specials)
        for pretokens, special in cut_stream(pieces, self._pattern):
            yield chain.from_iterable(map(self._cache.__getitem__, pretokens))
            if special is not None:
                yield (self._special_ids[special],)
