"""Loading runs no code, and whatever a file holds, it is read or refused with one typed error."""

import io
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hostile_files import Entry, make_entries
from warm_process import WarmPair

from trainer.archives import CorruptCheckpointError, load_plain

CANARY = "canary"


class Calls:
    """Pickle as a call of a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self._call


def textual(module: str, name: str, argument: str) -> bytes:
    """Return a pickle of protocol 0 that calls a function with a text."""
    return f"c{module}\n{name}\n(V{argument}\ntR.".encode()


def payloads() -> dict[str, bytes]:
    """Return thirty files that make a careless reader touch the canary, or worse."""
    touch = f"touch {CANARY}"
    write = f"open({CANARY!r}, 'w').close()"
    objects = {
        "system": Calls(os.system, touch),
        "eval": Calls(eval, write),
        "exec": Calls(exec, write),
        "open": Calls(open, CANARY, "w"),
        "import": Calls(__import__, "this"),
        "getattr": Calls(getattr, "", "join"),
        "nested": {"a": [{"b": (Calls(os.system, touch),)}]},
        "late": [*range(2000), Calls(os.system, touch)],
        "torch.load": Calls(torch.load, CANARY),
        "rmtree": Calls(shutil.rmtree, CANARY),
    }
    found: dict[str, bytes] = {}
    for name, content in objects.items():
        file = io.BytesIO()
        torch.save({"model": content, "optimizer": content, "iteration": 1}, file)
        found[f"torch {name}"] = file.getvalue()
        found[f"pickle {name}"] = pickle.dumps(content)
    system = textual("posix", "system", touch)
    found["textual system"] = system
    found["inst"] = f"(V{touch}\niposix\nsystem\n.".encode()
    found["obj"] = f"(cposix\nsystem\nV{touch}\no.".encode()
    found["stack global"] = pickle.dumps(Calls(os.system, touch), 4)
    found["archive with a textual pickle"] = archive({"archive/data.pkl": system})
    found["archive with a stack global"] = archive({"archive/data.pkl": found["stack global"]})
    found["archive with an inst"] = archive({"archive/data.pkl": found["inst"]})
    found["array of objects"] = array_of_objects(found["pickle system"])
    found["two pickles"] = archive(
        {"archive/data.pkl": pickle.dumps({}, 2), "other/data.pkl": system}
    )
    found["legacy file of torch"] = legacy(Calls(os.system, touch))
    return found


def archive(entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as opened:
        for name, content in entries.items():
            opened.writestr(name, content)
    return file.getvalue()


def array_of_objects(pickled: bytes) -> bytes:
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + pickled


def legacy(content: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


PAYLOADS = payloads()


@pytest.fixture
def entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Entry]:
    monkeypatch.chdir(tmp_path)
    return make_entries(tmp_path / "files")


def test_there_are_thirty_payloads() -> None:
    assert len(PAYLOADS) == 30


@pytest.mark.parametrize("name", PAYLOADS)
def test_no_way_in_runs_the_code_in_a_file(entries: list[Entry], name: str) -> None:
    for entry in entries:
        before = entry.file.read_bytes()
        entry.spoil(PAYLOADS[name])
        with pytest.raises(ValueError, match=r"\w"):
            entry.read()
        assert not Path(CANARY).exists(), entry.name
        entry.spoil(before)
        entry.read()


def test_payload_would_have_run_where_pickles_are_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.load(io.BytesIO(PAYLOADS["torch system"]), weights_only=False)
    assert Path(CANARY).exists()


def test_object_that_calls_the_system_is_named_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "optimizer.pt"
    torch.save({"optimizers": [], "state": Calls(os.system, "true")}, path)
    with pytest.raises(
        CorruptCheckpointError, match=r"disallowed object posix\.system at optimizer/state$"
    ):
        load_plain(path)


def test_compressed_archive_is_refused_before_it_is_unfolded(tmp_path: Path) -> None:
    file = io.BytesIO()
    torch.save({"x": torch.zeros(1 << 22)}, file)
    with zipfile.ZipFile(file) as opened:
        contents = {name: opened.read(name) for name in opened.namelist()}
    path = tmp_path / "bomb.pt"
    path.write_bytes(archive(contents, zipfile.ZIP_DEFLATED))
    assert path.stat().st_size < 1 << 17
    with pytest.raises(CorruptCheckpointError, match=r"is compressed \([\d,]+ bytes unfold to"):
        load_plain(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x05\x06" + bytes(18)])
def test_file_that_is_no_checkpoint_is_one_kind_of_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(content)
    with pytest.raises(CorruptCheckpointError, match=r"checkpoint\.pt"):
        load_plain(path)


def check_mutations(warm: WarmPair, tmp_path: Path, mutations: int) -> None:
    calls = []
    for part in (0, 1):
        (tmp_path / str(part)).mkdir()
        calls.append({"root": str(tmp_path / str(part)), "part": part})
    each = [call | {"mutations": mutations, "parts": 2} for call in calls]
    assert warm.call("hostile_files.mutate_and_read", *each) == [[], []]


def test_mutated_file_neither_crashes_nor_hangs_its_reader(warm: WarmPair, tmp_path: Path) -> None:
    check_mutations(warm, tmp_path, 2000)


@pytest.mark.long
def test_hundred_thousand_mutated_files_neither_crash_nor_hang(
    warm: WarmPair, tmp_path: Path
) -> None:
    check_mutations(warm, tmp_path, 100_000)
