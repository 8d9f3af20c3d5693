"""A directory that appears whole: its files are made in a sibling, synced, and then renamed."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def staging_directory(target: Path) -> Iterator[Path]:
    """Yield an empty sibling of `target`; what is still in it at the end is removed.

    Its name is fixed, so that what a killed process left behind is removed by the next one.
    """
    staging = target.with_name(f".{target.name}.unfinished")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def sync(path: Path) -> None:
    """Wait until a file's content, or a directory's names, have reached the disk.

    Without the latter a rename may not survive a power cut. Windows cannot open directories.
    """
    if os.name == "nt" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
