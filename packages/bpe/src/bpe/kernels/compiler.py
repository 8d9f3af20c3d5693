"""Turn Python functions on plain integers into machine code: three decorators and one emitter.

Everything in a kernel is a signed 64-bit integer: addresses, lengths, counts, bit masks, hashes.
With one type no operation can be promoted to floating point, as numba does for int64 with uint64.
Only exported functions can be called from Python; `@inlined` and `@shared` ones only from others.

This module imports numba, which takes half a second, so `library` imports it, and the kernels that
need it, only when the compiled object is not in the cache.
"""

import inspect
from collections.abc import Callable, Sequence
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
    """Make `function` a routine that kernels may call: for code that is large or seldom runs."""
    return cast(F, _jit(**_OPTIONS)(function))


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


def emit_object(functions: Sequence[Callable[..., int]]) -> bytes:
    """Compile `functions` for this machine's processor into one relocatable object file.

    Each is exported under its own name; it takes and returns 64-bit integers by the C convention.
    Raises RuntimeError if one of them could raise, or needs a symbol that is not in the C library:
    such an object would bring down the process that loads it.
    """
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    program = llvm.parse_assembly("")
    for function in functions:
        program.link_in(llvm.parse_assembly(_compile(function)))
    exports = {function.__name__ for function in functions}
    for symbol in program.functions:
        if not symbol.is_declaration:
            symbol.linkage = "external" if symbol.name in exports else "internal"
        elif not symbol.name.startswith("llvm.") and symbol.name not in _ALLOWED_SYMBOLS:
            raise RuntimeError(f"a kernel calls {symbol.name}, which no kernel may")
    target = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=3,
        reloc="pic",
        codemodel="default",
    )
    return cast(bytes, target.emit_object(program))


def _compile(function: Callable[..., int]) -> str:
    num_arguments = len(inspect.signature(function).parameters)
    signature = types.int64(*[types.int64] * num_arguments)
    dispatcher = _jit(signature, **_OPTIONS)(function)
    [compiled] = dispatcher.overloads.values()
    body = compiled.library.get_llvm_str()
    name = compiled.fndesc.llvm_func_name
    # What numba can raise it keeps pickled in a constant of that name.
    if "picklebuf" in body:
        raise RuntimeError(f"kernel {function.__name__} could raise an exception")
    # Its own convention is: status = function(address of result, of exception, arguments...)
    values = [f"i64 %value{index}" for index in range(num_arguments)]
    return f"""{body}
define i64 @{function.__name__}({", ".join(values)}) {{
  %result = alloca i64
  %status = call i32 @"{name}"({", ".join(["ptr %result", "ptr null", *values])})
  %value = load i64, ptr %result
  ret i64 %value
}}
"""
