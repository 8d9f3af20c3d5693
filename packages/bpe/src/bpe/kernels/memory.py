"""Loads and stores at addresses, and the bit operations that processors have and Python has not.

Addresses need no alignment. `load8` and `store8` move 8 bytes, little-endian as the machine;
shorter loads fill with zeros. Buffers that kernels read end in `PADDING` bytes that they may read.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from bpe.kernels.compiler import inlined, instruction

_WORD = ir.IntType(64)


def _load(num_bytes: int) -> Callable[..., int]:
    narrow = ir.IntType(8 * num_bytes)

    def emit(builder: Any, address: Any) -> Any:
        value = builder.load(builder.inttoptr(address, narrow.as_pointer()))
        value.align = 1
        return value if num_bytes == 8 else builder.zext(value, _WORD)

    return instruction(emit, 1)


def _store(num_bytes: int) -> Callable[..., int]:
    narrow = ir.IntType(8 * num_bytes)

    def emit(builder: Any, address: Any, value: Any) -> None:
        value = value if num_bytes == 8 else builder.trunc(value, narrow)
        pointer = builder.inttoptr(address, narrow.as_pointer())
        builder.store(value, pointer).align = 1

    return instruction(emit, 2, returns=False)


def _emit_prefetch(builder: Any, address: Any) -> None:
    flag = ir.IntType(32)
    pointer = ir.IntType(8).as_pointer()
    function_type = ir.FunctionType(ir.VoidType(), [pointer, flag, flag, flag])
    name = "llvm.prefetch.p0"
    function = builder.module.globals.get(name) or ir.Function(builder.module, function_type, name)
    # For writing, to be kept in all caches, of data.
    arguments = [flag(1), flag(3), flag(1)]
    builder.call(function, [builder.inttoptr(address, pointer), *arguments])


def _emit_high_product(builder: Any, left: Any, right: Any) -> Any:
    wide = ir.IntType(128)
    product = builder.mul(builder.zext(left, wide), builder.zext(right, wide))
    return builder.trunc(builder.lshr(product, wide(64)), _WORD)


load1 = _load(1)
load2 = _load(2)
load4 = _load(4)
load8 = _load(8)
store1 = _store(1)
store2 = _store(2)
store4 = _store(4)
store8 = _store(8)
prefetch = instruction(_emit_prefetch, 1, returns=False)
# The upper 64 bits of the unsigned 128-bit product.
high_product = instruction(_emit_high_product, 2)
# `>>` of a signed integer copies the sign; this brings in zeros.
shift_right = instruction(lambda builder, value, bits: builder.lshr(value, bits), 2)
unsigned_less = instruction(
    lambda builder, a, b: builder.zext(builder.icmp_unsigned("<", a, b), _WORD), 2
)
count_ones = instruction(lambda builder, value: builder.ctpop(value), 1)
# 64 if no bit is set.
trailing_zeros = instruction(lambda builder, value: builder.cttz(value, ir.IntType(1)(0)), 1)


@inlined
def low_bits(count: int) -> int:
    """Return the mask of the `count` lowest bits, 0 <= count <= 64."""
    return -1 if count >= 64 else (1 << count) - 1
