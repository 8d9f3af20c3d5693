"""AdamW against `torch.optim.AdamW`, and against its own per-tensor reference."""

import io
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Linear, Parameter

from optim import AdamW

# The last is larger than one CPU block, and not a multiple of it.
SHAPES = [(3, 5), (7,), (2, 11, 13), (), (263, 1009)]


def parameters(
    shapes: list[tuple[int, ...]], dtype: torch.dtype = torch.float32
) -> list[Parameter]:
    generator = torch.Generator().manual_seed(17)
    return [Parameter(torch.randn(shape, generator=generator).to(dtype)) for shape in shapes]


def set_gradients(params: list[Parameter], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for p in params:
        p.grad = torch.randn(p.shape, generator=generator).to(p.dtype)


def run(optimizer: torch.optim.Optimizer, params: list[Parameter], steps: range) -> None:
    for step in steps:
        set_gradients(params, step)
        optimizer.step()


FOREACH, ONE_BY_ONE, FUSED = {"foreach": True}, {"foreach": False}, {"fused": True}


@pytest.mark.parametrize(
    ("way", "weight_decay"),
    [(FOREACH, 0.0), (FOREACH, 0.3), (ONE_BY_ONE, 0.0), (ONE_BY_ONE, 0.3), (FUSED, 0.3)],
)
def test_adamw_equals_torch_over_many_steps(way: dict[str, Any], weight_decay: float) -> None:
    settings: dict[str, Any] = {"lr": 3e-3, "betas": (0.8, 0.99), "weight_decay": weight_decay}
    ours, theirs = parameters(SHAPES), parameters(SHAPES)
    run(AdamW(ours, **way, **settings), ours, range(17))
    run(torch.optim.AdamW(theirs, **settings), theirs, range(17))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


def test_defaults_equal_those_of_torch() -> None:
    ours, theirs = parameters(SHAPES[:3]), parameters(SHAPES[:3])
    run(AdamW(ours), ours, range(7))
    run(torch.optim.AdamW(theirs), theirs, range(7))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-7)


