"""`fused_rope` against the plain rotation in float64."""

import pytest
import torch
from kernel_accuracy import DTYPES, assert_exact
from torch import Tensor

from nn import rope
from nn.triton_kernels.rope import fused_rope

pytestmark = pytest.mark.gpu


def tables(device: torch.device, seq: int, half: int) -> tuple[Tensor, Tensor]:
    angles = torch.randn(seq, half, device=device, dtype=torch.float64)
    return angles.cos(), angles.sin()


@pytest.mark.parametrize(
    ("dtype", "kv_heads", "d_k"), list(zip(DTYPES, (5, 2, 3), (6, 16, 34), strict=True))
)
def test_queries_and_keys_turn_exactly(
    device: torch.device, dtype: torch.dtype, kv_heads: int, d_k: int
) -> None:
    batch, heads, seq = 3, 5, 31
    # Heads as the model has them: views of token-major projections.
    q = torch.randn(batch, seq, heads, d_k, device=device, dtype=dtype).transpose(1, 2)
    k = torch.randn(batch, seq, kv_heads, d_k, device=device, dtype=dtype).transpose(1, 2)
    cos, sin = tables(device, seq, d_k // 2)

    def both(turned: tuple[Tensor, Tensor]) -> Tensor:
        return torch.cat(turned, dim=1)

    assert_exact(
        lambda q, k: both(fused_rope(q, k, cos.float(), sin.float())),
        lambda q, k: both((rope(q, cos, sin), rope(k, cos, sin))),
        [q, k],
    )


def test_heads_may_be_first_in_memory(device: torch.device) -> None:
    q, k = torch.randn(2, 3, 5, 8, device=device), torch.randn(2, 3, 5, 8, device=device)
    cos, sin = tables(device, 5, 4)
    assert_exact(
        lambda q, k: torch.add(*fused_rope(q, k, cos.float(), sin.float())),
        lambda q, k: rope(q, cos, sin) + rope(k, cos, sin),
        [q, k],
    )


def test_results_join_their_heads_without_a_copy(device: torch.device) -> None:
    q, k = torch.randn(2, 3, 5, 8, device=device), torch.randn(2, 1, 5, 8, device=device)
    cos, sin = (table.float() for table in tables(device, 5, 4))
    assert all(x.transpose(1, 2).is_contiguous() for x in fused_rope(q, k, cos, sin))


def test_tables_of_another_width_are_refused(device: torch.device) -> None:
    q = torch.randn(2, 3, 5, 8, device=device)
    cos, sin = (table.float() for table in tables(device, 5, 3))
    with pytest.raises(ValueError, match="tables of width 3 do not turn heads of 8"):
        fused_rope(q, q, cos, sin)
