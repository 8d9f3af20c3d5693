"""A directory of prepared data, as training reads it.

train.npy, valid.npy   tokens, each with a sidecar .json    tokenizer/   vocabulary and merges
data.json              sizes in bytes and, for text of the story grammar, its entropy
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bpe import Tokenizer
from bpe.token_file import TokenArray, read_token_file
from trainer.config import DataConfig
from trainer.run_directory import read_json

TRAIN, VALID, TOKENIZER, DESCRIPTION = "train.npy", "valid.npy", "tokenizer", "data.json"


@dataclass(frozen=True)
class PreparedData:
    """Tokens and tokenizer of a run, found whole."""

    directory: Path
    tokenizer: Tokenizer
    train: TokenArray
    valid: TokenArray
    train_bytes: int | None
    """Bytes of the text behind the tokens, where data.json says so."""
    valid_bytes: int | None
    valid_entropy: float | None
    """Nats of the validation text under the grammar that wrote it: no model can do better."""
    identity: Mapping[str, str]
    """Hashes of tokenizer and tokens; a run must not go on with others."""

    @property
    def floor(self) -> float | None:
        """The least possible validation loss in nats per token, where it is known."""
        return None if self.valid_entropy is None else self.valid_entropy / len(self.valid)

    def separator(self, config: DataConfig) -> int | None:
        """Return the id between documents if windows are to begin there, None if anywhere."""
        if config.windows == "anywhere":
            return None
        if config.special_token not in self.tokenizer.special_tokens:
            raise ValueError(
                f"data.windows=documents needs data.special_token={config.special_token!r}, which "
                f"the tokenizer of {self.directory} lacks; it has "
                f"{', '.join(self.tokenizer.special_tokens) or 'no special tokens'}"
            )
        return self.tokenizer.special_tokens[config.special_token]

    def describe(self) -> dict[str, Any]:
        """Return what a run records of its data."""
        return {
            "directory": str(self.directory),
            "train_tokens": len(self.train),
            "valid_tokens": len(self.valid),
            "train_bytes": self.train_bytes,
            "valid_bytes": self.valid_bytes,
            "entropy_floor": self.floor,
            "sha256": dict(self.identity),
        }

    def check_context(self, context_length: int) -> None:
        """Raise ValueError if a part does not fill one window and the token after it."""
        for name, tokens in ((TRAIN, self.train), (VALID, self.valid)):
            if len(tokens) < context_length + 1:
                raise ValueError(
                    f"{self.directory / name}: {len(tokens)} tokens are too few for a window of "
                    f"model.context_length + 1 = {context_length + 1}: give more text or lower "
                    f"--model.context-length"
                )


def open_prepared(directory: Path) -> PreparedData:
    """Open a directory of prepared data; raise ValueError for what is missing or damaged.

    Every token is read once: its id must be in the vocabulary, and the SHA-256 be right.
    """
    if not directory.is_dir():
        raise ValueError(f"data.tokens {directory}: no such directory; `trainer prepare` makes one")
    for name in (TRAIN, VALID, TOKENIZER):
        if not (directory / name).exists():
            raise ValueError(
                f"data.tokens {directory}: holds no {name}; `trainer prepare` makes it"
            )
    tokenizer = Tokenizer.load(directory / TOKENIZER)
    train, train_sidecar = read_token_file(
        directory / TRAIN, tokenizer_sha256=tokenizer.sha256, vocab_size=tokenizer.vocab_size
    )
    valid, valid_sidecar = read_token_file(
        directory / VALID, tokenizer_sha256=tokenizer.sha256, vocab_size=tokenizer.vocab_size
    )
    description: dict[str, Any] = {}
    if (directory / DESCRIPTION).exists():
        description = read_json(directory / DESCRIPTION)
    return PreparedData(
        directory=directory,
        tokenizer=tokenizer,
        train=train,
        valid=valid,
        train_bytes=description.get("train_bytes"),
        valid_bytes=description.get("valid_bytes"),
        valid_entropy=description.get("valid_entropy_nats"),
        identity={
            "tokenizer": tokenizer.sha256,
            "train_tokens": train_sidecar.sha256,
            "valid_tokens": valid_sidecar.sha256,
        },
    )
