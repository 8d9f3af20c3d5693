# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
"""Causal attention block by block, without the masked half and without keeping probabilities.

Scores are taken to base 2, as 2^x costs a third of e^x. With c = log2(e) / sqrt(d), for query i and
the keys j that it may see,

    s_ij = c q_i.k_j    L_i = log2 sum_j 2^(s_ij)    p_ij = 2^(s_ij - L_i)    o_i = sum_j p_ij v_j

Kept for the backward pass are q, k, v, o and L; p is computed again. With do, the gradient of o,

    dv_j = sum_i p_ij do_i              dp_ij = do_i.v_j
    ds_ij = p_ij (dp_ij - do_i.o_i)     by the softmax's derivative: sum_j p_ij dp_ij = do_i.o_i
    dq_i = sum_j ds_ij k_j / sqrt(d)    dk_j = sum_i ds_ij q_i / sqrt(d)

A few heads are worked at a time, and of those a block of queries, against the keys up to its last
query only:

    queries  +--+                      The scores of a block lie in one buffer that every block
             |//|__                    uses again, small enough to stay in the cache from the
             |/////|__                 product that writes them to the one that reads them. Only
             +--------+  keys          the square on the diagonal needs a mask.

With documents, a block is taken against the keys from the first one on that any of its queries
sees: the shorter the documents, the fewer. A second mask hides the rest of what the queries of
later documents do not see.

Outputs and gradients lie in memory as (batch, tokens, heads, d): heads join without a copy.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from contracts import contract
from nn.documents import document_begins

_LOG2_E = 1.0 / math.log(2.0)
# Queries of a block, and for each thread the heads at a time and the scores at most: with fewer,
# threads wait for each other, with more, the copies of heads become memory that has to be mapped.
_QUERIES = 64
_HEADS = 16
_SCORES = 2**20

_Part = tuple[slice, slice]


@contract
def cpu_causal_attention(
    q: Float[Tensor, "batch heads queries d"],
    k: Float[Tensor, "batch kv_heads keys d"],
    v: Float[Tensor, "batch kv_heads keys d"],
    documents: Int[Tensor, "batch keys"] | None = None,
) -> Float[Tensor, "batch heads queries d"]:
    """Compute `causal_attention`: in float32 at least inside, in the dtype of `v` outside.

    More queries than keys (with `documents`, another number of them), heads that do not divide, or
    documents whose numbers fall, raise ValueError.
    """
    if q.shape[2] > k.shape[2]:
        raise ValueError(f"queries={q.shape[2]} are more than keys={k.shape[2]}")
    if q.shape[1] % k.shape[1] != 0:
        raise ValueError(f"heads={q.shape[1]} is not divisible by kv_heads={k.shape[1]}")
    if documents is not None and q.shape[2] != k.shape[2]:
        raise ValueError(f"documents need as many queries={q.shape[2]} as keys={k.shape[2]}")
    if torch.compiler.is_compiling():
        out: Tensor = _attend_opaquely(q, k, v, documents)[0]
    else:
        out = _Attention.apply(q, k, v, documents)
    return out


def _attend(q: Tensor, k: Tensor, v: Tensor, documents: Tensor | None) -> tuple[Tensor, Tensor]:
    out, log_total = _new_outputs(q, v)
    begins = None if documents is None else document_begins(documents)
    group = q.shape[1] // k.shape[1]
    future = log_total.new_full((_QUERIES, _QUERIES), -math.inf).triu_(1)
    with torch.autocast("cpu", enabled=False):
        for part, kv_part in _parts(q, k):
            queries = _scaled(q[part], _LOG2_E / math.sqrt(q.shape[3]))
            keys, values = _shared(k[kv_part], group), _shared(v[kv_part], group)
            buffer = _new_buffer(queries, keys)
            for block, seen, bias in _blocks(q, k, begins, part):
                query, key = queries[:, block], keys[:, seen]
                scores = _shape(buffer, query.shape[:2], key.shape[1])
                torch.bmm(query, key.mT, out=scores)
                square = scores[:, :, -query.shape[1] :]
                square += future[: query.shape[1], : query.shape[1]]
                _add(scores, bias)
                largest = scores.amax(-1, keepdim=True)
                total = scores.sub_(largest).exp2_().sum(-1, keepdim=True)
                averages = torch.bmm(scores, values[:, seen]).div_(total)
                _place(averages, out[part][:, :, block])
                _place(largest.add_(total.log2_()), log_total[part][:, :, block])
    return out, log_total


def _differentiate(
    grad_out: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    documents: Tensor | None,
    out: Tensor,
    log_total: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    grad_q, grad_k, grad_v = _token_major(q), _token_major(k), _token_major(v)
    begins = None if documents is None else document_begins(documents)
    group = q.shape[1] // k.shape[1]
    scale = 1.0 / math.sqrt(q.shape[3])
    with torch.autocast("cpu", enabled=False):
        for part, kv_part in _parts(q, k):
            queries = _scaled(q[part], _LOG2_E * scale)
            keys, values = _shared(k[kv_part], group), _shared(v[kv_part], group)
            grads = _flat(grad_out[part])
            below_dp = (grads * _flat(out[part])).sum(-1, keepdim=True).neg_()
            below_s = _flat(log_total[part]).neg()
            grad_keys, grad_values = torch.zeros_like(keys), torch.zeros_like(values)
            p_buffer, ds_buffer = _new_buffer(queries, keys), _new_buffer(queries, keys)
            sum_buffer = keys.new_empty(keys.numel())
            for block, seen, bias in _blocks(q, k, begins, part):
                query, key, grad = queries[:, block], keys[:, seen], grads[:, block]
                p = _shape(p_buffer, query.shape[:2], key.shape[1])
                torch.baddbmm(below_s[:, block], query, key.mT, out=p)
                _add(p, bias)
                p.exp2_()[:, :, -query.shape[1] :].tril_()
                over_queries = _shape(sum_buffer, key.shape[:2], key.shape[2])
                grad_values[:, seen] += torch.bmm(p.mT, grad, out=over_queries)
                ds = _shape(ds_buffer, query.shape[:2], key.shape[1])
                torch.baddbmm(below_dp[:, block], grad, values[:, seen].mT, out=ds).mul_(p)
                grad_keys[:, seen] += torch.bmm(ds.mT, query, out=over_queries)
                _place(torch.bmm(ds, key).mul_(scale), grad_q[part][:, :, block])
            # The queries here are c q, and c is 1/sqrt(d) times log2(e).
            _place_shared(grad_keys.div_(_LOG2_E), grad_k[kv_part], group)
            _place_shared(grad_values, grad_v[kv_part], group)
    return grad_q, grad_k, grad_v


class _Attention(Function):
    """The two passes as one function of eager mode."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, documents: Tensor | None) -> Tensor:
        out, log_total = _attend(q, k, v, documents)
        ctx.save_for_backward(q, k, v, documents, out, log_total)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        return *_differentiate(grad_out, *ctx.saved_tensors), None