def test_whole_groups_equal_the_reference_in_float64() -> None:
    fast, plain = parameters(SHAPES, torch.float64), parameters(SHAPES, torch.float64)
    run(AdamW(fast), fast, range(11))
    run(AdamW(plain, foreach=False), plain, range(11))
    for a, b in zip(fast, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("way", [FOREACH, ONE_BY_ONE, FUSED])
def test_bfloat16_parameter_is_a_float32_update_rounded_once(way: dict[str, Any]) -> None:
    """The oracle is torch in float32, its parameter rounded to bfloat16 after each step."""
    ours = parameters([(11, 13)], torch.bfloat16)
    exact = [Parameter(ours[0].detach().float())]
    a, b = AdamW(ours, lr=0.02, **way), torch.optim.AdamW(exact, lr=0.02)
    for step in range(23):
        set_gradients(ours, step)
        assert ours[0].grad is not None
        exact[0].grad = ours[0].grad.float()
        a.step()
        b.step()
        exact[0].data = exact[0].data.bfloat16().float()
    assert torch.equal(ours[0].float(), exact[0])


def test_state_of_a_bfloat16_parameter_is_float32() -> None:
    params = parameters([(3, 5)], torch.bfloat16)
    optimizer = AdamW(params)
    run(optimizer, params, range(1))
    assert optimizer.state[params[0]]["exp_avg_sq"].dtype == torch.float32


def test_group_settings_win_over_the_defaults() -> None:
    def build(cls: Callable[..., torch.optim.Optimizer], params: list[Parameter]) -> Any:
        groups = [
            {"params": params[:1], "lr": 0.1, "betas": (0.5, 0.6)},
            {"params": params[1:2], "weight_decay": 0.7},
            {"params": params[2:3], "eps": 0.1},
        ]
        return cls(groups, lr=0.01)

    ours, theirs = parameters(SHAPES[:3]), parameters(SHAPES[:3])
    run(build(AdamW, ours), ours, range(5))
    run(build(torch.optim.AdamW, theirs), theirs, range(5))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("way", [FOREACH, FUSED])
def test_transposed_parameter_larger_than_a_block_is_updated(way: dict[str, Any]) -> None:
    params = [Parameter(torch.ones(1009, 263).t())]
    theirs = [Parameter(torch.ones(263, 1009))]
    run(AdamW(params, **way), params, range(2))
    run(torch.optim.AdamW(theirs), theirs, range(2))
    torch.testing.assert_close(params[0], theirs[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("way", [FOREACH, ONE_BY_ONE, FUSED])
def test_graph_from_before_the_update_is_refused_by_autograd(way: dict[str, Any]) -> None:
    (weight,) = params = parameters([(3, 5)])
    loss = weight.square().sum()
    run(AdamW(params, **way), params, range(1))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.backward(loss)


def test_parameter_without_gradient_stays_and_has_no_state() -> None:
    params = parameters([(3,), (5,)])
    before = params[1].detach().clone()
    optimizer = AdamW(params, weight_decay=0.5)
    params[0].grad = torch.ones(3)
    optimizer.step()
    assert torch.equal(params[1], before)
    assert params[1] not in optimizer.state


def test_late_gradient_starts_its_own_bias_correction() -> None:
    ours, theirs = parameters([(3,), (5,)]), parameters([(3,), (5,)])
    for cls, params in ((AdamW, ours), (torch.optim.AdamW, theirs)):
        optimizer = cls(params, lr=0.1)
        run(optimizer, params[:1], range(4))
        run(optimizer, params, range(3))
    torch.testing.assert_close(ours[1], theirs[1], rtol=1e-6, atol=1e-6)


def test_zero_gradients_only_decay() -> None:
    params = [Parameter(torch.full((5,), 2.0))]
    params[0].grad = torch.zeros(5)
    AdamW(params, lr=0.5, weight_decay=0.2).step()
    torch.testing.assert_close(params[0].detach(), torch.full((5,), 1.8))


def test_resume_from_state_dict_is_bitwise_identical() -> None:
    straight, cut = parameters(SHAPES, torch.bfloat16), parameters(SHAPES, torch.bfloat16)
    run(AdamW(straight, lr=0.02), straight, range(9))
    first = AdamW(cut, lr=0.02)
    run(first, cut, range(4))
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = AdamW(cut)
    second.load_state_dict(torch.load(file, weights_only=True))
    run(second, cut, range(4, 9))
    for a, b in zip(straight, cut, strict=True):
        assert torch.equal(a, b)


def test_loaded_state_is_a_copy() -> None:
    params = parameters([(3,)])
    first = AdamW(params)
    run(first, params, range(1))
    before = first.state[params[0]]["exp_avg"].clone()
    second = AdamW(params)
    second.load_state_dict(first.state_dict())
    run(second, params, range(1, 3))
    assert torch.equal(first.state[params[0]]["exp_avg"], before)


@pytest.mark.parametrize(
    ("first", "second"), [(AdamW, torch.optim.AdamW), (torch.optim.AdamW, AdamW)]
)
def test_state_dicts_are_exchangeable_with_torch(
    first: Callable[..., torch.optim.Optimizer], second: Callable[..., torch.optim.Optimizer]
) -> None:
    straight, cut = parameters(SHAPES[:3]), parameters(SHAPES[:3])
    run(torch.optim.AdamW(straight, lr=0.02), straight, range(9))
    before = first(cut, lr=0.02)
    run(before, cut, range(4))
    after = second(cut)
    after.load_state_dict(before.state_dict())
    run(after, cut, range(4, 9))
    for a, b in zip(straight, cut, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


def test_state_of_another_model_is_refused_before_anything_changes() -> None:
    small, large = parameters([(3, 5)]), parameters([(7, 5)])
    source, target = AdamW(small), AdamW(large, lr=0.5)
    run(source, small, range(1))
    with pytest.raises(ValueError, match=r"'exp_avg' of parameter 0 has shape \(3, 5\)"):
        target.load_state_dict(source.state_dict())
    assert target.param_groups[0]["lr"] == 0.5


def test_closure_loss_is_returned_and_used() -> None:
    layer = Linear(3, 2)
    optimizer = AdamW(layer.parameters(), lr=0.1)
    before = layer.weight.detach().clone()

    def closure() -> float:
        optimizer.zero_grad()
        loss: Tensor = layer(torch.ones(3)).square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.item()

    expected = layer(torch.ones(3)).square().sum().item()
    assert optimizer.step(closure) == pytest.approx(expected)
    assert not torch.equal(layer.weight, before)


def test_sparse_gradient_is_refused_before_any_update() -> None:
    params = parameters([(3,), (5, 2)])
    before = params[0].detach().clone()
    params[0].grad = torch.ones(3)
    params[1].grad = torch.ones(5, 2).to_sparse()
    with pytest.raises(ValueError, match="parameter 'table' is sparse"):
        AdamW([("bias", params[0]), ("table", params[1])]).step()
    assert torch.equal(params[0], before)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": -0.1}, r"^lr=-0.1 must be a finite number, at least 0$"),
        ({"lr": float("nan")}, r"^lr=nan must be"),
        ({"betas": (1.0, 0.9)}, r"^betas\[0\]=1.0 must be in \[0, 1\)$"),
        ({"betas": (0.9, -0.1)}, r"^betas\[1\]=-0.1 must be"),
        ({"betas": (0.9,)}, r"^betas=\(0.9,\) must be two numbers"),
        ({"eps": -1e-8}, r"^eps=-1e-08 must be"),
        ({"weight_decay": float("inf")}, r"^weight_decay=inf must be"),
    ],
)
def test_bad_setting_is_refused_by_name(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AdamW(parameters([(3,)]), **settings)


def test_bad_setting_of_a_group_is_refused() -> None:
    with pytest.raises(ValueError, match="lr=-1"):
        AdamW([{"params": parameters([(3,)]), "lr": -1}])


def test_refused_group_is_not_added() -> None:
    optimizer = AdamW(parameters([(3,)]))
    with pytest.raises(ValueError, match=r"has dtype torch\.complex64"):
        optimizer.add_param_group({"params": [Parameter(torch.ones(2, dtype=torch.complex64))]})
    assert len(optimizer.param_groups) == 1


def test_adamw_finds_the_minimum_of_a_convex_function() -> None:
    target = torch.tensor([1.0, -2.0, 3.0])
    weight = Parameter(torch.zeros(3))
    optimizer = AdamW([weight], lr=0.05, weight_decay=0.0)
    for _ in range(300):
        optimizer.zero_grad()
        loss: Tensor = (weight - target).square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    torch.testing.assert_close(weight.detach(), target, rtol=0, atol=1e-3)


def test_optimizer_does_not_wait_for_the_compiler() -> None:
    program = """
import sys
import torch
from optim import AdamW
parameter = torch.nn.Parameter(torch.ones(3))
optimizer = AdamW([parameter])
parameter.sum().backward()
optimizer.step()
optimizer.zero_grad()
optimizer.load_state_dict(optimizer.state_dict())
sys.exit("torch._dynamo" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
