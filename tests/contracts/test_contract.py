"""`contract`: checks every eager call, vanishes under torch.compile and under JAXTYPING_DISABLE."""

import os
import subprocess
import sys
from typing import Literal

import pytest
import torch
from jaxtyping import Float, Int, TypeCheckError
from torch import Tensor

from contracts import contract


@contract
def outer(x: Float[Tensor, " rows"], y: Float[Tensor, " columns"]) -> Float[Tensor, "rows columns"]:
    """Multiply every element of `x` by every element of `y`."""
    return x[:, None] * y[None, :]


@contract
def double(x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
    return x * 2


@contract
def transposed_by_mistake(x: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
    return x.T


def test_contract_passes_a_call_that_keeps_it() -> None:
    product = outer(torch.ones(3), torch.arange(5.0))
    assert product.shape == (3, 5)
    assert torch.equal(product[2], torch.arange(5.0))


def test_contract_refuses_a_wrong_number_of_axes() -> None:
    with pytest.raises(TypeCheckError, match="x"):
        outer(torch.ones(3, 2), torch.ones(5))


def test_contract_refuses_a_wrong_dtype() -> None:
    with pytest.raises(TypeCheckError, match="i64"):
        double(torch.arange(7))


def test_contract_refuses_a_wrong_result() -> None:
    with pytest.raises(TypeCheckError, match="return"):
        transposed_by_mistake(torch.ones(3, 5))


def test_contract_binds_one_name_to_one_size() -> None:
    @contract
    def add(x: Float[Tensor, " n"], y: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        return x + y

    assert add(torch.ones(3), torch.ones(3, dtype=torch.int64)).tolist() == [2.0, 2.0, 2.0]
    with pytest.raises(TypeCheckError):
        add(torch.ones(3), torch.ones(1, dtype=torch.int64))


def test_contract_keeps_name_docstring_and_signature() -> None:
    assert outer.__name__ == "outer"
    assert (outer.__doc__ or "").startswith("Multiply every element")
    assert outer.__annotations__.keys() == {"x", "y", "return"}


def test_contract_is_transparent_under_fullgraph_compile() -> None:
    @torch.compile(fullgraph=True, backend="eager")
    def compiled(x: Tensor) -> Tensor:
        return double(double(x))

    assert torch.equal(compiled(torch.ones(2, 3)), torch.full((2, 3), 4.0))


def test_contract_returns_the_function_itself_when_jaxtyping_is_disabled() -> None:
    program = """
from contracts import contract
def identity(x: int) -> int:
    return x
assert contract(identity) is identity
"""
    for value, expected in (("1", 0), ("0", 1)):
        finished = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "JAXTYPING_DISABLE": value},
            capture_output=True,
            check=False,
        )
        assert finished.returncode == expected


def test_contract_checks_every_call_and_not_only_the_first() -> None:
    for _ in range(3):
        assert double(torch.ones(2, 3)).shape == (2, 3)
        with pytest.raises(TypeCheckError):
            double(torch.arange(6).reshape(2, 3))
        with pytest.raises(TypeCheckError):
            outer(torch.ones(2, 3), torch.ones(3))


def test_contract_checks_a_result_that_changes_while_the_arguments_do_not() -> None:
    results = iter([torch.ones(3), torch.ones(3), torch.ones(5), torch.ones(3)])
    calls = []

    @contract
    def scripted(x: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        calls.append(1)
        return next(results)

    scripted(torch.ones(3))
    scripted(torch.ones(3))
    with pytest.raises(TypeCheckError, match="return"):
        scripted(torch.ones(3))
    scripted(torch.ones(3))
    assert len(calls) == 4


def test_contract_looks_into_containers_each_time() -> None:
    @contract
    def total(parts: list[Float[Tensor, " n"]]) -> Float[Tensor, " n"]:
        return torch.stack(parts).sum(0)

    assert total([torch.ones(3)]).tolist() == [1.0, 1.0, 1.0]
    with pytest.raises(TypeCheckError):
        total([torch.arange(3)])


def test_contract_tells_values_of_a_literal_apart() -> None:
    @contract
    def reduce(x: Float[Tensor, " n"], how: Literal["sum", "mean"]) -> Float[Tensor, ""]:
        return x.sum() if how == "sum" else x.mean()

    assert reduce(torch.ones(3), "sum").item() == 3.0
    with pytest.raises(TypeCheckError):
        reduce(torch.ones(3), "max")  # type: ignore[arg-type]


def test_contract_forgets_before_it_remembers_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[contract.__module__], "REMEMBERED", 2)

    @contract
    def identity(x: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        return x

    for size in (2, 3, 5, 7, 2):
        assert identity(torch.ones(size)).shape == (size,)
    with pytest.raises(TypeCheckError):
        identity(torch.ones(2, 3))
