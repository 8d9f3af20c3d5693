"""`linear` and `Linear`: the product, any batch axes, and how the weight begins."""

import math

import pytest
import torch
import torch.nn.functional as F
from jaxtyping import TypeCheckError

from nn import Linear, linear


@pytest.mark.parametrize("batch", [(), (2,), (2, 3), (2, 3, 11)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_linear_equals_torch(batch: tuple[int, ...], dtype: torch.dtype) -> None:
    x, weight = torch.randn(*batch, 5, dtype=dtype), torch.randn(7, 5, dtype=dtype)
    torch.testing.assert_close(linear(x, weight), F.linear(x, weight))


def test_linear_refuses_a_weight_of_another_width() -> None:
    with pytest.raises(TypeCheckError, match="d_in"):
        linear(torch.randn(3, 5), torch.randn(7, 11))


def test_linear_weight_starts_with_the_stated_variance() -> None:
    weight = Linear(307, 503, generator=torch.Generator().manual_seed(0)).weight.detach()
    # Cutting at 3 sigma takes 1.3 percent off the standard deviation.
    assert float(weight.std()) == pytest.approx(0.9866 * math.sqrt(2 / (307 + 503)), rel=5e-3)


def test_linear_weight_lies_within_three_sigma() -> None:
    weight = Linear(307, 503, generator=torch.Generator().manual_seed(0)).weight.detach()
    largest = float(weight.abs().max()) / math.sqrt(2 / (307 + 503))
    assert 2.9 < largest <= 3.0


def test_linear_has_no_bias() -> None:
    assert [name for name, _ in Linear(5, 7).named_parameters()] == ["weight"]


@pytest.mark.parametrize("batch", [(), (1,), (1, 1), (2,), (2, 3), (7,)])
def test_linear_without_gradients_equals_torch_for_few_rows(batch: tuple[int, ...]) -> None:
    x, weight = torch.randn(*batch, 251), torch.randn(263, 251)
    with torch.inference_mode():
        product = linear(x, weight)
    torch.testing.assert_close(product, F.linear(x, weight))
    assert product.is_contiguous()
