"""Look at 16 ranks of 4 bytes at once, and at the bits of words from above."""

from typing import Any

from llvmlite import ir

from bpe.kernels.compiler import inlined, instruction
from bpe.kernels.memory import low_bits

LANES = 16
_WORD = ir.IntType(64)
_LANE = ir.IntType(32)
_VECTOR = ir.VectorType(_LANE, LANES)


def _ranks(builder: Any, address: Any) -> Any:
    value = builder.load(builder.inttoptr(address, _VECTOR.as_pointer()))
    value.align = 4
    return value


def _emit_lowest(builder: Any, address: Any) -> Any:
    name = f"llvm.vector.reduce.umin.v{LANES}i32"
    function_type = ir.FunctionType(_LANE, [_VECTOR])
    function = builder.module.globals.get(name) or ir.Function(builder.module, function_type, name)
    return builder.zext(builder.call(function, [_ranks(builder, address)]), _WORD)


def _emit_equals(builder: Any, address: Any, rank: Any) -> Any:
    lane = builder.trunc(rank, _LANE)
    single = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), lane, _LANE(0))
    zeros = ir.Constant(_VECTOR, [0] * LANES)
    wanted = builder.shuffle_vector(single, ir.Constant(_VECTOR, ir.Undefined), zeros)
    found = builder.icmp_unsigned("==", _ranks(builder, address), wanted)
    return builder.zext(builder.bitcast(found, ir.IntType(LANES)), _WORD)


# The lowest of 16 ranks; bit i is set if rank i is the wanted one.
lowest_rank = instruction(_emit_lowest, 1)
equal_ranks = instruction(_emit_equals, 2)
# 64 if no bit is set.
_leading_zeros = instruction(lambda builder, value: builder.ctlz(value, ir.IntType(1)(0)), 1)


@inlined
def last_bit_before(mask: int, bit: int) -> int:
    """Return the highest bit that is set below `bit`, -1 if there is none."""
    return 63 - _leading_zeros(mask & low_bits(bit))
