"""The encoder of a tokenizer: the reference for a few sentences, the kernels for more.

Loading the compiled kernels takes a tenth of a second, and compiling them, once per machine, some
seconds. So they are called for when a tokenizer has been given as much text as the reference
encodes in that time, and from then on they encode everything. A stream never calls for them: its
callers count on constant memory, and the caches of the kernels take many megabytes.
"""

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, get_args

from bpe.chunking import ChunkCutter
from bpe.engines import Engine, has_kernels
from bpe.kernels.cache_state import LIMIT
from bpe.kernels.pattern_numbers import pattern_number
from bpe.patterns import PATTERNS, compile_pattern
from bpe.reference_encoder import ReferenceEncoder
from bpe.streaming import (
    LoneSurrogateError,
    check_errors,
    gathered,
    split_stream,
    well_formed,
)
from bpe.text_file import TextFile
from bpe.vocabulary import Vocabulary

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bpe.kernels.encoding import KernelEncoder
    from bpe.token_file import TokenArray

# Characters that the reference encodes while the kernels are loaded, and while they are compiled.
LOAD_FROM = 1 << 19
COMPILE_FROM = 32 << 20


class TextEncoder:
    """Text to ids for one vocabulary, by the engine that is done first; both give the same ids.

    Raises ValueError for an unknown engine, and for "kernels" where they cannot be used.
    """

    def __init__(self, vocabulary: Vocabulary, engine: Engine) -> None:
        if engine not in get_args(Engine):
            names = ", ".join(map(repr, get_args(Engine)))
            raise ValueError(f"engine={engine!r} is not one of {names}")
        self.engine = engine
        self.reference = ReferenceEncoder(vocabulary)
        # None until they are called for.
        self.kernels: KernelEncoder | None = None
        self._vocabulary = vocabulary
        self._num_characters = 0
        # When to look again whether the kernels pay.
        self._look_at: float = LOAD_FROM
        if engine == "kernels":
            self.kernels = self._load_kernels()
        elif engine == "reference" or not (has_kernels() and is_supported(vocabulary)):
            self._look_at = math.inf

    def encode(self, text: str, specials: Sequence[str], errors: str) -> list[int]:
        """Return the ids of `text`, cut at `specials`."""
        return self._engine_for(len(text)).encode(text, specials, errors)

    def encode_array(
        self, text: str | memoryview, specials: Sequence[str], errors: str, workers: int | None
    ) -> "TokenArray":
        """Return the ids of `text`, which may be UTF-8, as an array."""
        return self._engine_for(len(text)).encode_array(text, specials, errors, workers)

    def encode_batch(
        self, texts: Iterable[str], specials: Sequence[str], errors: str, workers: int | None
    ) -> list[list[int]]:
        """Return the ids of each of `texts`."""
        texts = [*texts]
        for index, text in enumerate(texts):
            if not isinstance(text, str):
                raise TypeError(f"text {index} of the batch is a {type(text).__name__}, not a str")
        engine = self._engine_for(sum(map(len, texts)))
        try:
            return engine.encode_batch(texts, specials, errors, workers)
        except LoneSurrogateError:
            # The engines do not say which text it was.
            for index, text in enumerate(texts):
                try:
                    deque(well_formed((text,)), maxlen=0)
                except LoneSurrogateError as error:
                    raise LoneSurrogateError(f"text {index} of the batch: {error}") from None
            raise

    def encode_documents(
        self, texts: Sequence[str], specials: Sequence[str], workers: int | None
    ) -> Iterator[tuple["TokenArray", "Sequence[int] | NDArray[np.int64]"]]:
        """Yield the ids of some of the texts after the other, and where in them each text ends.

        The texts must be well-formed.
        """
        engine = self._engine_for(sum(map(len, texts)))
        return engine.encode_documents(texts, specials, workers)

    def batches(
        self, strings: Iterable[str], specials: Sequence[str], errors: str
    ) -> Iterator[Iterable[int]]:
        """Yield the ids of the joined strings in batches, each to be used up before the next."""
        check_errors(errors)
        if self.kernels is None:
            return self.reference.batches(strings, specials, errors)
        return self._batches(strings, specials, errors)

    def _batches(
        self, strings: Iterable[str], specials: Sequence[str], errors: str
    ) -> Iterator[Iterable[int]]:
        cutter = ChunkCutter(compile_pattern(self._vocabulary.pattern), ())
        waiting: list[str] = []
        length = wanted = 0
        for piece, is_special in split_stream(well_formed(gathered(strings), errors), specials):
            waiting.append(piece)
            length += len(piece)
            if length < wanted and not is_special:
                continue
            text = "".join(waiting)
            cut = length if is_special else cutter.last_cut(text)
            if cut:
                yield self.encode(text[:cut], specials if is_special else (), "strict")
            waiting = [text[cut:]]
            length -= cut
            # Looking again only when the text has doubled keeps the work linear in its length.
            wanted = 0 if cut else 2 * length
        yield self.encode("".join(waiting), (), "strict")

    def encode_file(
        self, text: TextFile, specials: Sequence[str], workers: int | None
    ) -> Iterator["Sequence[int] | TokenArray"]:
        """Yield the ids of a file in batches, each to be used up before the next."""
        engine = self._engine_for(text.size)
        return engine.encode_file(text, specials, workers)

    def _engine_for(self, num_characters: int) -> "ReferenceEncoder | KernelEncoder":
        if self.kernels is not None:
            return self.kernels
        self._num_characters += num_characters
        if self._num_characters < self._look_at:
            return self.reference
        return self._look()

    def _look(self) -> "ReferenceEncoder | KernelEncoder":
        """Load the kernels if they pay by now."""
        from bpe.kernels.library import is_compiled

        if self._num_characters < COMPILE_FROM and not is_compiled("tokenizer"):
            self._look_at = COMPILE_FROM
            return self.reference
        # Threads that come here together each load them: the last ones stay.
        self.kernels = self._load_kernels()
        return self.kernels

    def _load_kernels(self) -> "KernelEncoder":
        if not has_kernels():
            raise ValueError('engine="kernels" needs numba: pip install numba')
        if not is_supported(self._vocabulary):
            raise ValueError(
                f'engine="kernels" knows the patterns {", ".join(PATTERNS)} and ids below '
                f'{LIMIT:,}; take engine="reference"'
            )
        from bpe.kernels.encoding import KernelEncoder

        return KernelEncoder(self._vocabulary)


def is_supported(vocabulary: Vocabulary) -> bool:
    """Whether the kernels know the pattern, and have room for the ids and the ranks."""
    return (
        pattern_number(vocabulary.pattern) is not None
        and len(vocabulary.merges) < LIMIT
        and max(vocabulary.tokens) < LIMIT
    )
