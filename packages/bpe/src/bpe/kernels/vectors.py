"""Compare 64 bytes of text at once; bit i of the result tells of byte `address + i`.

On x86-64 LLVM makes one or two instructions of each function. Elsewhere 16 bytes at a time come
out best, since there is no instruction that gathers 64 comparisons into a word.
"""

import platform
from collections.abc import Callable
from typing import Any

from llvmlite import ir

from bpe.kernels.compiler import instruction

_LANES = 64 if platform.machine().lower() in {"x86_64", "amd64"} else 16
_WORD = ir.IntType(64)
_VECTOR = ir.VectorType(ir.IntType(8), _LANES)


def _constant(value: int) -> Any:
    return ir.Constant(_VECTOR, [value & 0xFF] * _LANES)


def _splat(builder: Any, value: Any) -> Any:
    lane = builder.trunc(value, ir.IntType(8))
    single = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), lane, ir.IntType(32)(0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), _LANES), [0] * _LANES)
    return builder.shuffle_vector(single, ir.Constant(_VECTOR, ir.Undefined), zeros)


def _mask(num_values: int, compare: Callable[..., Any]) -> Callable[..., int]:
    def emit(builder: Any, address: Any, *values: Any) -> Any:
        mask = _WORD(0)
        for offset in range(0, 64, _LANES):
            pointer = builder.inttoptr(builder.add(address, _WORD(offset)), _VECTOR.as_pointer())
            text = builder.load(pointer)
            text.align = 1
            bits = builder.bitcast(compare(builder, text, *values), ir.IntType(_LANES))
            bits = bits if _LANES == 64 else builder.zext(bits, _WORD)
            mask = builder.or_(mask, builder.shl(bits, _WORD(offset)))
        return mask

    return instruction(emit, 1 + num_values)


def _is_letter(builder: Any, text: Any) -> Any:
    lowered = builder.or_(text, _constant(0x20))
    return builder.icmp_unsigned("<", builder.sub(lowered, _constant(ord("a"))), _constant(26))


def _is_in_range(builder: Any, text: Any, first: Any, size: Any) -> Any:
    return builder.icmp_unsigned(
        "<", builder.sub(text, _splat(builder, first)), _splat(builder, size)
    )


# ASCII letters; bytes equal to `byte`; bytes in first, ..., first + size - 1; bytes above 127.
letters = _mask(0, _is_letter)
equals = _mask(
    1, lambda builder, text, byte: builder.icmp_unsigned("==", text, _splat(builder, byte))
)
in_range = _mask(2, _is_in_range)
above_ascii = _mask(0, lambda builder, text: builder.icmp_signed("<", text, _constant(0)))
