"""A directory of prepared data, as training reads it.

train.npy, valid.npy   tokens, each with a sidecar .json    tokenizer/   vocabulary and merges
data.json              sizes in bytes, the tokens of each file, and for stories their entropy
checked.json           that these very files have been read and found whole, if that took long
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bpe import Tokenizer
from bpe.token_file import Sidecar, TokenArray, read_token_file
from trainer.config import DataConfig
from trainer.mixture import Mixture, contains
from trainer.remembered import remembered
from trainer.run_directory import read_json

TRAIN, VALID, TOKENIZER, DESCRIPTION = "train.npy", "valid.npy", "tokenizer", "data.json"
CHECKED = "checked.json"


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
    sources: tuple[tuple[str, int], ...] = ()
    """The files that the training tokens come from, in order, and how many each gave."""

    @property
    def floor(self) -> float | None:
        """The least possible validation loss in nats per token, where it is known."""
        return None if self.valid_entropy is None else self.valid_entropy / len(self.valid)

    def window_separator(self, config: DataConfig) -> int | None:
        """Return the id between documents if windows are to begin there, None if anywhere."""
        if config.windows == "anywhere":
            return None
        return self._separator(config, "data.windows=documents")

    def isolating_separator(self, config: DataConfig) -> int | None:
        """Return the id between documents if they are to be kept apart, None if not."""
        if not config.isolate_documents:
            return None
        return self._separator(config, "data.isolate_documents")

    def check_documents(self, config: DataConfig) -> None:
        """Raise ValueError if what `config` says of documents cannot be done, or has no effect."""
        self.window_separator(config)
        separator = self.isolating_separator(config)
        if separator is not None and not contains(self.train, separator):
            raise ValueError(
                f"data.isolate_documents has no effect: no {config.special_token} stands in "
                f"{self.directory / TRAIN}"
            )

    def _separator(self, config: DataConfig, setting: str) -> int:
        if config.special_token not in self.tokenizer.special_tokens:
            raise ValueError(
                f"{setting} needs data.special_token={config.special_token!r}, which "
                f"the tokenizer of {self.directory} lacks; it has "
                f"{', '.join(self.tokenizer.special_tokens) or 'no special tokens'}"
            )
        return self.tokenizer.special_tokens[config.special_token]

    def mixture(self, config: DataConfig, context_length: int) -> Mixture | None:
        """Return how often to draw from which file, None if from all tokens alike.

        Raises ValueError where `config.weights` do not fit the files.
        """
        if not config.weights:
            return None
        if not self.sources:
            raise ValueError(
                f"data.weights: {self.directory} does not say which tokens come from which file; "
                f"make it again with `trainer prepare --from-files A B --weights 3 1`"
            )
        names, sizes = zip(*self.sources, strict=True)
        mixture = Mixture(sizes, config.weights)
        mixture.check_context(names, context_length)
        return mixture

    def describe(self) -> dict[str, Any]:
        """Return what a run records of its data."""
        return {
            "directory": str(self.directory),
            "train_tokens": len(self.train),
            "valid_tokens": len(self.valid),
            "train_bytes": self.train_bytes,
            "valid_bytes": self.valid_bytes,
            "entropy_floor": self.floor,
            "sources": dict(self.sources),
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


def open_prepared(
    directory: Path, progress: Callable[[int, int], None] | None = None
) -> PreparedData:
    """Open a directory of prepared data; raise ValueError for what is missing or damaged.

    Every token is read once: its id must be in the vocabulary, and the SHA-256 be right. Where that
    takes more than a second it is remembered, and not done again while the file is unchanged.
    `progress` is told how many bytes of a file are read, and of how many.
    """
    if not directory.is_dir():
        raise ValueError(f"data.tokens {directory}: no such directory; `trainer prepare` makes one")
    for name in (TRAIN, VALID, TOKENIZER):
        if not (directory / name).exists():
            raise ValueError(
                f"data.tokens {directory}: holds no {name}; `trainer prepare` makes it"
            )
    tokenizer = Tokenizer.load(directory / TOKENIZER)
    train, train_sidecar = _open_tokens(directory / TRAIN, tokenizer, progress)
    valid, valid_sidecar = _open_tokens(directory / VALID, tokenizer, progress)
    description = _read_description(directory / DESCRIPTION)
    return PreparedData(
        directory=directory,
        tokenizer=tokenizer,
        train=train,
        valid=valid,
        train_bytes=description["train_bytes"],
        valid_bytes=description["valid_bytes"],
        valid_entropy=description["valid_entropy_nats"],
        identity={
            "tokenizer": tokenizer.sha256,
            "train_tokens": train_sidecar.sha256,
            "valid_tokens": valid_sidecar.sha256,
        },
        sources=tuple((source["file"], source["tokens"]) for source in description["sources"]),
    )


def _read_description(path: Path) -> dict[str, Any]:
    """Return what `prepare` noted beside the tokens, None and nothing where it noted none."""
    numbers = dict.fromkeys(("train_bytes", "valid_bytes", "valid_entropy_nats"))
    found: dict[str, Any] = {**numbers, "sources": []}
    found |= read_json(path) if path.exists() else {}
    fits = (
        all(isinstance(found[key], int | float | None) for key in numbers)
        and isinstance(found["sources"], list)
        and all(map(_is_source, found["sources"]))
    )
    if not fits:
        raise ValueError(f"{path}: not what `trainer prepare` writes: prepare the data again")
    return found


def _is_source(source: Any) -> bool:
    return (
        isinstance(source, dict)
        and isinstance(source.get("file"), str)
        and isinstance(source.get("tokens"), int)
    )


def _open_tokens(
    path: Path, tokenizer: Tokenizer, progress: Callable[[int, int], None] | None
) -> tuple[TokenArray, Sidecar]:
    read = partial(
        read_token_file,
        path,
        tokenizer_sha256=tokenizer.sha256,
        vocab_size=tokenizer.vocab_size,
        progress=progress,
    )
    tokens, sidecar = read(verify=False)
    question = f"{sidecar.num_tokens} ids below {sidecar.vocab_size}, SHA-256 {sidecar.sha256}"
    remembered(path.with_name(CHECKED), path, question, lambda: str(len(read()[0])))
    return tokens, sidecar
