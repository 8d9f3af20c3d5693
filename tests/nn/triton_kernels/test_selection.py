"""Which work goes to a kernel: the setting, the device, the dtype and the compiler decide."""

import subprocess
import sys

import pytest
import torch
from torch import Tensor

from nn.triton_kernels.selection import (
    SETTING,
    attention_serves,
    autocast_dtype,
    kernels_serve,
    read_setting,
)

CPU = torch.device("cpu")


@pytest.mark.parametrize("setting", ["auto", "all", "reference"])
def test_the_three_settings_are_read(setting: str) -> None:
    assert read_setting(setting) == setting


def test_another_setting_is_refused() -> None:
    with pytest.raises(ValueError, match="NN_KERNELS='fast' is not one of auto, all, reference"):
        read_setting("fast")


@pytest.mark.parametrize("device", ["cpu", "meta", "mps"])
def test_a_device_without_cuda_keeps_the_plain_functions(device: str) -> None:
    assert not kernels_serve(torch.device(device), torch.float32)


@pytest.mark.gpu
def test_kernels_serve_the_device_of_their_tests(device: torch.device) -> None:
    assert kernels_serve(device, torch.bfloat16)
    assert kernels_serve(device, torch.float32, fusible=True)
    assert not kernels_serve(device, torch.float64)


@pytest.mark.gpu
@pytest.mark.parametrize(("d_k", "d_v"), [(15, 15), (129, 129), (16, 32)])
def test_heads_of_other_sizes_keep_the_plain_attention(
    device: torch.device, d_k: int, d_v: int
) -> None:
    assert attention_serves(device, torch.float32, d_k=16, d_v=16)
    assert not attention_serves(device, torch.float32, d_k=d_k, d_v=d_v)


@pytest.mark.gpu
def test_auto_leaves_fusible_work_to_the_compiler_and_all_does_not(device: torch.device) -> None:
    def serves(x: Tensor, fusible: bool) -> Tensor:
        return x + kernels_serve(device, torch.float32, fusible=fusible)

    compiled = torch.compile(serves, backend="eager", fullgraph=True)
    x = torch.zeros((), device=device)
    answers = [int(f(x, fusible)) for f in (serves, compiled) for fusible in (False, True)]
    assert answers == {"auto": [1, 1, 1, 0], "all": [1, 1, 1, 1]}[SETTING]


def test_importing_nn_imports_neither_triton_nor_the_compiler() -> None:
    program = "import sys, nn; print([m for m in ('triton', 'torch._dynamo') if m in sys.modules])"
    asked = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert asked.stdout.strip() == "[]"


def test_autocast_decides_the_dtype_of_products() -> None:
    assert autocast_dtype(CPU, torch.float32) == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert autocast_dtype(CPU, torch.float32) == torch.bfloat16
        assert autocast_dtype(CPU, torch.float64) == torch.float64
