# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
"""The backward kernels of `flash_attention`; `flash_attention_kernels` draws how they divide it."""

import triton
import triton.language as tl

from nn.triton_kernels.flash_attention_kernels import hide, key_range, load_rows, place, store_rows


@triton.jit
def grad_q_kernel(
    q_pointer,
    k_pointer,
    v_pointer,
    out_pointer,
    grad_out_pointer,
    log_total_pointer,
    delta_pointer,
    grad_q_pointer,
    q_strides,
    k_strides,
    v_strides,
    out_strides,
    grad_out_strides,
    grad_q_strides,
    kv_heads,
    group,
    queries,
    keys,
    scale,
    grad_scale,
    CAUSAL: tl.constexpr,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_Q: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """Write one block of dq, and delta of its rows, which `grad_kv_kernel` reads."""
    block, batch, head = place(tl.cdiv(queries, BLOCK_Q), kv_heads * group)
    block = tl.cdiv(queries, BLOCK_Q) - 1 - block
    q_base = q_pointer + batch * q_strides[0] + head * q_strides[1]
    k_base = k_pointer + batch * k_strides[0] + head // group * k_strides[1]
    v_base = v_pointer + batch * v_strides[0] + head // group * v_strides[1]
    out_base = out_pointer + batch * out_strides[0] + head * out_strides[1]
    grad_out_base = grad_out_pointer + batch * grad_out_strides[0] + head * grad_out_strides[1]
    rows = block * BLOCK_Q + tl.arange(0, BLOCK_Q)
    q = load_rows(q_base, rows, queries, q_strides[2], D, BLOCK_D)
    out = load_rows(out_base, rows, queries, out_strides[2], D, BLOCK_D)
    grad_out = load_rows(grad_out_base, rows, queries, grad_out_strides[2], D, BLOCK_D)

    delta = tl.sum(out.to(tl.float32) * grad_out.to(tl.float32), 1)
    row_base = (batch * kv_heads * group + head) * queries
    tl.store(delta_pointer + row_base + rows, delta, mask=rows < queries)
    log_total = tl.load(log_total_pointer + row_base + rows, mask=rows < queries, other=0.0)

    grad_q = tl.zeros((BLOCK_Q, BLOCK_D), dtype=tl.float32)
    full, end = key_range(block, queries, keys, BLOCK_Q, BLOCK_K, CAUSAL)
    for part in tl.static_range(2):
        for start in range(full if part else 0, end if part else full, BLOCK_K):
            columns = start + tl.arange(0, BLOCK_K)
            k = load_rows(k_base, columns, keys, k_strides[2], D, BLOCK_D)
            v = load_rows(v_base, columns, keys, v_strides[2], D, BLOCK_D)
            scores = tl.dot(q, tl.trans(k), input_precision="ieee")
            if part:
                scores = hide(scores, rows[:, None], columns[None, :], queries, keys, CAUSAL)
            p = tl.exp2(scores * scale - log_total[:, None])
            dp = tl.dot(grad_out, tl.trans(v), input_precision="ieee")
            ds = p * (dp - delta[:, None])
            grad_q = tl.dot(ds.to(k.dtype), k, grad_q, input_precision="ieee")

    grad_q_base = grad_q_pointer + batch * grad_q_strides[0] + head * grad_q_strides[1]
    store_rows(grad_q_base, rows, queries, grad_q_strides[2], grad_q * grad_scale, D, BLOCK_D)


@triton.jit
def grad_kv_kernel(
    q_pointer,
    k_pointer,
    v_pointer,
    grad_out_pointer,
    log_total_pointer,
    delta_pointer,
    grad_k_pointer,
    grad_v_pointer,
    q_strides,
    k_strides,
    v_strides,
    grad_out_strides,
    grad_kv_strides,
    kv_heads,
    group,
    queries,
    keys,
    scale,
    grad_scale,
    CAUSAL: tl.constexpr,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_Q: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """Write one block of dk and dv, summed over the query heads of the group."""
    # Early keys are seen by the most queries, and come first as they are.
    block, batch, kv_head = place(tl.cdiv(keys, BLOCK_K), kv_heads)
    k_base = k_pointer + batch * k_strides[0] + kv_head * k_strides[1]
    v_base = v_pointer + batch * v_strides[0] + kv_head * v_strides[1]
    columns = block * BLOCK_K + tl.arange(0, BLOCK_K)
    k = load_rows(k_base, columns, keys, k_strides[2], D, BLOCK_D)
    v = load_rows(v_base, columns, keys, v_strides[2], D, BLOCK_D)

    # Query blocks that start in [first, full) see these keys in part, later ones whole.
    first = 0
    full = 0
    if CAUSAL:
        ahead = keys - queries
        first = tl.maximum(block * BLOCK_K - ahead, 0) // BLOCK_Q * BLOCK_Q
        full = tl.cdiv(tl.maximum((block + 1) * BLOCK_K - 1 - ahead, 0), BLOCK_Q) * BLOCK_Q
        full = tl.minimum(full, queries)

    grad_k = tl.zeros((BLOCK_K, BLOCK_D), dtype=tl.float32)
    grad_v = tl.zeros((BLOCK_K, BLOCK_D), dtype=tl.float32)
    for member in range(group):
        head = kv_head * group + member
        q_base = q_pointer + batch * q_strides[0] + head * q_strides[1]
        grad_out_base = grad_out_pointer + batch * grad_out_strides[0] + head * grad_out_strides[1]
        row_base = (batch * kv_heads * group + head) * queries
        for part in tl.static_range(2):
            for start in range(
                full if part == 0 else first, queries if part == 0 else full, BLOCK_Q
            ):
                rows = start + tl.arange(0, BLOCK_Q)
                q = load_rows(q_base, rows, queries, q_strides[2], D, BLOCK_D)
                grad_out = load_rows(grad_out_base, rows, queries, grad_out_strides[2], D, BLOCK_D)
                inside = rows < queries
                # Rows past the end have a grad_out of zeros: they add nothing.
                log_total = tl.load(log_total_pointer + row_base + rows, mask=inside, other=0.0)
                delta = tl.load(delta_pointer + row_base + rows, mask=inside, other=0.0)
                # Transposed, so that no product needs its left operand turned.
                scores = tl.dot(k, tl.trans(q), input_precision="ieee")
                if part:
                    scores = hide(scores, rows[None, :], columns[:, None], queries, keys, CAUSAL)
                p = tl.exp2(scores * scale - log_total[None, :])
                grad_v = tl.dot(p.to(k.dtype), grad_out, grad_v, input_precision="ieee")
                dp = tl.dot(v, tl.trans(grad_out), input_precision="ieee")
                ds = p * (dp - delta[None, :])
                grad_k = tl.dot(ds.to(k.dtype), q, grad_k, input_precision="ieee")

    grad_k_base = grad_k_pointer + batch * grad_kv_strides[0] + kv_head * grad_kv_strides[1]
    grad_v_base = grad_v_pointer + batch * grad_kv_strides[0] + kv_head * grad_kv_strides[1]
    store_rows(grad_k_base, columns, keys, grad_kv_strides[2], grad_k * grad_scale, D, BLOCK_D)
    store_rows(grad_v_base, columns, keys, grad_kv_strides[2], grad_v, D, BLOCK_D)
