# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
"""The forward kernel of `flash_attention`, and how all three kernels cut up their work.

Each program holds one block of rows still and streams blocks of the other side past it:

                 keys ->
               +------+------+------+   forward_kernel: a program per block of queries
       queries | part |      |      |     o = softmax(q k^T) v, and log2 of each row's total
          |    +------+------+------+   grad_q_kernel: a program per block of queries
          v    | full | part |      |     delta = sum(o do), dq = ds k
               +------+------+------+   grad_kv_kernel: a program per block of keys, over all
               | full | full | part |     the query heads that share them
               +------+------+------+     dv = p^T do, dk = ds^T q

Blocks above the diagonal are never visited; only those that it crosses, or that reach past the last
key ("part"), compare positions. Scores are in units of log 2, so that the hardware's exp2 does the
exponentials: `scale` is the attention's scale times log2(e).

Tensors are (batch, heads, tokens, d_head); `strides` are those of the first three axes, the last is
1. Products take their operands in the tensors' dtype and add up in float32.
"""

import triton
import triton.language as tl


@triton.jit
def load_rows(base, rows, num_rows, stride, D: tl.constexpr, BLOCK_D: tl.constexpr):
    """Read rows of D numbers; those past the end, and columns past D, are zeros."""
    columns = tl.arange(0, BLOCK_D)
    inside = (rows < num_rows)[:, None]
    if BLOCK_D != D:
        inside = inside & (columns < D)[None, :]
    return tl.load(base + rows[:, None] * stride + columns[None, :], mask=inside, other=0.0)


@triton.jit
def store_rows(base, rows, num_rows, stride, values, D: tl.constexpr, BLOCK_D: tl.constexpr):
    """Write what `load_rows` would read, in the dtype of the memory."""
    columns = tl.arange(0, BLOCK_D)
    inside = (rows < num_rows)[:, None]
    if BLOCK_D != D:
        inside = inside & (columns < D)[None, :]
    pointers = base + rows[:, None] * stride + columns[None, :]
    tl.store(pointers, values.to(base.dtype.element_ty), mask=inside)


@triton.jit
def place(blocks, heads):
    """Return the block, batch and head of this program."""
    # One axis of programs, since the others end at 65,535. 64 bits: batch times stride passes 2^31.
    head = tl.program_id(0) // blocks
    return tl.program_id(0) % blocks, (head // heads).to(tl.int64), (head % heads).to(tl.int64)


@triton.jit
def key_range(block, queries, keys, BLOCK_Q, BLOCK_K, CAUSAL: tl.constexpr):
    """Return full and end: key blocks in [0, full) are seen whole, those in [full, end) in part."""
    full = keys
    end = keys
    if CAUSAL:
        ahead = keys - queries
        full = tl.maximum(tl.minimum(keys, block * BLOCK_Q + 1 + ahead), 0)
        end = tl.maximum(tl.minimum(keys, (block + 1) * BLOCK_Q + ahead), 0)
    return full // BLOCK_K * BLOCK_K, end


@triton.jit
def hide(scores, rows, columns, queries, keys, CAUSAL: tl.constexpr):
    """Put -inf where a query may not look. The last query is level with the last key."""
    visible = columns < keys
    if CAUSAL:
        visible = visible & (columns <= rows + (keys - queries))
    return tl.where(visible, scores, -float("inf"))


@triton.jit
def forward_kernel(
    q_pointer,
    k_pointer,
    v_pointer,
    out_pointer,
    log_total_pointer,
    q_strides,
    k_strides,
    v_strides,
    out_strides,
    kv_heads,
    group,
    queries,
    keys,
    scale,
    CAUSAL: tl.constexpr,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_Q: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """Write one block of the output, and log2 of each row's sum of exponentials."""
    # The longest rows of the triangle start first.
    block, batch, head = place(tl.cdiv(queries, BLOCK_Q), kv_heads * group)
    block = tl.cdiv(queries, BLOCK_Q) - 1 - block
    q_base = q_pointer + batch * q_strides[0] + head * q_strides[1]
    k_base = k_pointer + batch * k_strides[0] + head // group * k_strides[1]
    v_base = v_pointer + batch * v_strides[0] + head // group * v_strides[1]
    rows = block * BLOCK_Q + tl.arange(0, BLOCK_Q)
    q = load_rows(q_base, rows, queries, q_strides[2], D, BLOCK_D)

    out = tl.zeros((BLOCK_Q, BLOCK_D), dtype=tl.float32)
    total = tl.zeros((BLOCK_Q,), dtype=tl.float32)
    largest = tl.full((BLOCK_Q,), -float("inf"), dtype=tl.float32)
    full, end = key_range(block, queries, keys, BLOCK_Q, BLOCK_K, CAUSAL)
    for part in tl.static_range(2):
        for start in range(full if part else 0, end if part else full, BLOCK_K):
            columns = start + tl.arange(0, BLOCK_K)
            k = load_rows(k_base, columns, keys, k_strides[2], D, BLOCK_D)
            scores = tl.dot(q, tl.trans(k), input_precision="ieee")
            if part:
                scores = hide(scores, rows[:, None], columns[None, :], queries, keys, CAUSAL)
            grown = tl.maximum(largest, tl.max(scores, 1) * scale)
            # A row that has seen nothing yet has -inf here, and -inf - (-inf) would be NaN.
            shift = tl.where(grown == -float("inf"), 0.0, grown)
            shrink = tl.exp2(largest - shift)
            numerators = tl.exp2(scores * scale - shift[:, None])
            total = total * shrink + tl.sum(numerators, 1)
            v = load_rows(v_base, columns, keys, v_strides[2], D, BLOCK_D)
            out = tl.dot(numerators.to(v.dtype), v, out * shrink[:, None], input_precision="ieee")
            largest = grown

    # A row that sees nothing is zeros, and its +inf makes its probabilities 0 in the backward pass.
    blind = total == 0.0
    total = tl.where(blind, 1.0, total)
    log_total = tl.where(blind, float("inf"), largest + tl.log2(total))
    log_base = log_total_pointer + (batch * kv_heads * group + head) * queries
    tl.store(log_base + rows, log_total, mask=rows < queries)
    out_base = out_pointer + batch * out_strides[0] + head * out_strides[1]
    store_rows(out_base, rows, queries, out_strides[2], out / total[:, None], D, BLOCK_D)
