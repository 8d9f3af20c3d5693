# mypy: disable-error-code="no-untyped-call"
"""The model on its kernels, in float32, against itself on the plain functions, in float64."""

from typing import Any

import pytest
import torch
from kernel_accuracy import relative_error
from torch.utils._python_dispatch import TorchDispatchMode

from nn import KVCache, ModelConfig, TransformerLM

pytestmark = pytest.mark.gpu

SHAPE: dict[str, Any] = {
    "vocab_size": 97,
    "context_length": 37,
    "d_model": 48,
    "num_layers": 1,
    "num_heads": 3,
    "d_ff": 53,
}


def build(device: torch.device, **choices: Any) -> tuple[TransformerLM, TransformerLM]:
    config = ModelConfig(**SHAPE, **choices)
    model = TransformerLM(config, device=device)
    # No kernel computes in float64: this copy takes the plain functions everywhere.
    plain = TransformerLM(config, device=device, dtype=torch.float64)
    plain.load_state_dict(model.state_dict())
    return model, plain


def draw_ids(device: torch.device, *shape: int) -> torch.Tensor:
    return torch.randint(97, shape, device=device)


class Witness(TorchDispatchMode):
    """Note the names of the operators that run."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.names.add(func.name())
        return func(*args, **kwargs or {})


def test_every_kernel_has_its_place_in_the_model(device: torch.device) -> None:
    model, _ = build(device)
    with Witness() as witness:
        model.loss(draw_ids(device, 2, 5), draw_ids(device, 2, 5))
    kernels = {"flash_attention", "rms_norm", "rope", "silu_product", "linear_cross_entropy"}
    assert {f"groundup::{name}" for name in kernels} <= witness.names


@pytest.mark.parametrize(
    "choices",
    [{}, {"num_kv_heads": 1, "qk_norm": True}, {"position": "none", "norm_placement": "post"}],
    ids=["default", "grouped", "post"],
)
def test_loss_and_gradients_equal_the_plain_ones(
    device: torch.device, choices: dict[str, Any]
) -> None:
    model, plain = build(device, **choices)
    ids, targets = draw_ids(device, 2, 11), draw_ids(device, 2, 11)
    loss, exact = model.loss(ids, targets), plain.loss(ids, targets)
    assert relative_error(loss, exact) < 1e-6
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    exact_gradients = torch.autograd.grad(exact, list(plain.parameters()))
    for (name, _), gradient, exact_gradient in zip(
        model.named_parameters(), gradients, exact_gradients, strict=True
    ):
        assert relative_error(gradient, exact_gradient) < 1e-5, name


@pytest.mark.parametrize("batch", [(), (2, 3)])
def test_logits_equal_the_plain_ones_for_any_batch(
    device: torch.device, batch: tuple[int, ...]
) -> None:
    model, plain = build(device)
    ids = draw_ids(device, *batch, 11)
    assert relative_error(model(ids), plain(ids)) < 1e-6


def test_a_mask_falls_back_to_the_plain_attention(device: torch.device) -> None:
    model, plain = build(device)
    ids = draw_ids(device, 2, 11)
    mask = torch.rand(2, 11, 11, device=device) < 0.7
    assert relative_error(model(ids, mask=mask), plain(ids, mask=mask)) < 1e-6


def test_a_cache_fed_in_pieces_gives_what_the_whole_gives(device: torch.device) -> None:
    model, plain = build(device, num_kv_heads=1)
    ids = draw_ids(device, 2, 17)
    cache = KVCache(model.config, 2, device=device)
    with torch.no_grad():
        pieces = [model(part, cache) for part in torch.split(ids, [11, 1, 5], dim=1)]
    assert relative_error(torch.cat(pieces, dim=1), plain(ids)) < 1e-6


@pytest.mark.long
def test_the_compiled_loss_is_the_same_loss(device: torch.device) -> None:
    model, _ = build(device)
    ids, targets = draw_ids(device, 2, 13), draw_ids(device, 2, 13)
    torch.compiler.reset()
    compiled = torch.compile(model.loss, fullgraph=True, backend="aot_eager")
    expected = model.loss(ids, targets).double()
    assert relative_error(compiled(ids, targets), expected) < 1e-6
