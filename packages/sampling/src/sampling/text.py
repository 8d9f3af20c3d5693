"""Generate text from text: the same as `generate` and `stream`, with the tokenizer around them."""

import codecs
from collections.abc import Iterator

import torch

from bpe import Tokenizer
from nn import TransformerLM
from sampling.config import SamplingConfig
from sampling.generation import Truncate, stream_batch
from sampling.stopping import FinishReason, Piece


class PieceReader:
    """Turn the pieces of one text into characters: those that are whole, as they come.

    Bytes that are no UTF-8 become U+FFFD.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def read(self, piece: Piece) -> str:
        """Return the characters that `piece` completes, often none."""
        return self._decoder.decode(piece.data, final=piece.finish_reason is not None)


class TextStream(Iterator[str]):
    """The text of one generation as it comes, in whole characters.

    Joined it is the whole text, exactly up to where a stop string begins.
    """

    def __init__(self, pieces: Iterator[Piece]) -> None:
        self._pieces = pieces
        self._reader = PieceReader()
        self.num_tokens = 0
        """Tokens drawn so far."""
        self.finish_reason: FinishReason | None = None
        """After the end: "stop" for a stop token or string, "length" for `max_tokens`."""

    def __next__(self) -> str:
        """Return the next piece of text; it is never empty."""
        for piece in self._pieces:
            self.num_tokens += 1
            self.finish_reason = piece.finish_reason
            if text := self._reader.read(piece):
                return text
        raise StopIteration


def stream_text(
    model: TransformerLM,
    tokenizer: Tokenizer,
    prompt: str,
    config: SamplingConfig | None = None,
    *,
    allow_special: bool = False,
    truncate: Truncate = "never",
    generator: torch.Generator | None = None,
) -> TextStream:
    """Continue `prompt`; yield the new text as it comes.

    Special tokens in the prompt are ordinary text unless `allow_special`. Raises what `generate`
    raises.
    """
    ids = tokenizer.encode(prompt, allowed_special="all" if allow_special else "none")
    pieces = stream_batch(
        model, [ids], config, tokenizer=tokenizer, truncate=truncate, generator=generator
    )
    return TextStream(piece for _, piece in pieces)


def generate_text(
    model: TransformerLM,
    tokenizer: Tokenizer,
    prompt: str,
    config: SamplingConfig | None = None,
    *,
    allow_special: bool = False,
    truncate: Truncate = "never",
    generator: torch.Generator | None = None,
) -> str:
    """Continue `prompt`; return the new text alone."""
    return "".join(
        stream_text(
            model,
            tokenizer,
            prompt,
            config,
            allow_special=allow_special,
            truncate=truncate,
            generator=generator,
        )
    )
