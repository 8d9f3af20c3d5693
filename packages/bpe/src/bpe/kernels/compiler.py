"""Turn Python functions on plain integers into machine code: two decorators and one emitter.

Everything in a kernel is a signed 64-bit integer: addresses, lengths, counts, bit masks, hashes.
With one type no operation can be promoted to floating point, as numba does for int64 with uint64.

    @inlined   becomes part of each function that calls it
    @shared    a C function of its own: compiled once, called by others, and from Python where
               `library` says so

This module imports numba, which takes half a second, so `library` imports it, and the kernels that
need it, only when the compiled object is not in the cache.
"""

import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

import llvmlite.binding as llvm
import numba
from numba import extending, types

F = TypeVar("F", bound=Callable[..., Any])

# Not all of the options below are in its signature.
_jit: Any = numba.njit
# Under numpy's error model a division by zero yields a number, so that nothing can raise.
_OPTIONS: dict[str, Any] = {
    "error_model": "numpy",
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}

# What LLVM itself may call for loops that fill or copy memory: all in the C library.
_ALLOWED_SYMBOLS = {"memcpy", "memmove", "memset", "memcmp", "bcmp"}


def inlined(function: F) -> F:
    """Make `function` part of each kernel that calls it."""
    return cast(F, _jit(forceinline=True, **_OPTIONS)(function))


def shared(function: F) -> F:
    """Make `function`, of integers to an integer or nothing, a C function that kernels can call."""
    symbol = f"bpe_{function.__module__.rpartition('.')[2]}_{function.__name__}"
    arguments = [types.int64] * len(inspect.signature(function).parameters)
    returns = types.void if function.__annotations__["return"] is None else types.int64
    kernel: Any = types.ExternalFunction(symbol, returns(*arguments))
    kernel.py_func = function
    # numba links each function as it compiles it, and wants an address; none is ever called.
    llvm.add_symbol(symbol, 1)
    return cast(F, kernel)


def instruction(
    emit: Callable[..., Any], num_arguments: int, *, returns: bool = True
) -> Callable[..., int]:
    """Make `emit(builder, *values) -> value`, which appends LLVM code, callable from kernels."""
    result = types.int64 if returns else types.void
    signature = result(*[types.int64] * num_arguments)

    def lower(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        value = emit(builder, *values)
        return value if returns else context.get_dummy_value()

    # numba reads the number of arguments off the function that it is given.
    def define_1(_typing_context: Any, _a: Any) -> Any:
        return signature, lower

    def define_2(_typing_context: Any, _a: Any, _b: Any) -> Any:
        return signature, lower

    def define_3(_typing_context: Any, _a: Any, _b: Any, _c: Any) -> Any:
        return signature, lower

    define = {1: define_1, 2: define_2, 3: define_3}[num_arguments]
    return cast(Callable[..., int], extending.intrinsic(define))


def emit_object(exports: Iterable[Callable[..., int]]) -> tuple[bytes, dict[str, tuple[str, int]]]:
    """Compile kernels, and all that they call, for this machine's processor.

    Returns a relocatable object file, and for the name of each export its symbol and its number of
    arguments. Raises RuntimeError if a kernel could raise, or needs a symbol that is not in the C
    library: such an object would bring down the process that loads it.
    """
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    # One that no kernel calls need not be decorated.
    kernels: list[Any] = [e if hasattr(e, "symbol") else shared(e) for e in exports]
    exported = {kernel.symbol: kernel for kernel in kernels}
    program = llvm.parse_assembly("")
    for kernel in _reachable(exported.values()):
        program.link_in(llvm.parse_assembly(_compile(kernel)))
    for symbol in program.functions:
        if not symbol.is_declaration:
            symbol.linkage = "external" if symbol.name in exported else "internal"
        elif not symbol.name.startswith("llvm.") and symbol.name not in _ALLOWED_SYMBOLS:
            raise RuntimeError(f"a kernel calls {symbol.name}, which no kernel may")
    target = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=3,
        reloc="pic",
        codemodel="default",
    )
    table = {
        kernel.py_func.__name__: (symbol, len(kernel.sig.args))
        for symbol, kernel in exported.items()
    }
    return target.emit_object(program), table


def _reachable(exports: Iterable[Any]) -> list[Any]:
    """Return the shared functions that `exports` and all that they call consist of."""
    found: dict[int, Any] = {}
    waiting = list(exports)
    while waiting:
        kernel = waiting.pop()
        if id(kernel) in found:
            continue
        found[id(kernel)] = kernel
        function = kernel.py_func
        named = (function.__globals__.get(name) for name in function.__code__.co_names)
        waiting += [other for other in named if hasattr(other, "py_func")]
    return [kernel for kernel in found.values() if isinstance(kernel, types.ExternalFunction)]


def _compile(kernel: Any) -> str:
    """Return the LLVM code of a kernel, with a function that has its symbol."""
    dispatcher = _jit(kernel.sig, **_OPTIONS)(kernel.py_func)
    [compiled] = dispatcher.overloads.values()
    body = compiled.library.get_llvm_str()
    # What numba can raise it keeps pickled in a constant of that name.
    if "picklebuf" in body:
        raise RuntimeError(f"kernel {kernel.py_func.__name__} could raise an exception")
    # Its own convention is: status = function(address of result, of exception, arguments...)
    values = [f"i64 %value{index}" for index in range(len(kernel.sig.args))]
    result = "ptr" if kernel.sig.return_type is types.void else "i64"
    call = f'call i32 @"{compiled.fndesc.llvm_func_name}"'
    convert = "" if result == "ptr" else "%value = load i64, ptr %result"
    return f"""{body}
define {"void" if result == "ptr" else "i64"} @{kernel.symbol}({", ".join(values)}) {{
  %result = alloca {result}
  %status = {call}({", ".join(["ptr %result", "ptr null", *values])})
  {convert}
  ret {"void" if result == "ptr" else "i64 %value"}
}}
"""
