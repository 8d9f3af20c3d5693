"""The kernels' engine: text to ids by compiled code, in threads that need no interpreter lock.

Text goes in chunks that are cut where no pretoken is cut in two, each to a thread with a cache of
its own; the ids come back in the order of the text. So they do not depend on how it was cut.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bpe.chunking import ChunkCutter, cut_chunks
from bpe.kernels.byte_chunks import (
    PADDING,
    ByteChunks,
    NotUtf8Error,
)
from bpe.kernels.chunk_encoder import SMALL, ChunkEncoder
from bpe.kernels.merge_tables import MergeTables
from bpe.kernels.special_trie import build_trie
from bpe.patterns import compile_pattern
from bpe.processes import available_cpus
from bpe.streaming import check_errors, well_formed
from bpe.text_file import TextFile, TextInMemory, raise_for_invalid
from bpe.token_file import TokenArray
from bpe.vocabulary import Vocabulary

# So much of the text and its ids stay in the processor's cache.
CHUNK_BYTES = 1 << 19

_Found = TypeVar("_Found")
# Puts the next chunk into the buffer, or into a larger one; its length is 0 at the end.
_Read = Callable[[NDArray[np.uint8]], tuple[NDArray[np.uint8], int]]


class KernelEncoder:
    """Text to ids for one vocabulary with a named pattern; threads may share it."""

    def __init__(self, vocabulary: Vocabulary, *, chunk_bytes: int = CHUNK_BYTES) -> None:
        self._chunk_bytes = chunk_bytes
        self._longest_short = min(SMALL, chunk_bytes)
        self._vocabulary = vocabulary
        self._tables = MergeTables(vocabulary)
        self._seed = ChunkEncoder(self._tables)
        # Taking from a list and putting back are atomic.
        self._idle: list[ChunkEncoder] = []
        # The address of each trie beside it: asking an array for its address takes a microsecond.
        self._tries: dict[tuple[str, ...], tuple[int, NDArray[np.int64]]] = {}

    def encode(self, text: str, specials: Sequence[str], errors: str) -> list[int]:
        """Return the ids of `text`, cut at `specials`."""
        if len(text) > self._longest_short:
            return self._tables.listed(self.encode_array(text, specials, errors))
        data = _utf8(text, errors)
        if len(data) > self._longest_short:
            return self._tables.listed(self.encode_array(text, specials, errors))
        encoder = self._take()
        ids: list[int] = encoder.encode_small(data, self._trie(specials)).tolist()
        self._idle.append(encoder)
        return ids

    def encode_array(
        self,
        text: str | memoryview,
        specials: Sequence[str],
        errors: str,
        workers: int | None = None,
    ) -> TokenArray:
        """Return the ids of `text`, which may be UTF-8, as an array."""
        check_errors(errors)
        if len(text) <= self._longest_short:
            decoded = text if isinstance(text, str) else "".join(TextInMemory(text, errors=errors))
            data = _utf8(decoded, errors)
            if len(data) <= self._longest_short:
                encoder = self._take()
                ids = encoder.encode_small(data, self._trie(specials)).copy()
                self._idle.append(encoder)
                return ids
        if not isinstance(text, str):
            return self._gathered(TextInMemory(text, errors=errors), specials, workers)
        try:
            return self._gathered(TextInMemory(text), specials, workers)
        except UnicodeEncodeError:
            whole = "".join(well_formed((text,), errors))
            return self._gathered(TextInMemory(whole), specials, workers)

    def _gathered(
        self, text: TextInMemory, specials: Sequence[str], workers: int | None
    ) -> TokenArray:
        """Return the ids of a text in one array, which grows with them."""
        ids = np.empty(text.size // 3, self._tables.dtype)
        used = 0
        for batch in self.encode_file(text, specials, workers):
            if used + len(batch) > len(ids):
                ids.resize(max(used + len(batch), len(ids) * 3 // 2), refcheck=False)
            ids[used : used + len(batch)] = batch
            used += len(batch)
        ids.resize(used, refcheck=False)
        return ids

    def encode_batch(
        self, texts: Sequence[str], specials: Sequence[str], errors: str, workers: int | None = None
    ) -> list[list[int]]:
        """Return the ids of each text."""
        check_errors(errors)
        trie = self._trie(specials)

        def encode(group: Sequence[str]) -> list[list[int]]:
            ids, ends = self._encode_documents(group, trie, errors)
            listed = self._tables.listed(ids)
            return [listed[first:last] for first, last in pairwise([0, *ends.tolist()])]

        return [*chain.from_iterable(self._map_groups(encode, texts, workers))]

    def encode_documents(
        self, texts: Sequence[str], specials: Sequence[str], workers: int | None = None
    ) -> Iterator[tuple[TokenArray, NDArray[np.int64]]]:
        """Yield the ids of some of the texts after the other, and where in them each text ends."""
        trie = self._trie(specials)
        return self._map_groups(
            lambda group: self._encode_documents(group, trie, "strict"), texts, workers
        )

    def _encode_documents(
        self, group: Sequence[str], trie: int, errors: str
    ) -> tuple[TokenArray, NDArray[np.int64]]:
        try:
            documents = [text.encode() for text in group]
        except UnicodeEncodeError:
            documents = ["".join(well_formed((text,), errors)).encode() for text in group]
        encoder = self._take()
        found = encoder.encode_documents(documents, trie)
        self._idle.append(encoder)
        return found

    def _map_groups(
        self, function: Callable[[Sequence[str]], _Found], texts: Sequence[str], workers: int | None
    ) -> Iterator[_Found]:
        """Yield what `function` returns for the texts, some at a time, in order."""
        groups = [*_groups(texts, self._chunk_bytes // 4)]
        workers = workers or min(available_cpus(), len(groups) // 8)
        if workers <= 1 or len(groups) <= 1:
            yield from map(function, groups)
            return
        with ThreadPoolExecutor(workers) as executor:
            yield from executor.map(function, groups)

    def encode_file(
        self, text: TextFile, specials: Sequence[str], workers: int | None = None
    ) -> Iterator[TokenArray]:
        """Yield the ids of a file in batches, each of which is good until the next.

        Raises ValueError for a byte that is not UTF-8, with its offset and line.
        """
        size = text.size
        workers = workers or max(1, min(available_cpus(), size // (2 * self._chunk_bytes)))
        if text.errors == "replace" or text.is_pipe:
            # Where text is decoded, malformed bytes are replaced and counted. Those of a pipe could
            # not be looked for afterwards.
            yield from self._encode_texts(text, specials, workers)
            return
        chunks = ByteChunks(iter([text.open()]), self._cutter(specials), self._chunk_bytes)
        try:
            for batch in self._encode_chunks(chunks, specials, workers):
                yield batch
                text.num_bytes = chunks.num_bytes
                text.advance(chunks.num_read, size)
        except NotUtf8Error:
            raise_for_invalid([text])
        finally:
            chunks.close()
        text.num_bytes = chunks.num_bytes
        text.advance(chunks.num_read, size)

    def _encode_chunks(
        self, chunks: ByteChunks, specials: Sequence[str], workers: int
    ) -> Iterator[TokenArray]:
        def read(buffer: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int]:
            return chunks.read(buffer)[:2]

        return self._in_order(read, chunks.new_buffer, specials, workers)

    def _encode_texts(
        self, pieces: Iterable[str], specials: Sequence[str], workers: int
    ) -> Iterator[TokenArray]:
        texts = cut_chunks(pieces, self._cutter(specials))

        def read(buffer: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int]:
            data = next(texts, "").encode()
            if len(data) + PADDING > len(buffer):
                buffer = np.empty(len(data) + PADDING, np.uint8)
            buffer.data[: len(data)] = data
            return buffer, len(data)

        def new_buffer() -> NDArray[np.uint8]:
            return np.empty(self._chunk_bytes + PADDING, np.uint8)

        return self._in_order(read, new_buffer, specials, workers)

    def _in_order(
        self,
        read: _Read,
        new_buffer: Callable[[], NDArray[np.uint8]],
        specials: Sequence[str],
        workers: int,
    ) -> Iterator[TokenArray]:
        """Encode chunks in threads; yield their ids in order, each array good until the next.

        This thread reads, and its caller writes, while the others encode.
        """
        trie = self._trie(specials)
        desks = [_Desk(new_buffer()) for _ in range(1 if workers == 1 else 2 * workers)]

        def encode(desk: _Desk) -> TokenArray:
            encoder = self._take()
            if len(desk.ids) < desk.length + PADDING:
                desk.ids = encoder.new_output(len(desk.text))
            ids = encoder.encode(desk.text, desk.length, trie, desk.ids)
            self._idle.append(encoder)
            return ids

        if workers == 1:
            [desk] = desks
            while desk.fill(read):
                yield encode(desk)
            return
        waiting: deque[tuple[_Desk, Future[TokenArray]]] = deque()
        with ThreadPoolExecutor(workers) as executor:
            while True:
                while desks and desks[-1].fill(read):
                    desk = desks.pop()
                    waiting.append((desk, executor.submit(encode, desk)))
                if not waiting:
                    return
                desk, future = waiting.popleft()
                yield future.result()
                desks.append(desk)

    def _take(self) -> ChunkEncoder:
        try:
            return self._idle.pop()
        except IndexError:
            return ChunkEncoder(self._tables, self._seed)

    def _trie(self, specials: Sequence[str]) -> int:
        """Return the address of the trie of `specials`, 0 if there are none."""
        if not specials:
            return 0
        key = tuple(specials)
        known = self._tries.get(key)
        if known is None:
            ids = self._vocabulary.special_tokens
            trie = build_trie({special: ids[special] for special in key})
            # Kept for good, since a thread may be using it; a caller has few selections.
            known = self._tries[key] = trie.ctypes.data, trie
        return known[0]

    def _cutter(self, specials: Sequence[str]) -> ChunkCutter:
        return ChunkCutter(compile_pattern(self._vocabulary.pattern), specials)


class _Desk:
    """Where one chunk and its ids lie."""

    def __init__(self, text: NDArray[np.uint8]) -> None:
        self.text = text
        self.length = 0
        self.ids: TokenArray = np.empty(0, np.uint16)

    def fill(self, read: _Read) -> bool:
        """Read the next chunk; False if there is none."""
        self.text, self.length = read(self.text)
        return self.length > 0


def _utf8(text: str, errors: str) -> bytes:
    check_errors(errors)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return "".join(well_formed((text,), errors)).encode()


def _groups(texts: Sequence[str], length: int) -> Iterator[Sequence[str]]:
    """Cut `texts` into parts, each of which ends as soon as it has so many characters."""
    start = num_characters = 0
    for end, text in enumerate(texts, start=1):
        num_characters += len(text)
        if num_characters >= length:
            yield texts[start:end]
            start, num_characters = end, 0
    if start < len(texts):
        yield texts[start:]
