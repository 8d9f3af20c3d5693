"""`fused_linear_cross_entropy` against torch's product and loss in float64."""

import pytest
import torch
import torch.nn.functional as F
from kernel_accuracy import DTYPES, assert_exact, relative_error
from torch import Tensor

from nn.triton_kernels.linear_cross_entropy import fused_linear_cross_entropy

pytestmark = pytest.mark.gpu


def draw(
    device: torch.device, dtype: torch.dtype = torch.float32, vocab_size: int = 97
) -> tuple[Tensor, Tensor, Tensor]:
    hidden = torch.randn(2, 11, 13, device=device, dtype=dtype)
    weight = torch.randn(vocab_size, 13, device=device, dtype=dtype)
    return hidden, weight, torch.randint(vocab_size, (2, 11), device=device)


def exact_loss(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy((hidden @ weight.T).flatten(0, 1), targets.flatten())


@pytest.mark.parametrize("dtype", DTYPES)
def test_loss_and_gradients_are_exact(device: torch.device, dtype: torch.dtype) -> None:
    hidden, weight, targets = draw(device, dtype)
    assert_exact(
        lambda h, w: fused_linear_cross_entropy(h, w, targets),
        lambda h, w: exact_loss(h, w, targets),
        [hidden, weight],
    )


@pytest.mark.parametrize("tokens", [1, 5, 11, 1000])
def test_the_size_of_a_chunk_changes_nothing(device: torch.device, tokens: int) -> None:
    hidden, weight, targets = draw(device)
    assert_exact(
        lambda h, w: fused_linear_cross_entropy(h, w, targets, chunk_bytes=tokens * 97 * 4),
        lambda h, w: exact_loss(h, w, targets),
        [hidden, weight],
    )


def test_a_vocabulary_longer_than_a_block_is_read_whole(device: torch.device) -> None:
    hidden, weight, targets = draw(device, vocab_size=8209)
    assert_exact(
        lambda h, w: fused_linear_cross_entropy(h, w, targets),
        lambda h, w: exact_loss(h, w, targets),
        [hidden, weight],
    )


def test_a_soft_cap_bends_logits_and_gradients(device: torch.device) -> None:
    hidden, weight, targets = draw(device)

    def exact(hidden: Tensor, weight: Tensor) -> Tensor:
        logits = 5.0 * torch.tanh(hidden @ weight.T / 5.0)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    assert_exact(
        lambda h, w: fused_linear_cross_entropy(h, w, targets, soft_cap=5.0),
        exact,
        [hidden, weight],
    )


def test_logits_in_the_thousands_stay_finite(device: torch.device) -> None:
    hidden, weight, targets = draw(device)
    loss = fused_linear_cross_entropy(hidden * 1000, weight, targets)
    exact = exact_loss(hidden.double() * 1000, weight.double(), targets)
    assert relative_error(loss, exact) < 1e-6


def test_the_loss_alone_is_the_same_loss(device: torch.device) -> None:
    hidden, weight, targets = draw(device)
    with torch.no_grad():
        alone = fused_linear_cross_entropy(hidden.requires_grad_(), weight, targets)
    exact = exact_loss(hidden.double(), weight.double(), targets)
    assert relative_error(alone, exact) < 1e-6


@pytest.mark.parametrize("bad", [-1, 97, 2**40])
def test_a_target_outside_the_vocabulary_makes_the_loss_nan(device: torch.device, bad: int) -> None:
    hidden, weight, targets = draw(device)
    targets[1, 2] = bad
    assert fused_linear_cross_entropy(hidden, weight, targets).isnan()


@pytest.mark.parametrize("soft_cap", [0.0, -1.0])
def test_a_soft_cap_that_is_not_positive_is_refused(device: torch.device, soft_cap: float) -> None:
    with pytest.raises(ValueError, match=r"soft_cap=.* is not a positive number"):
        fused_linear_cross_entropy(*draw(device), soft_cap=soft_cap)


def test_chunks_without_a_byte_are_refused(device: torch.device) -> None:
    with pytest.raises(ValueError, match="chunk_bytes=0 is not positive"):
        fused_linear_cross_entropy(*draw(device), chunk_bytes=0)
