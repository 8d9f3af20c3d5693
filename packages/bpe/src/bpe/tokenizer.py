"""The tokenizer: text to ids and back, for a vocabulary that was trained or read from a file.

A tokenizer never changes, but for a cache; it may be shared by threads, forked, and pickled.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain
from os import PathLike
from typing import TYPE_CHECKING, Self

from bpe.decoding import decode_pieces, look_up_tokens
from bpe.directory_format import load_directory, save_directory
from bpe.engines import Engine
from bpe.file_encoding import EncodedFile, FileEngine, encode_file
from bpe.gpt2_format import read_gpt2_files
from bpe.huggingface_format import read_huggingface_file, write_huggingface_file
from bpe.text_encoder import TextEncoder
from bpe.text_file import ReadableBuffer, view_bytes
from bpe.tiktoken_format import read_tiktoken_file, write_tiktoken_file
from bpe.token_decoder import TokenDecoder
from bpe.vocabulary import Vocabulary, check_vocabulary

if TYPE_CHECKING:
    from bpe.token_file import TokenArray


class Tokenizer:
    """Byte-level BPE over a vocabulary, its merges and special tokens.

    `merges` are in order of priority; ids are whatever `vocab` says. Special tokens that `vocab`
    lacks are appended after its largest id; a mapping gives their ids itself. `pattern` is "gpt2",
    "cl100k", "llama3", "o200k" or a regular expression in the syntax of the `regex` module. With
    `ignore_merges` a pretoken that is a token gets its id at once (as in Llama 3's files). `engine`
    is "reference" (plain Python), "kernels" (compiled code, from `bpe[fast]`) or "auto", which goes
    over to the kernels where they are there and pay; ids never depend on it.

    Raises ValueError, in one line, for a vocabulary that does not hold together.
    """

    def __init__(
        self,
        vocab: Mapping[int, bytes],
        merges: Iterable[tuple[bytes, bytes]],
        special_tokens: Iterable[str] | Mapping[str, int] | None = None,
        *,
        pattern: str = "gpt2",
        ignore_merges: bool = False,
        engine: Engine = "auto",
    ) -> None:
        vocabulary = check_vocabulary(
            vocab, merges, special_tokens, pattern=pattern, ignore_merges=ignore_merges
        )
        self._set(vocabulary, engine)

    def _set(self, vocabulary: Vocabulary, engine: Engine) -> None:
        self._vocabulary = vocabulary
        self._encoder = TextEncoder(vocabulary, engine)
        self._decoder = TokenDecoder(vocabulary.tokens, engine)
        self._all_specials = tuple(vocabulary.special_tokens)

    @classmethod
    def _of(cls, vocabulary: Vocabulary, engine: Engine = "auto") -> Self:
        tokenizer = cls.__new__(cls)
        tokenizer._set(vocabulary, engine)
        return tokenizer

    def __reduce__(self) -> tuple[Callable[..., Self], tuple[Vocabulary, Engine]]:
        return self._of, (self._vocabulary, self._encoder.engine)

    def __repr__(self) -> str:
        return (
            f"Tokenizer(vocab_size={self.vocab_size}, merges={len(self.merges)}, "
            f"special_tokens={list(self.special_tokens)}, pattern={self.pattern!r})"
        )

    # Files

    @classmethod
    def from_files(
        cls,
        vocab_filepath: str | PathLike[str],
        merges_filepath: str | PathLike[str],
        special_tokens: Iterable[str] | Mapping[str, int] | None = None,
        *,
        pattern: str = "gpt2",
    ) -> Self:
        """Read GPT-2's `vocab.json` and `merges.txt`; errors name file, line and token."""
        return cls._of(
            read_gpt2_files(vocab_filepath, merges_filepath, special_tokens, pattern=pattern)
        )

    @classmethod
    def load(cls, directory: str | PathLike[str]) -> Self:
        """Read a directory that `save` wrote."""
        return cls._of(load_directory(directory))

    def save(self, directory: str | PathLike[str]) -> None:
        """Write `vocab.json`, `merges.txt` and `special_tokens.json`, each whole or not at all."""
        save_directory(self._vocabulary, directory)

    @classmethod
    def from_huggingface(cls, path: str | PathLike[str]) -> Self:
        """Read a byte-level `tokenizer.json`, or the one in a directory.

        Ids equal that library's `encode(text, add_special_tokens=False)`. Raises ValueError that
        names the feature when the file asks for one that cannot be expressed.
        """
        return cls._of(read_huggingface_file(path))

    def to_huggingface(self, path: str | PathLike[str]) -> None:
        """Write a `tokenizer.json` at `path`."""
        write_huggingface_file(self._vocabulary, path)

    @classmethod
    def from_tiktoken(
        cls,
        path: str | PathLike[str],
        special_tokens: Iterable[str] | Mapping[str, int] | None = None,
        *,
        pattern: str,
    ) -> Self:
        """Read a rank file of tiktoken, which holds neither special tokens nor the pattern.

        `special_tokens` is a mapping of text to id, or texts that get the next free ids in order.
        `pattern` is "gpt2" (also for r50k and p50k), "cl100k", "llama3", "o200k" or a regex.
        """
        return cls._of(read_tiktoken_file(path, special_tokens, pattern=pattern))

    def to_tiktoken(self, path: str | PathLike[str]) -> None:
        """Write a rank file at `path`; `special_tokens` and the pattern are not part of it."""
        write_tiktoken_file(self._vocabulary, path)

    # What it is made of

    @property
    def vocab(self) -> dict[int, bytes]:
        """Id to bytes, special tokens included. Read-only: changes would not be noticed."""
        return self._vocabulary.tokens

    @property
    def merges(self) -> list[tuple[bytes, bytes]]:
        """The merges, best first. Read-only: changes would not be noticed."""
        return self._vocabulary.merges

    @property
    def special_tokens(self) -> dict[str, int]:
        """Special token to id, in the order given."""
        return dict(self._vocabulary.special_tokens)

    @cached_property
    def vocab_size(self) -> int:
        """One more than the largest id: the number of rows that an embedding needs."""
        return self._vocabulary.size

    @property
    def pattern(self) -> str:
        """The name of the pattern, or the regular expression itself."""
        return self._vocabulary.pattern

    @cached_property
    def sha256(self) -> str:
        """A hash over all that decides ids, in hexadecimal: equal for equal tokenizers."""
        return self._vocabulary.sha256()

    # Text to ids

    def encode(
        self,
        text: str,
        *,
        allowed_special: str | Collection[str] = "all",
        errors: str = "strict",
    ) -> list[int]:
        """Return the ids of `text`.

        Special tokens in `allowed_special` ("all", "none" or some of them) become their ids, the
        longest where several fit; others are ordinary text. A lone surrogate raises ValueError, or
        with `errors="replace"` becomes U+FFFD.
        """
        if not isinstance(text, str):
            raise TypeError(f"text is a {type(text).__name__}, not a str")
        return self._encoder.encode(text, self._allowed(allowed_special), errors)

    def encode_array(
        self,
        text: str | ReadableBuffer,
        *,
        allowed_special: str | Collection[str] = "all",
        errors: str = "strict",
        workers: int | None = None,
    ) -> "TokenArray":
        """Return what `encode` returns as uint16, or as uint32 when `vocab_size` is over 65,536.

        UTF-8 need not be decoded first: `text` may be bytes or a buffer of bytes, such as a file
        that `mmap` maps. A byte that is not UTF-8 raises ValueError with its offset and line, or
        with `errors="replace"` becomes U+FFFD. `workers` are the threads that the kernels may take;
        None for all CPUs if the text is long.
        """
        allowed = self._allowed(allowed_special)
        if isinstance(text, str):
            return self._encoder.encode_array(text, allowed, errors, workers)
        with view_bytes(text) as data:
            return self._encoder.encode_array(data, allowed, errors, workers)

    def encode_batch(
        self,
        texts: Iterable[str],
        *,
        allowed_special: str | Collection[str] = "all",
        errors: str = "strict",
        workers: int | None = None,
    ) -> list[list[int]]:
        """Return the ids of each text; `workers` is as in `encode_array`."""
        allowed = self._allowed(allowed_special)
        return self._encoder.encode_batch(texts, allowed, errors, workers)

    def encode_iterable(
        self,
        strings: Iterable[str],
        *,
        allowed_special: str | Collection[str] = "all",
        errors: str = "strict",
    ) -> Iterator[int]:
        """Yield the ids of the joined strings as they come, in constant memory.

        Where the strings are cut makes no difference. With a pattern that is not a named one, text
        is held until a special token or the end: where such a pattern looks is not known. A stream
        loads no kernels, but goes through them where the tokenizer has loaded them before.
        """
        allowed = self._allowed(allowed_special)
        return chain.from_iterable(self._encoder.batches(strings, allowed, errors))

    def encode_file(
        self,
        source: str | PathLike[str],
        destination: str | PathLike[str],
        *,
        allowed_special: str | Collection[str] = "all",
        errors: str = "strict",
        column: str = "text",
        end_of_text: bool = True,
        workers: int | None = None,
        engine: FileEngine = "auto",
        progress: Callable[[int, int], None] | None = None,
    ) -> EncodedFile:
        """Encode a file into a token file (.npy and a sidecar), in bounded memory.

        The file is UTF-8 text, or documents in `column` of `.jsonl` or `.parquet`; with
        `end_of_text` each document is followed by the special token `<|endoftext|>`, if there is
        one. `.gz` and `.zst` are unpacked, and a path with `://` goes through fsspec.

        `.npy` is appended to `destination` where it is missing; a directory or device is refused.
        `progress(done, total)` is called with bytes of the source. `workers` are the threads that
        the kernels may take, None for all CPUs if the file is large; `engine="ray"` spreads the
        work over a Ray cluster (`bpe[ray]`); the ids do not depend on them. Invalid UTF-8 raises
        ValueError with its place, or with `errors="replace"` becomes U+FFFD and is counted.
        Whatever happens, a kill included, the destination is a whole file or what it was before.
        """
        return encode_file(
            *(self._encoder, self._vocabulary, source, destination),
            specials=self._allowed(allowed_special),
            errors=errors,
            column=column,
            end_of_text=end_of_text,
            workers=workers,
            engine=engine,
            progress=progress,
        )

    def _allowed(self, allowed_special: str | Collection[str]) -> Sequence[str]:
        specials = self._vocabulary.special_tokens
        if isinstance(allowed_special, str):
            if allowed_special not in ("all", "none"):
                raise ValueError(
                    f"allowed_special is {allowed_special!r}; it can be 'all', 'none' or a "
                    "collection of special tokens"
                )
            return self._all_specials if allowed_special == "all" else ()
        for text in allowed_special:
            if text not in specials:
                raise ValueError(
                    f"allowed_special has {text!r}, which is no special token; "
                    f"there are {list(specials)!r:.200}"
                )
        return tuple(dict.fromkeys(allowed_special))

    # Ids to text

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of `ids`; malformed bytes become U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", "replace")

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Return the bytes of `ids`. Raises ValueError for an id that no token has."""
        return self._decoder.decode(ids)

    def decode_stream(self, ids: Iterable[int]) -> Iterator[str]:
        """Yield the text of `ids` as they come, in whole characters; joined it is `decode(ids)`."""
        return decode_pieces(look_up_tokens(self._vocabulary.tokens, ids))
