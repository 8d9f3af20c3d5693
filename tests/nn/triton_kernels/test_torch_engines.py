"""Every kernel works inside what torch builds round it: compile, autocast, checkpointing."""

from collections.abc import Callable

import pytest
import torch
from kernel_accuracy import relative_error
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from nn.triton_kernels.flash_attention import flash_attention
from nn.triton_kernels.linear_cross_entropy import fused_linear_cross_entropy
from nn.triton_kernels.rms_norm import fused_rms_norm
from nn.triton_kernels.rope import fused_rope
from nn.triton_kernels.swiglu import fused_silu_product

pytestmark = pytest.mark.gpu


def all_kernels(x: Tensor, weight: Tensor, table: Tensor, targets: Tensor) -> Tensor:
    """Chain the kernels as a model does; x is (batch, heads, seq, d)."""
    normed = fused_rms_norm(x, weight[0])
    q, k = fused_rope(normed, normed, table.cos(), table.sin())
    gated = fused_silu_product(flash_attention(q, k, normed), x)
    return fused_linear_cross_entropy(gated, weight, targets)


def draw(device: torch.device) -> list[Tensor]:
    x = torch.randn(1, 2, 7, 16, device=device, requires_grad=True)
    weight = torch.randn(23, 16, device=device, requires_grad=True)
    return [
        x,
        weight,
        torch.randn(7, 8, device=device),
        torch.randint(23, (1, 2, 7), device=device),
    ]


def loss_and_gradients(function: Callable[..., Tensor], inputs: list[Tensor]) -> list[Tensor]:
    loss = function(*inputs)
    return [loss, *torch.autograd.grad(loss, inputs[:2])]


def test_compiling_whole_changes_nothing(device: torch.device) -> None:
    inputs = draw(device)
    # All wrappers of `contract` share one code object, which dynamo remembers.
    torch.compiler.reset()
    compiled = torch.compile(all_kernels, fullgraph=True, backend="aot_eager")
    for actual, expected in zip(
        loss_and_gradients(compiled, inputs), loss_and_gradients(all_kernels, inputs), strict=True
    ):
        assert relative_error(actual, expected.double()) < 1e-6


def test_checkpointing_changes_nothing(device: torch.device) -> None:
    inputs = draw(device)
    recomputed = loss_and_gradients(
        lambda *args: checkpoint(all_kernels, *args, use_reentrant=False), inputs
    )
    for actual, expected in zip(recomputed, loss_and_gradients(all_kernels, inputs), strict=True):
        assert torch.equal(actual, expected)


def test_gradients_accumulate(device: torch.device) -> None:
    inputs = draw(device)
    _, once, _ = loss_and_gradients(all_kernels, inputs)
    for _ in range(2):
        torch.autograd.backward(all_kernels(*inputs))
    assert inputs[0].grad is not None
    assert relative_error(inputs[0].grad, 2 * once.double()) < 1e-6


def test_autocast_multiplies_in_its_dtype_and_returns_gradients_in_float32(
    device: torch.device,
) -> None:
    x, weight, _, targets = draw(device)

    def products(x: Tensor, weight: Tensor) -> Tensor:
        return fused_linear_cross_entropy(flash_attention(x, x, x), weight, targets)

    full = loss_and_gradients(products, [x, weight])
    with torch.autocast(device.type, dtype=torch.bfloat16):
        assert flash_attention(x, x, x).dtype == torch.bfloat16
        rounded = loss_and_gradients(products, [x, weight])
    for actual, expected in zip(rounded, full, strict=True):
        assert actual.dtype == torch.float32
        assert 0 < relative_error(actual, expected.double()) < 1e-2


# The check itself looks at the gradients of tensors that are no leaves.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize(
    "name",
    [
        "flash_attention",
        "rms_norm",
        "rope",
        "silu_product",
        "linear_cross_entropy",
    ],
)
def test_registration_is_whole(device: torch.device, name: str) -> None:
    x = torch.randn(1, 2, 5, 16, device=device, requires_grad=True)
    rows = x.detach()[0, 0].requires_grad_()
    weight = torch.randn(7, 16, device=device, requires_grad=True)
    table = torch.randn(5, 8, device=device)
    targets = torch.randint(7, (5,), device=device)
    arguments = {
        "flash_attention": (x, x, x, True, 0.25),
        "rms_norm": (x, weight[0].detach().requires_grad_(), 1e-5),
        "rope": (x, x, table.cos(), table.sin(), False),
        "silu_product": (x, x),
        "linear_cross_entropy": (rows, weight, targets, 0.0, 3, True),
    }
    torch.library.opcheck(getattr(torch.ops.groundup, name), arguments[name])
