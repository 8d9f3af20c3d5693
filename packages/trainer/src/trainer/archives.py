"""Read what `torch.save` wrote, as plain data: tensors, numbers, texts, lists and mappings.

A file is looked at before torch sees it. It must be a zip archive whose entries are stored as they
are, so that it cannot unfold to more than its own size; the checksum of every entry must be right;
and the pickle inside may name nothing but what tensors are made of. What it names is found in its
opcodes, without running them. Only then does torch read it, by its restricted unpickler.
"""

import io
import pickletools
import zipfile
from os import PathLike
from pathlib import Path
from typing import IO, Any

import torch

# All that a pickle of tensors and plain data refers to.
_ALLOWED = {
    "collections.OrderedDict",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
    *(
        f"torch.{name}Storage"
        for name in (
            *("Double", "Float", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte"),
            *("Bool", "ComplexFloat", "ComplexDouble"),
        )
    ),
}
_TEXTS = {"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE"}
_MEMO_WRITES, _MEMO_READS = {"PUT", "BINPUT", "LONG_BINPUT"}, {"GET", "BINGET", "LONG_BINGET"}
# Other ways to import or to create something, which torch never writes.
_REFUSED = {"EXT1", "EXT2", "EXT4", "PERSID", "OBJ", "NEWOBJ", "NEWOBJ_EX"}


class CorruptCheckpointError(ValueError):
    """A file that is not the checkpoint that it should be; the message is one line."""


def load_plain(source: str | PathLike[str] | IO[bytes]) -> Any:
    """Return the content of a file of `torch.save`, on the CPU.

    Raises CorruptCheckpointError for whatever is wrong with the content, OSError if there is none.
    """
    if isinstance(source, str | PathLike):
        path = Path(source)
        with path.open("rb") as file:
            return _load(file, str(path), path.stem)
    seekable = source if source.seekable() else io.BytesIO(source.read())
    return _load(seekable, "checkpoint", "checkpoint")


def _load(file: IO[bytes], shown: str, stem: str) -> Any:
    start = file.tell()
    check_archive(file, shown, stem)
    file.seek(start)
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise CorruptCheckpointError(f"{shown} is no checkpoint: {reason}") from None


def check_archive(file: IO[bytes], shown: str, stem: str) -> None:
    """Raise CorruptCheckpointError unless `file` is an archive that is safe to load.

    `stem` begins the place of a disallowed object: `optimizer/state`.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            size = file.seek(0, io.SEEK_END)
            _check_entries(archive, size, shown)
            (pickled,) = [n for n in archive.namelist() if n.endswith("/data.pkl")]
            _check_opcodes(archive.read(pickled), shown, stem)
    except CorruptCheckpointError:
        raise
    except Exception as error:
        # A damaged archive makes zipfile stumble in many ways, which have one cause.
        reason = " ".join(str(error).split())[:200]
        raise CorruptCheckpointError(f"{shown} is no checkpoint: {reason}") from None


def _check_entries(archive: zipfile.ZipFile, size: int, shown: str) -> None:
    entries = archive.infolist()
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
            raise CorruptCheckpointError(
                f"{shown}: entry {entry.filename!r} is compressed ({entry.compress_size:,} bytes "
                f"unfold to {entry.file_size:,}); torch.save does not compress"
            )
    if sum(entry.file_size for entry in entries) > size:
        raise CorruptCheckpointError(f"{shown}: its entries overlap, or are larger than the file")
    names = {entry.filename for entry in entries}
    if len(names) < len(entries):
        raise CorruptCheckpointError(f"{shown}: two of its entries have one name")
    if sum(name.endswith("/data.pkl") for name in names) != 1:
        raise CorruptCheckpointError(f"{shown}: it holds no data.pkl, as files of torch.save do")
    if damaged := archive.testzip():
        raise CorruptCheckpointError(f"{shown} is damaged: the checksum of {damaged!r} is wrong")


def _check_opcodes(pickled: bytes, shown: str, stem: str) -> None:
    """Refuse a pickle that names anything but the parts of tensors, without running it."""
    memo: dict[int, str] = {}
    # The last text is the key under which an object stands, or near it.
    before, key = "", ""
    argument: Any
    for opcode, argument, _ in pickletools.genops(pickled):
        if opcode.name in _TEXTS:
            before, key = key, argument
        elif opcode.name in _MEMO_WRITES:
            memo[argument] = key
        elif opcode.name == "MEMOIZE":
            memo[len(memo)] = key
        elif opcode.name in _MEMO_READS:
            before, key = key, memo.get(argument, "")
        elif opcode.name == "GLOBAL":
            if (found := argument.replace(" ", ".")) not in _ALLOWED:
                raise _disallowed(found, shown, stem, key)
        elif opcode.name == "INST":
            raise _disallowed(argument.replace(" ", "."), shown, stem, key)
        elif opcode.name == "STACK_GLOBAL":
            # Torch does not write this one; its names are the two texts before it.
            raise _disallowed(f"{before}.{key}", shown, stem, "")
        elif opcode.name in _REFUSED:
            raise _disallowed(f"(opcode {opcode.name})", shown, stem, key)


def _disallowed(what: str, shown: str, stem: str, key: str) -> CorruptCheckpointError:
    place = f"{stem}/{key}" if key and key.isprintable() and len(key) < 80 else stem
    return CorruptCheckpointError(f"{shown}: disallowed object {what:.100} at {place}")
