"""The product by oneDNN: which it takes, and that it is a product in every setting."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.utils.checkpoint import checkpoint

import nn.fused.linear as fused
from nn import linear
from nn.fused.linear import onednn_linear
from nn.triton_kernels import selection

LARGE = torch.Size((512, 512))


def by_onednn(x: Tensor, weight: Tensor) -> Tensor:
    return onednn_linear(x, weight)


def plain(x: Tensor, weight: Tensor) -> Tensor:
    return x @ weight.T


def gradients(function: Callable[..., Tensor], *inputs: Tensor) -> list[Tensor]:
    y = function(*inputs)
    return [y, *torch.autograd.grad(y.sin().sum(), inputs)]


@pytest.mark.parametrize("batch", [(), (1,), (7,), (2, 3), (2, 1, 5)])
def test_product_and_gradients_equal_the_plain_ones(batch: tuple[int, ...]) -> None:
    x = torch.randn(*batch, 5, requires_grad=True)
    weight = torch.randn(7, 5, requires_grad=True)
    for actual, expected in zip(
        gradients(by_onednn, x, weight), gradients(plain, x, weight), strict=True
    ):
        torch.testing.assert_close(actual, expected)
        assert actual.is_contiguous()


def test_factors_may_be_views() -> None:
    x = torch.randn(5, 2, 3, requires_grad=True).transpose(0, 2)
    weight = torch.randn(5, 14, requires_grad=True)[:, ::2].T
    for actual, expected in zip(
        gradients(by_onednn, x, weight), gradients(plain, x, weight), strict=True
    ):
        torch.testing.assert_close(actual, expected)


def test_derivatives_are_right_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "_multiply", plain)  # oneDNN has no float64.
    x = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(7, 5, dtype=torch.float64, requires_grad=True)
    assert gradcheck(fused._Linear.apply, (x, weight))
    assert gradgradcheck(fused._Linear.apply, (x, weight))


@pytest.mark.parametrize("wanted", [0, 1])
def test_one_gradient_alone_can_be_had(wanted: int) -> None:
    inputs = [torch.randn(3, 5), torch.randn(7, 5)]
    inputs[wanted].requires_grad_()
    (actual,) = torch.autograd.grad(by_onednn(*inputs).sin().sum(), inputs[wanted])
    (expected,) = torch.autograd.grad(plain(*inputs).sin().sum(), inputs[wanted])
    torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.long)])
def test_product_compiles_in_one_graph(backend: str) -> None:
    x, weight = torch.randn(2, 3, 5, requires_grad=True), torch.randn(7, 5, requires_grad=True)
    torch.compiler.reset()
    compiled = torch.compile(by_onednn, fullgraph=True, backend=backend)
    for actual, expected in zip(
        gradients(compiled, x, weight), gradients(plain, x, weight), strict=True
    ):
        torch.testing.assert_close(actual, expected)


def test_checkpointing_and_accumulation_change_nothing() -> None:
    x, weight = torch.randn(3, 5, requires_grad=True), torch.randn(7, 5, requires_grad=True)
    once = gradients(by_onednn, x, weight)
    again = gradients(lambda *args: checkpoint(by_onednn, *args, use_reentrant=False), x, weight)
    for actual, expected in zip(again, once, strict=True):
        assert torch.equal(actual, expected)
    for _ in range(2):
        torch.autograd.backward(by_onednn(x, weight).sin().sum())
    for leaf, gradient in zip((x, weight), once[1:], strict=True):
        assert leaf.grad is not None
        torch.testing.assert_close(leaf.grad, 2 * gradient)


def test_function_transforms_pass_through() -> None:
    x, weight = torch.randn(4, 3, 5), torch.randn(7, 5)

    def total(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        return lambda x, weight: function(x, weight).sin().sum()

    each = torch.func.vmap(torch.func.grad(total(by_onednn), argnums=1), in_dims=(0, None))
    expected = torch.func.vmap(torch.func.grad(total(plain), argnums=1), in_dims=(0, None))
    torch.testing.assert_close(each(x, weight), expected(x, weight))


def serves(rows: int = 1, weights: int = LARGE.numel(), **choices: Any) -> bool:
    given = {"device": torch.device("cpu"), "dtype": torch.float32, **choices}
    return selection.onednn_serves(rows=rows, weights=weights, **given)


@pytest.mark.parametrize(
    ("rows", "weights", "expected"),
    [
        (1, 2**18, True),  # a large weight, whatever the rows
        (2**11, 2**13, True),  # many rows, whatever the weight
        (2**11 - 1, 2**13, False),
        (1, 2**18 - 1, False),
        (0, 2**18, False),
    ],
)
def test_large_products_are_taken(rows: int, weights: int, expected: bool) -> None:
    assert serves(rows, weights) == expected


@pytest.mark.parametrize(
    "choices",
    [{"dtype": torch.float64}, {"dtype": torch.bfloat16}, {"device": torch.device("meta")}],
)
def test_other_dtypes_and_devices_are_left_to_torch(choices: dict[str, Any]) -> None:
    assert serves()
    assert not serves(**choices)


def test_factors_of_two_dtypes_are_refused() -> None:
    with pytest.raises(RuntimeError, match="same dtype"):
        linear(torch.zeros(1, 512), torch.zeros(LARGE, dtype=torch.bfloat16))


def test_autocast_is_left_to_torch() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert not serves()
        assert linear(torch.zeros(1, 512), torch.zeros(LARGE)).dtype == torch.bfloat16


@pytest.mark.parametrize(("name", "value"), [("_HAS_ONEDNN", False), ("SETTING", "reference")])
def test_it_can_be_missing_or_unwanted(
    monkeypatch: pytest.MonkeyPatch, name: str, value: bool | str
) -> None:
    monkeypatch.setattr(selection, name, value)
    assert not serves()
    assert linear(torch.zeros(1, 512), torch.zeros(LARGE)).shape == (1, 512)


def test_linear_calls_it_for_a_large_product(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "_multiply", lambda a, b: plain(a, b) + 1.0)
    assert torch.equal(linear(torch.zeros(1, 512), torch.zeros(LARGE)), torch.ones(1, 512))
    assert torch.equal(linear(torch.zeros(1, 51), torch.zeros(51, 51)), torch.zeros(1, 51))
