"""What reading a large file found, remembered for as long as that file stays as it is.

Hashing gigabytes takes long at every start. The answer is kept in a small JSON file together with
the size, times and inode of the file that was read: whatever is written into that file changes one
of them, and it is read again. Damage below the file system (a disk that forgets) changes none; to
have everything read again, delete the JSON file.
"""

import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bpe.atomic_file import write_atomically

# Below this many seconds it is cheaper to read again than to leave one more file on the disk.
WORTH_SECONDS = 1.0


def remembered(
    notes: Path,
    file: Path,
    question: str,
    find: Callable[[], str],
    *,
    worth_seconds: float = WORTH_SECONDS,
) -> str:
    """Return what `find` says about `file`, without asking it again while the file is unchanged.

    `notes` is the JSON file that remembers; several files and questions share one. An answer that
    took less than `worth_seconds` is not kept, nor one about a file that changed meanwhile. Where
    `notes` cannot be written nothing is remembered.
    """
    key = f"{question} {file.resolve()}"
    before = _stamp(file)
    entry = _read(notes).get(key)
    if isinstance(entry, dict) and entry.get("stamp") == before and "answer" in entry:
        return str(entry["answer"])
    begun = time.perf_counter()
    answer = find()
    if time.perf_counter() - begun >= worth_seconds and _stamp(file) == before:
        # Another process may have added something since.
        kept = _read(notes) | {key: {"stamp": before, "answer": answer}}
        with contextlib.suppress(OSError):
            notes.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(notes, (json.dumps(kept, indent=1) + "\n").encode())
    return answer


def _stamp(file: Path) -> list[int]:
    found = file.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev]


def _read(notes: Path) -> dict[str, Any]:
    try:
        content = json.loads(notes.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
