"""Load compiled kernels, and compile them first where this machine has not done so yet.

Loading takes some 10 ms and needs only llvmlite; compiling takes seconds and imports numba. Both
happen at the first use, never at import. The compiled object is kept by `cache` under a hash of all
that it depends on: the sources of the kernels, the compiler's versions and the processor.

A loaded kernel is a plain C function of 64-bit integers; while it runs the interpreter lock is
free. It trusts its arguments: an address that is wrong brings the process down.
"""

import ctypes
import hashlib
import importlib
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bpe.kernels import cache

Kernel = Callable[..., int]

# For each library the modules, and of each module the functions that Python may call.
LIBRARIES: Mapping[str, Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "training": {
            "bpe.kernels.scan": ("scan_text",),
            "bpe.kernels.count": ("count_text", "add_pretokens", "add_table", "move_table"),
            "bpe.kernels.spread": ("measure_pretokens", "spread_pretokens"),
            "bpe.kernels.pair_index": ("sum_pairs", "count_pairs", "measure_pairs", "place_pairs"),
            "bpe.kernels.pair_slots": ("move_slots",),
            "bpe.kernels.merge": ("merge_pairs",),
        },
        "tokenizer": {
            "bpe.kernels.pair_ranks": ("fill_pairs",),
            "bpe.kernels.encode_cached": ("seed_cache", "encode_cached", "encode_documents"),
            "bpe.kernels.token_bytes": ("measure_tokens", "copy_tokens"),
        },
    }
)


def is_compiled(library: str) -> bool:
    """Whether `load` will find the library compiled."""
    return cache.read(_name(library), _key(library)) is not None


@lru_cache(maxsize=len(LIBRARIES))
def load(library: str) -> Mapping[str, Kernel]:
    """Return the functions of a library by name; they take and return 64-bit integers."""
    content = cache.read(_name(library), _key(library))
    if content is None:
        content = compile_library(library)
        cache.write(_name(library), _key(library), content)
    return _link(library, content)


@lru_cache(maxsize=1)
def class_table() -> ctypes.Array[ctypes.c_char]:
    """Return the table of `character_classes`, whose address kernels take."""
    import regex

    source = Path(__file__).with_name("character_classes.py").read_bytes()
    key = hashlib.sha256(source + str(regex.__version__).encode()).hexdigest()[:16]
    content = cache.read("classes", key)
    if content is None:
        from bpe.kernels.character_classes import build_table

        content = build_table()
        cache.write("classes", key, content)
    return ctypes.create_string_buffer(content, len(content))


def compile_library(library: str) -> bytes:
    """Compile a library: one line of JSON, name to symbol and number of arguments, then the object.

    Takes several seconds, most of them spent in numba.
    """
    from bpe.kernels.compiler import emit_object

    exports = [
        getattr(importlib.import_module(module), name)
        for module, names in LIBRARIES[library].items()
        for name in names
    ]
    machine_code, table = emit_object(exports)
    return json.dumps(table).encode() + b"\n" + machine_code


def _link(library: str, content: bytes) -> Mapping[str, Kernel]:
    import llvmlite.binding as llvm

    line, _, machine_code = content.partition(b"\n")
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    # The older linker puts code and constants where there is room, and ends the process when they
    # come to lie more than 2 GB apart. This one does not know Windows well.
    linker = llvm.create_lljit_compiler(use_jit_link=sys.platform != "win32")
    builder = llvm.JITLibraryBuilder().add_object_img(machine_code).add_current_process()
    table: dict[str, tuple[str, int]] = json.loads(line)
    for symbol, _ in table.values():
        builder = builder.export_symbol(symbol)
    linked = builder.link(linker, library)

    def bind(symbol: str, num_arguments: int) -> Kernel:
        signature = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * num_arguments)
        function: Any = signature(linked[symbol])
        # The machine code goes when its linker does.
        function.owner = linker, linked
        return function  # type: ignore[no-any-return]

    return MappingProxyType({name: bind(*entry) for name, entry in table.items()})


def _name(library: str) -> str:
    # Machines that share a directory keep their own objects in it.
    return f"{library}-{hashlib.sha256(_processor().encode()).hexdigest()[:8]}"


@lru_cache(maxsize=1)
def _processor() -> str:
    import llvmlite.binding as llvm

    return f"{llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}"


@lru_cache(maxsize=len(LIBRARIES))
def _key(library: str) -> str:
    digest = hashlib.sha256(repr(LIBRARIES[library]).encode())
    for source in _sources(library):
        digest.update(source)
    digest.update(f"{version('numba')} {version('llvmlite')} {_processor()}".encode())
    return digest.hexdigest()[:16]


def _sources(library: str) -> Iterator[bytes]:
    """Yield the modules of a library and all kernels that they import, but import none."""
    waiting = ["bpe.kernels.compiler", *LIBRARIES[library]]
    seen: set[str] = set()
    while waiting:
        module = waiting.pop()
        if module not in seen:
            seen.add(module)
            source = Path(__file__).with_name(f"{module.rpartition('.')[2]}.py").read_bytes()
            waiting += re.findall(
                r"^from (bpe\.kernels\.\w+) import", source.decode(), re.MULTILINE
            )
            yield source
