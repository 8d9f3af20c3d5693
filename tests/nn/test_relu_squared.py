"""The squared ReLU and its feed-forward network: against torch, and in a model."""

import pytest
import torch
import torch.nn.functional as F

from nn import ModelConfig, ReLUSquaredFFN, TransformerBlock, relu_squared


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_relu_squared_equals_torch(dtype: torch.dtype) -> None:
    x = 5 * torch.randn(3, 5, 7, dtype=dtype)
    assert torch.equal(relu_squared(x), F.relu(x).square())


def test_relu_squared_gradient_is_exact() -> None:
    x = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(relu_squared, x)


def test_ffn_squares_between_its_two_matrices() -> None:
    ffn, x = ReLUSquaredFFN(5, 11), torch.randn(2, 3, 5)
    expected = F.linear(F.relu(F.linear(x, ffn.w1.weight)).square(), ffn.w2.weight)
    torch.testing.assert_close(ffn(x), expected)
    assert sorted(ffn.state_dict()) == ["w1.weight", "w2.weight"]


def test_ffn_is_four_times_as_wide_as_the_model() -> None:
    assert ReLUSquaredFFN(7).w1.weight.shape == (28, 7)


def test_block_has_the_ffn_that_its_config_names() -> None:
    config = ModelConfig(d_model=12, num_heads=3, ffn="relu2")
    ffn = TransformerBlock(config).ffn
    assert isinstance(ffn, ReLUSquaredFFN)
    assert ffn.w1.weight.shape == (48, 12)
