"""Encode a file of text or documents into a token file, here or on a Ray cluster (`bpe[ray]`).

The ids do not depend on where the text is cut, nor on who encodes the parts. On a cluster this
process reads, deals the parts out, and writes their ids in order.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from bpe.chunking import Chunk, ChunkCutter
from bpe.document_file import DocumentFile
from bpe.open_text import open_text
from bpe.patterns import compile_pattern
from bpe.text_encoder import TextEncoder
from bpe.text_file import TextFile
from bpe.text_source import TextSource
from bpe.vocabulary import Vocabulary

if TYPE_CHECKING:
    from bpe.token_file import TokenArray

# The special token that ends a document.
END_OF_TEXT = "<|endoftext|>"

FileEngine = Literal["auto", "ray"]

# What is sent to another machine must be worth its while.
_CHUNK_BYTES_OF_RAY = 4 << 20


@dataclass(frozen=True)
class EncodedFile:
    """What `encode_file` wrote: where, how many tokens of how many bytes of text."""

    path: Path
    num_tokens: int
    num_bytes: int
    num_replacements: int


def encode_file(
    encoder: TextEncoder,
    vocabulary: Vocabulary,
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    *,
    specials: Sequence[str],
    errors: str,
    column: str,
    end_of_text: bool,
    workers: int | None,
    engine: FileEngine,
    progress: Callable[[int, int], None] | None,
) -> EncodedFile:
    """Do what `Tokenizer.encode_file` says."""
    from bpe.token_file import write_token_file

    if engine not in get_args(FileEngine):
        raise ValueError(f"engine={engine!r} is not one of 'auto', 'ray'")
    piece_bytes = _CHUNK_BYTES_OF_RAY if engine == "ray" else None
    text = open_text(
        source, column=column, errors=errors, progress=progress, piece_bytes=piece_bytes
    )
    end_id = end_of_document(text, vocabulary.special_tokens) if end_of_text else None
    batches: Iterator[Sequence[int] | TokenArray]
    if engine == "ray":
        batches = _encode_on_ray(vocabulary, text, specials, end_id, workers)
    elif isinstance(text, TextFile):
        batches = encoder.encode_file(text, specials, workers)
    else:
        encode = partial(_encode_chunk, encoder, specials, end_id, workers)
        batches = map(encode, text.chunks(_cutter(vocabulary, specials)))
    path = Path(destination)
    # A directory or a device keeps its name, and is refused: what it stands for was not meant.
    if path.suffix != ".npy" and (path.is_file() or not path.exists()):
        path = path.with_name(path.name + ".npy")
    sidecar = write_token_file(
        path,
        batches,
        tokenizer_sha256=vocabulary.sha256(),
        vocab_size=vocabulary.size,
        source=text.path,
    )
    return EncodedFile(path, sidecar.num_tokens, text.num_bytes, text.num_replacements)


def end_of_document(text: TextSource, special_tokens: Mapping[str, int]) -> int | None:
    """Return the id that follows each document of `text`, if there is one."""
    return special_tokens.get(END_OF_TEXT) if isinstance(text, DocumentFile) else None


def _cutter(vocabulary: Vocabulary, specials: Sequence[str]) -> ChunkCutter:
    return ChunkCutter(compile_pattern(vocabulary.pattern), specials)


def _encode_chunk(
    encoder: TextEncoder,
    specials: Sequence[str],
    end_id: int | None,
    workers: int | None,
    chunk: Chunk,
) -> "TokenArray":
    """Return the ids of the texts of one chunk, each that ends a document with `end_id` behind."""
    import numpy as np

    parts: list[Any] = []
    num_left = len(chunk.texts) - chunk.goes_on
    for ids, ends in encoder.encode_documents(chunk.texts, specials, workers):
        if end_id is None:
            parts.append(ids)
        else:
            parts.append(np.insert(ids, ends[:num_left], end_id))
            num_left -= len(ends)
    joined: TokenArray = np.concatenate(parts)
    return joined


def _encode_on_ray(
    vocabulary: Vocabulary,
    text: TextSource,
    specials: Sequence[str],
    end_id: int | None,
    workers: int | None,
) -> Iterator["TokenArray"]:
    from bpe.ray_cluster import map_on_ray

    make = partial(_chunk_encoder, vocabulary, specials, end_id)
    return map_on_ray(make, text.chunks(_cutter(vocabulary, specials)), workers=workers)


def _chunk_encoder(
    vocabulary: Vocabulary, specials: Sequence[str], end_id: int | None
) -> Callable[[Chunk], "TokenArray"]:
    """Return what encodes a chunk, where it is called: by kernels if that machine has them."""
    encoder = TextEncoder(vocabulary, "auto")
    return partial(_encode_chunk, encoder, specials, end_id, 1)
