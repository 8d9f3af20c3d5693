"""Which function does the work: the plain one, `nn.fused`, or a Triton kernel. The only place.

On the CPU it is `nn.fused`; for products, only large ones of float32. Triton kernels run on NVIDIA
devices of compute capability 8.0 (Ampere) or later, where Triton is installed; this module needs no
Triton to import. Whatever neither takes, such as float64, a mask or another device, is left to the
plain functions. The environment variable NN_KERNELS, read once, narrows or widens that:

    auto        (default) attention and loss always; norms, gates and, on a GPU, rotations in eager
                mode only, as `torch.compile` fuses those with their neighbours
    all         also those when compiled; and Triton's on the CPU, if TRITON_INTERPRET=1 runs them
    reference   the plain functions everywhere: to read along, and to differentiate twice
"""

import os
from importlib.util import find_spec
from typing import Literal, cast, get_args

import torch

Setting = Literal["auto", "all", "reference"]

D_HEADS = range(16, 129)
# A wider row does not fit in the registers of one program.
MAX_NORMED = 16_384
# Multiplications from which on oneDNN takes less time than MKL, with what a call costs.
_LARGE_PRODUCT = 2**24
# Numbers of a weight from which on it does for any number of rows, as where a text is written a
# token at a time: the time goes into reading the weight, and MKL reads it at half the speed.
_LARGE_WEIGHT = 2**18
DTYPES = (torch.bfloat16, torch.float16, torch.float32)


def read_setting(text: str) -> Setting:
    """Return the value of NN_KERNELS; raise ValueError if it is not one of the three."""
    if text not in get_args(Setting):
        raise ValueError(f"NN_KERNELS={text!r} is not one of {', '.join(get_args(Setting))}")
    return cast(Setting, text)


SETTING = read_setting(os.environ.get("NN_KERNELS", "auto"))
_INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
_HAS_ONEDNN: bool = torch.backends.mkldnn.is_available() and hasattr(  # type: ignore[no-untyped-call]
    torch.ops.mkldnn, "_linear_pointwise"
)
_INSTALLED = find_spec("triton") is not None


def kernels_serve(device: torch.device, dtype: torch.dtype, *, fusible: bool = False) -> bool:
    """Tell whether a kernel takes tensors of this device and dtype.

    `fusible` marks what `torch.compile` does as well: setting auto leaves that to it.
    """
    if SETTING == "reference" or dtype not in DTYPES or not _runs_on(device):
        return False
    return _not_left_to_the_compiler(fusible)


def fused_serves(device: torch.device, dtype: torch.dtype, *, fusible: bool = False) -> bool:
    """Tell whether `nn.fused` takes tensors of this device and dtype; `fusible` as above."""
    if SETTING == "reference" or device.type != "cpu" or dtype not in DTYPES:
        return False
    return _not_left_to_the_compiler(fusible)


def onednn_serves(device: torch.device, dtype: torch.dtype, *, rows: int, weights: int) -> bool:
    """Tell whether `onednn_linear` takes `rows` by a matrix of `weights` numbers."""
    if SETTING == "reference" or device.type != "cpu" or dtype != torch.float32:
        return False
    if not _HAS_ONEDNN or torch.is_autocast_enabled("cpu") or rows == 0:
        return False
    return weights >= _LARGE_WEIGHT or rows * weights >= _LARGE_PRODUCT


def attention_serves(device: torch.device, dtype: torch.dtype, *, d_k: int, d_v: int) -> bool:
    """Tell whether `flash_attention` takes heads of these sizes."""
    return d_k == d_v and d_k in D_HEADS and kernels_serve(device, dtype)


def norm_serves(device: torch.device, dtype: torch.dtype, *, d_model: int) -> bool:
    """Tell whether `fused_rms_norm` takes rows of this width."""
    return d_model <= MAX_NORMED and kernels_serve(device, dtype, fusible=True)


def check_attention(dtype: torch.dtype, *, d_head: int, heads: int, kv_heads: int) -> None:
    """Raise ValueError for heads or a dtype that `flash_attention` does not do."""
    if d_head not in D_HEADS:
        raise ValueError(f"d_head={d_head} is outside {D_HEADS.start}..{D_HEADS.stop - 1}")
    if heads % kv_heads != 0:
        raise ValueError(f"heads={heads} is not divisible by kv_heads={kv_heads}")
    check_dtype(dtype)


def check_dtype(dtype: torch.dtype) -> None:
    """Raise ValueError for a dtype that no kernel does."""
    if dtype not in DTYPES:
        names = ", ".join(str(each).removeprefix("torch.") for each in DTYPES)
        raise ValueError(
            f"the kernels compute in {names}, not in {str(dtype).removeprefix('torch.')}"
        )


def autocast_dtype(device: torch.device, dtype: torch.dtype) -> torch.dtype:
    """Return the dtype that a product of `dtype` has here: that of autocast where it is on."""
    if dtype == torch.float64 or not torch.is_autocast_enabled(device.type):
        return dtype
    return torch.get_autocast_dtype(device.type)


def _not_left_to_the_compiler(fusible: bool) -> bool:
    return SETTING == "all" or not (fusible and torch.compiler.is_compiling())


def _runs_on(device: torch.device) -> bool:
    if not _INSTALLED:
        return False
    if device.type != "cuda":
        return device.type == "cpu" and _INTERPRETED and SETTING == "all"
    # Not `get_device_capability`: dynamo, which traces this too, knows the properties as constants.
    return torch.version.cuda is not None and torch.cuda.get_device_properties(device).major >= 8
