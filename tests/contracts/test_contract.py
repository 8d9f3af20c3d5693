"""`contract`: checks every eager call, vanishes under torch.compile and under JAXTYPING_DISABLE."""

import os
import subprocess
import sys

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
