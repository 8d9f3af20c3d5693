"""`fused_rms_norm` against torch in float64."""

import pytest
import torch
import torch.nn.functional as F
from kernel_accuracy import DTYPES, assert_exact, relative_error
from torch import Tensor

from nn.triton_kernels.rms_norm import fused_rms_norm

pytestmark = pytest.mark.gpu


def exact_norm(x: Tensor, weight: Tensor) -> Tensor:
    return F.rms_norm(x, weight.shape, weight, eps=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_equals_the_exact_result(device: torch.device, dtype: torch.dtype) -> None:
    x = torch.randn(5, 7, 17, device=device, dtype=dtype)
    assert_exact(fused_rms_norm, exact_norm, [x, torch.randn(17, device=device, dtype=dtype)])


@pytest.mark.parametrize("shape", [(3,), (4099, 5), (7, 4099)])
def test_every_shape_equals_the_exact_result(device: torch.device, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, device=device)
    assert_exact(fused_rms_norm, exact_norm, [x, torch.randn(shape[-1], device=device)])


def test_a_gain_in_float32_serves_rows_in_bfloat16(device: torch.device) -> None:
    x = torch.randn(11, 13, device=device, dtype=torch.bfloat16, requires_grad=True)
    weight = torch.randn(13, device=device, requires_grad=True)
    y = fused_rms_norm(x, weight)
    assert y.dtype == torch.bfloat16
    gradients = torch.autograd.grad(y.sum(), [x, weight])
    assert [gradient.dtype for gradient in gradients] == [torch.bfloat16, torch.float32]


def test_rows_may_lie_apart(device: torch.device) -> None:
    x = torch.randn(5, 7, 29, device=device)[..., 3:20]
    assert_exact(fused_rms_norm, exact_norm, [x, torch.randn(17, device=device)])


def test_eps_is_added_to_the_mean_square(device: torch.device) -> None:
    x, weight = torch.randn(5, 7, device=device), torch.ones(7, device=device)
    exact = F.rms_norm(x.double(), (7,), weight.double(), eps=0.5)
    assert relative_error(fused_rms_norm(x, weight, eps=0.5), exact) < 1e-6


def test_a_row_wider_than_the_registers_is_refused(device: torch.device) -> None:
    x = torch.randn(1, 16_411, device=device)
    with pytest.raises(ValueError, match="d_model=16411 is above 16384"):
        fused_rms_norm(x, x[0])
