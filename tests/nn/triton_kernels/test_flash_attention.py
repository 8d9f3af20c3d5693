"""`flash_attention` against torch's attention in float64, and what it promises besides."""

import pytest
import torch
import torch.nn.functional as F
from kernel_accuracy import DTYPES, assert_exact, relative_error
from torch import Tensor

from nn.triton_kernels.flash_attention import flash_attention

pytestmark = pytest.mark.gpu


def exact_attention(q: Tensor, k: Tensor, v: Tensor, *, causal: bool = True) -> Tensor:
    queries, keys = q.shape[2], k.shape[2]
    mask = torch.ones(queries, keys, dtype=torch.bool, device=q.device)
    mask = mask.tril(keys - queries) if causal else mask
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)
    # torch leaves the rows that see nothing to the implementation; ours are zeros.
    return out.where(mask.any(-1)[:, None], 0.0)


def draw(
    device: torch.device,
    *,
    batch: int = 1,
    kv_heads: int = 1,
    group: int = 1,
    queries: int = 37,
    keys: int | None = None,
    d_head: int = 16,
    dtype: torch.dtype = torch.float32,
) -> list[Tensor]:
    keys = queries if keys is None else keys
    shapes = [(kv_heads * group, queries), (kv_heads, keys), (kv_heads, keys)]
    return [
        torch.randn(batch, heads, tokens, d_head, device=device, dtype=dtype)
        for heads, tokens in shapes
    ]


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_equals_the_exact_result(device: torch.device, dtype: torch.dtype) -> None:
    inputs = draw(device, queries=37, dtype=dtype)
    assert_exact(flash_attention, exact_attention, inputs)


@pytest.mark.parametrize("d_head", [17, 48, 128])
def test_every_head_size_equals_the_exact_result(device: torch.device, d_head: int) -> None:
    assert_exact(flash_attention, exact_attention, draw(device, queries=41, d_head=d_head))


@pytest.mark.parametrize("length", [1, 32, 71])
def test_every_length_equals_the_exact_result(device: torch.device, length: int) -> None:
    assert_exact(flash_attention, exact_attention, draw(device, queries=length))


@pytest.mark.parametrize(("kv_heads", "group"), [(1, 3), (3, 2)])
def test_groups_of_query_heads_share_a_key_head(
    device: torch.device, kv_heads: int, group: int
) -> None:
    inputs = draw(device, kv_heads=kv_heads, group=group, queries=19)
    assert_exact(flash_attention, exact_attention, inputs)


@pytest.mark.parametrize(("queries", "keys"), [(1, 53), (19, 43)])
def test_the_last_query_is_level_with_the_last_key(
    device: torch.device, queries: int, keys: int
) -> None:
    inputs = draw(device, queries=queries, keys=keys)
    assert_exact(flash_attention, exact_attention, inputs)


@pytest.mark.parametrize(("queries", "keys"), [(43, 19), (53, 1)])
def test_a_query_that_sees_nothing_gives_zeros(
    device: torch.device, queries: int, keys: int
) -> None:
    inputs = draw(device, queries=queries, keys=keys)
    assert (flash_attention(*inputs)[:, :, : queries - keys] == 0).all()
    assert_exact(flash_attention, exact_attention, inputs)


@pytest.mark.parametrize(("queries", "keys"), [(29, 43), (43, 29)])
def test_without_causality_every_query_sees_every_key(
    device: torch.device, queries: int, keys: int
) -> None:
    assert_exact(
        lambda q, k, v: flash_attention(q, k, v, causal=False),
        lambda q, k, v: exact_attention(q, k, v, causal=False),
        draw(device, queries=queries, keys=keys),
    )


def test_the_future_does_not_change_the_past(device: torch.device) -> None:
    q, k, v = draw(device, queries=53)
    before = flash_attention(q, k, v)
    k[:, :, 29:], v[:, :, 29:] = 1e4, -1e4
    assert torch.equal(flash_attention(q, k, v)[:, :, :29], before[:, :, :29])


def test_scores_in_the_thousands_neither_overflow_nor_vanish(device: torch.device) -> None:
    q, k, v = draw(device, queries=41)
    out = flash_attention(q * 100, k * 100, v)
    exact = exact_attention(q.double() * 100, k.double() * 100, v.double())
    # A float32 score of 10,000 is itself only known to 0.001.
    assert relative_error(out, exact) < 1e-3


def test_another_scale_is_taken_as_it_is(device: torch.device) -> None:
    q, k, v = draw(device, d_head=24)
    exact = exact_attention(q.double() * 0.3 * 24**0.5, k.double(), v.double())
    assert relative_error(flash_attention(q, k, v, scale=0.3), exact) < 1e-6


def test_heads_may_be_views_of_a_joined_projection(device: torch.device) -> None:
    joined = torch.randn(2, 37, 3, 2, 16, device=device)
    views = [joined[:, :, i].transpose(1, 2) for i in range(3)]
    assert_exact(flash_attention, exact_attention, views)


def test_a_gradient_without_strides_is_read_right(device: torch.device) -> None:
    inputs = [x.requires_grad_() for x in draw(device, queries=19)]
    # The gradient of a sum is one number, seen everywhere.
    gradients = torch.autograd.grad(flash_attention(*inputs).sum(), inputs)
    exact_inputs = [x.detach().double().requires_grad_() for x in inputs]
    exact = torch.autograd.grad(exact_attention(*exact_inputs).sum(), exact_inputs)
    assert relative_error(gradients[2], exact[2]) < 1e-6


def test_the_output_joins_its_heads_without_a_copy(device: torch.device) -> None:
    out = flash_attention(*draw(device, batch=2, kv_heads=3))
    assert out.transpose(1, 2).is_contiguous()


def test_two_runs_give_the_same_bits(device: torch.device) -> None:
    inputs = [x.requires_grad_() for x in draw(device, queries=37)]
    runs = [torch.autograd.grad(flash_attention(*inputs).square().sum(), inputs) for _ in "ab"]
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 1, 5, 8), "d_head=8 is outside 16..128"),
        ((1, 1, 5, 129), "d_head=129 is outside 16..128"),
    ],
)
def test_a_head_size_outside_the_range_is_refused(
    device: torch.device, shape: tuple[int, ...], message: str
) -> None:
    x = torch.randn(shape, device=device)
    with pytest.raises(ValueError, match=message):
        flash_attention(x, x, x)


def test_heads_that_do_not_divide_are_refused(device: torch.device) -> None:
    q, k = torch.randn(1, 5, 7, 16, device=device), torch.randn(1, 2, 7, 16, device=device)
    with pytest.raises(ValueError, match="heads=5 is not divisible by kv_heads=2"):
        flash_attention(q, k, k)


def test_float64_is_refused(device: torch.device) -> None:
    x = torch.randn(1, 1, 7, 16, device=device, dtype=torch.float64)
    with pytest.raises(ValueError, match="not in float64"):
        flash_attention(x, x, x)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("inf"), float("nan")])
def test_a_scale_that_is_no_positive_number_is_refused(device: torch.device, scale: float) -> None:
    x = torch.randn(1, 1, 7, 16, device=device)
    with pytest.raises(ValueError, match=r"scale=.* is not a positive number"):
        flash_attention(x, x, x, scale=scale)
