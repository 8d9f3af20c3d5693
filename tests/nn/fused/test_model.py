"""The functions for speed in their places: which serve when, and the whole model on them."""

import subprocess
import sys
from typing import Any

import pytest
import torch
from kernel_accuracy import relative_error
from torch.utils.checkpoint import checkpoint

import nn.triton_kernels.selection
from nn import ModelConfig, TransformerLM
from nn.triton_kernels.selection import fused_serves

CPU = torch.device("cpu")
# Twice through a norm, a gate, attention with RoPE and the loss.
SECOND_DERIVATIVE = """
import torch
from nn import ModelConfig, TransformerLM
config = ModelConfig(vocab_size=11, context_length=5, d_model=6, num_layers=1, num_heads=3, d_ff=7)
model = TransformerLM(config, generator=torch.Generator().manual_seed(0))
ids = torch.arange(5)
loss = model.loss(ids, ids)
gradients = torch.autograd.grad(loss, list(model.parameters()), create_graph=True)
torch.autograd.backward(sum(gradient.square().sum() for gradient in gradients))
print(all(parameter.grad.isfinite().all() for parameter in model.parameters()))
"""


def build(**choices: Any) -> TransformerLM:
    shape = {"vocab_size": 53, "context_length": 71, "d_model": 12, "num_layers": 2, "d_ff": 7}
    config = ModelConfig(**{"num_heads": 3, **shape, **choices})
    return TransformerLM(config, generator=torch.Generator().manual_seed(0))


@pytest.fixture(params=["MKL", "oneDNN"])
def products(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have all products done by the one, and then by the other; they are shared out by size."""
    if request.param == "oneDNN":
        monkeypatch.setattr(nn.triton_kernels.selection, "_LARGE_WEIGHT", 1)


def draw_ids(*shape: int) -> torch.Tensor:
    return torch.randint(53, shape)


@pytest.mark.parametrize(
    ("device", "dtype", "serves"),
    [
        ("cpu", torch.float32, True),
        ("cpu", torch.bfloat16, True),
        ("cpu", torch.float64, False),
        ("meta", torch.float32, False),
        ("cuda", torch.float32, False),
    ],
)
def test_they_serve_the_cpu_and_leave_float64(
    device: str, dtype: torch.dtype, serves: bool
) -> None:
    assert fused_serves(torch.device(device), dtype) == serves


def test_what_the_compiler_fuses_is_left_to_it() -> None:
    def serves(x: torch.Tensor, fusible: bool) -> torch.Tensor:
        return x + fused_serves(CPU, torch.float32, fusible=fusible)

    compiled = torch.compile(serves, backend="eager", fullgraph=True)
    answers = [
        int(f(torch.zeros(()), fusible)) for f in (serves, compiled) for fusible in (False, True)
    ]
    assert answers == [1, 1, 1, 0]


@pytest.mark.parametrize(("setting", "works"), [("reference", True), ("auto", False)])
def test_reference_brings_functions_that_can_be_differentiated_twice(
    monkeypatch: pytest.MonkeyPatch, setting: str, works: bool
) -> None:
    monkeypatch.setenv("NN_KERNELS", setting)
    finished = subprocess.run(
        [sys.executable, "-c", SECOND_DERIVATIVE], capture_output=True, text=True, check=False
    )
    assert (finished.stdout == "True\n") == works, finished.stderr
    assert ("differentiate twice" in finished.stderr) != works


@pytest.mark.usefixtures("products")
@pytest.mark.parametrize(
    "choices",
    [{}, {"num_kv_heads": 1, "qk_norm": True}, {"norm_placement": "post", "position": "none"}],
    ids=["default", "grouped", "post"],
)
def test_loss_and_gradients_of_a_model_equal_the_plain_ones(choices: dict[str, Any]) -> None:
    model, plain = build(**choices), build(**choices).double()
    ids, targets = draw_ids(2, 71), draw_ids(2, 71)
    loss, exact = model.loss(ids, targets), plain.loss(ids, targets)
    assert relative_error(loss, exact) < 1e-6
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    exact_gradients = torch.autograd.grad(exact, list(plain.parameters()))
    for (name, _), gradient, expected in zip(
        model.named_parameters(), gradients, exact_gradients, strict=True
    ):
        assert relative_error(gradient, expected) < 1e-5, name


@pytest.mark.usefixtures("products")
def test_two_steps_from_one_seed_give_the_same_bits() -> None:
    def gradients() -> list[torch.Tensor]:
        model = build()
        ids = torch.arange(2 * 67).view(2, 67) % 53
        return list(torch.autograd.grad(model.loss(ids, ids), list(model.parameters())))

    for first, second in zip(gradients(), gradients(), strict=True):
        assert torch.equal(first, second)


@pytest.mark.usefixtures("products")
def test_the_whole_loss_compiles_in_one_graph() -> None:
    model = build()
    ids, targets = draw_ids(2, 13), draw_ids(2, 13)
    expected = torch.autograd.grad(model.loss(ids, targets), list(model.parameters()))
    torch.compiler.reset()
    compiled = torch.compile(model.loss, fullgraph=True, backend="aot_eager")
    actual = torch.autograd.grad(compiled(ids, targets), list(model.parameters()))
    for one, other in zip(actual, expected, strict=True):
        assert relative_error(one, other.double()) < 1e-5


@pytest.mark.usefixtures("products")
def test_checkpointed_blocks_give_the_same_gradients() -> None:
    model = build()
    x = torch.randn(2, 13, 12, requires_grad=True)
    (expected,) = torch.autograd.grad(model.layers[0](x).square().sum(), x)
    recomputed = checkpoint(model.layers[0], x, use_reentrant=False)
    (actual,) = torch.autograd.grad(recomputed.square().sum(), x)
    assert torch.equal(actual, expected)
