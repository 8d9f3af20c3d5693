"""Fetch the texts of the course from the Hugging Face hub: resumed, checked, kept.

A download grows in a file named `.partial`, and goes on there when the connection breaks off or the
process is killed. It gets its own name once its size and its hash are those that the hub gives. The
library huggingface_hub does the asking; by itself it begins a killed download anew.
"""

import contextlib
import hashlib
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from trainer.corpus import BLOCK
from trainer.disk import NO_SPACE
from trainer.display import Display, Meter
from trainer.remembered import remembered
from trainer.stages import exclusive, flush

HUB = "https://huggingface.co"


@dataclass(frozen=True)
class HubText:
    """A text on the hub that comes in two parts, and the vocabulary that the course gives it."""

    repository: str
    train: str
    valid: str
    vocab_size: int


HUB_TEXTS: Mapping[str, HubText] = MappingProxyType(
    {
        "tinystories": HubText(
            "roneneldan/TinyStories",
            "TinyStoriesV2-GPT4-train.txt",
            "TinyStoriesV2-GPT4-valid.txt",
            10_000,
        ),
        "owt": HubText("stanford-cs336/owt-sample", "owt_train.txt.gz", "owt_valid.txt.gz", 32_000),
    }
)


@dataclass(frozen=True)
class _Source:
    """What the hub says of a file: where it is, its size in bytes, the hash of its content."""

    url: str
    size: int
    etag: str


def fetch(repository: str, name: str, directory: Path, display: Display) -> Path:
    """Return the path of a dataset's file below `directory`, after fetching it if need be.

    A copy in the hub's own cache is taken if there is one. Without a connection a file that an
    earlier call has fetched is enough. `HF_ENDPOINT` and `HF_TOKEN` mean what they mean everywhere.
    Raises ConnectionError if the hub cannot be reached or breaks off too often, ValueError if what
    it sends has another hash than it says, OSError for a full disk.
    """
    from huggingface_hub import try_to_load_from_cache

    file = directory / name
    cached = try_to_load_from_cache(repository, name, repo_type="dataset")
    try:
        source = _ask(repository, name)
    except ConnectionError:
        if not file.exists():
            raise
        display.detail(f"the hub cannot be reached; takes {file} of an earlier download", "yellow")
        return file
    for known in (file, *([Path(cached)] if isinstance(cached, str) else [])):
        if known.exists() and _is(known, source, directory, display):
            display.detail(f"{known} is there, and is what the hub has")
            return known
    partial = directory / f".{name}.{source.etag[:16]}.partial"
    waiting = f"waits for another process that fetches {name}"
    with exclusive(directory, lambda: display.detail(waiting)):
        # The process that was waited for may have fetched it.
        if not (file.exists() and _is(file, source, directory, display)):
            _download(source, partial, display.progress(f"fetching {name}", source.size))
            if not _is(partial, source, directory, display):
                partial.unlink()
                raise ValueError(
                    f"{name}: what came from {source.url} is not what the hub says it is "
                    f"(SHA-256 {source.etag:.12}); it was thrown away; fetch it again"
                )
            flush(partial)
            partial.replace(file)
            # Of what the hub had before.
            for old in directory.glob(f".{name}.*.partial"):
                old.unlink()
    return file


def _ask(repository: str, name: str) -> _Source:
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    endpoint = os.environ.get("HF_ENDPOINT", HUB)
    with _hub_errors(f"{endpoint}: {repository}/{name}"):
        url = hf_hub_url(repository, name, repo_type="dataset", endpoint=endpoint)
        found = get_hf_file_metadata(url, endpoint=endpoint)
        if found.etag is None or found.size is None or found.commit_hash is None:
            raise ConnectionError("it says neither size nor hash, so it is no hub")
        # The commit that was asked about, whatever is pushed in the meantime.
        url = hf_hub_url(
            repository, name, repo_type="dataset", revision=found.commit_hash, endpoint=endpoint
        )
    return _Source(url, found.size, found.etag)


def _download(source: _Source, partial: Path, meter: Meter) -> None:
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    # Packed for the way, the bytes would have neither the size nor the places that they have there.
    headers = build_hf_headers() | {"Accept-Encoding": "identity"}
    with partial.open("ab") as file, meter, _hub_errors(source.url):
        begun = file.tell()
        if begun > source.size:
            file.truncate(begun := 0)
        meter.update(begun)
        http_get(
            source.url,
            file,
            resume_size=begun,
            headers=headers,
            expected_size=source.size,
            tqdm_class=_bar(meter),
        )


def _bar(meter: Meter) -> Any:
    """Return what the library takes for a class of progress bars; they are our meter."""

    class Bar:
        def __init__(self, **_: Any) -> None:
            pass

        def update(self, amount: int) -> None:
            meter.advance(amount)

        def __enter__(self) -> "Bar":
            return self

        def __exit__(self, *_: object) -> None:
            pass

    return Bar


def _is(file: Path, source: _Source, directory: Path, display: Display) -> bool:
    """Compare a file with what the hub says of its size and content."""
    if file.stat().st_size != source.size:
        return False
    # The hub gives the SHA-256 of large files, and of small ones git's name of the content.
    kind = {64: "sha256", 40: "sha1"}.get(len(source.etag))
    if kind is None:
        display.detail(f"the hub gives no hash of {file.name}; only its size was compared")
        return True

    def find() -> str:
        digest = hashlib.new(kind)
        if kind == "sha1":
            digest.update(f"blob {source.size}\0".encode())
        with display.progress(f"checking {file.name}", source.size) as meter, file.open("rb") as f:
            while block := f.read(BLOCK):
                digest.update(block)
                meter.advance(len(block))
        return digest.hexdigest()

    return remembered(directory / "checked.json", file, kind, find) == source.etag


@contextlib.contextmanager
def _hub_errors(where: str) -> Iterator[None]:
    """Turn what the library and those below it raise into one line, but for a full disk."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    # It logs every interruption that it goes on after, across our progress.
    logger.setLevel(logging.ERROR)
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and error.errno in NO_SPACE:
            raise
        host = urlsplit(where).hostname or HUB
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ConnectionError(
            f"cannot fetch {where} ({reason}); the same command goes on where {host} broke off, "
            f"or get the file by hand and give it to `trainer prepare --from-files`"
        ) from error
    finally:
        logger.setLevel(level)