# The compiler is not to look inside: it would unroll the loops, and give every block a buffer. In
# eager mode these would work as well, but the first call of one loads the compiler.
_attend_opaquely = torch.library.custom_op("groundup::causal_attention", mutates_args=())(_attend)
_differentiate_opaquely = torch.library.custom_op(
    "groundup::causal_attention_backward", mutates_args=()
)(_differentiate)


@_attend_opaquely.register_fake
def _(q: Tensor, k: Tensor, v: Tensor, documents: Tensor | None) -> tuple[Tensor, Tensor]:
    return _new_outputs(q, v)


@_differentiate_opaquely.register_fake
def _(
    grad_out: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    documents: Tensor | None,
    out: Tensor,
    log_total: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    return _token_major(q), _token_major(k), _token_major(v)


def _save(ctx: Any, inputs: tuple[Tensor | None, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs, *output)


def _backward(ctx: Any, grad_out: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    return *_differentiate_opaquely(grad_out, *ctx.saved_tensors), None


_attend_opaquely.register_autograd(_backward, setup_context=_save)


def _parts(q: Tensor, k: Tensor) -> Iterator[tuple[_Part, _Part]]:
    """Yield batch elements and heads of `q`, and of `k`, whose blocks of scores fit the cache."""
    batch, heads, queries, _ = q.shape
    group = heads // k.shape[1]
    scores = max(1, min(_QUERIES, queries) * k.shape[2])
    at_once = min(_HEADS, _SCORES // scores) * torch.get_num_threads()
    if at_once >= heads:
        step = at_once // heads
        for begin in range(0, batch, step):
            part = slice(begin, begin + step), slice(None)
            yield part, part
        return
    step = max(1, at_once // group)
    for element in range(batch):
        for begin in range(0, k.shape[1], step):
            one, end = slice(element, element + 1), begin + step
            yield (one, slice(begin * group, end * group)), (one, slice(begin, end))


def _blocks(
    q: Tensor, k: Tensor, begins: Tensor | None, part: _Part
) -> Iterator[tuple[slice, slice, Tensor | None]]:
    """Yield blocks of queries, the keys that any of a block sees, and what to add to scores.

    That is -inf where a key belongs to an earlier document than the query, None where none does.
    """
    queries = q.shape[2]
    for begin in range(0, queries, _QUERIES):
        end = min(begin + _QUERIES, queries)
        block, last = slice(begin, end), end + k.shape[2] - queries
        if begins is None:
            yield block, slice(0, last), None
            continue
        firsts = begins[part[0], block, None]
        first = int(firsts.min())
        hidden = torch.arange(first, last) < firsts
        bias = torch.zeros(hidden.shape).masked_fill_(hidden, -math.inf) if hidden.any() else None
        yield block, slice(first, last), bias


def _add(scores: Tensor, bias: Tensor | None) -> None:
    """Add to each batch element's scores what it has for all of its heads."""
    if bias is not None:
        # Many times faster than to fill: torch does not vectorize a mask that is broadcast.
        scores.unflatten(0, (len(bias), -1)).add_(bias.unsqueeze(1))


def _flat(part: Tensor) -> Tensor:
    """Join batch and heads, in float32 at least."""
    return part.flatten(0, 1).to(torch.promote_types(part.dtype, torch.float32))


def _scaled(part: Tensor, scale: float) -> Tensor:
    """Do as `_flat`, times `scale`, in one pass."""
    wide = part.to(torch.promote_types(part.dtype, torch.float32))
    return torch.mul(wide, scale, out=wide.new_empty(wide.shape)).flatten(0, 1)


def _shared(part: Tensor, group: int) -> Tensor:
    """Do as `_flat`, with a copy of each key head for every query head of its group."""
    return _flat(part if group == 1 else part.repeat_interleave(group, dim=1))


def _place(values: Tensor, place: Tensor) -> None:
    place.copy_(values.view(place.shape))


def _place_shared(values: Tensor, place: Tensor, group: int) -> None:
    if group > 1:
        values = values.unflatten(0, (-1, group)).sum(1)
    _place(values, place)


def _new_buffer(queries: Tensor, keys: Tensor) -> Tensor:
    return keys.new_empty(queries.shape[0] * min(_QUERIES, queries.shape[1]) * keys.shape[1])


def _shape(buffer: Tensor, rows: tuple[int, ...], columns: int) -> Tensor:
    """Return the front of `buffer` as a tensor without gaps, as products want to write it."""
    return buffer[: math.prod(rows) * columns].view(*rows, columns)


def _new_outputs(q: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    wide = torch.promote_types(q.dtype, torch.float32)
    return _token_major(q, v.dtype), q.new_empty((*q.shape[:3], 1), dtype=wide)


def _token_major(x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    batch, heads, tokens, d = x.shape
    return x.new_empty((batch, tokens, heads, d), dtype=dtype).transpose(1, 2)
