"""What a model is made of is ours: a parse of every source file finds what is borrowed."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from workspace.project import PACKAGES, ROOT, sources

# All that may be taken from these two modules.
FROM_NN = {
    "Module",
    "ModuleList",
    "ModuleDict",
    "Sequential",
    "ParameterList",
    "ParameterDict",
    "Parameter",
    "Buffer",
}
FROM_OPTIM = {"Optimizer"}
ENGINES = {"parallel"}  # torch.nn.parallel, in trainer alone

# Kernels that torch offers outside torch.nn, as functions or as methods of a tensor.
KERNELS = {
    "softmax",
    "log_softmax",
    "rms_norm",
    "layer_norm",
    "group_norm",
    "batch_norm",
    "instance_norm",
    "native_layer_norm",
    "embedding",
    "embedding_bag",
    "scaled_dot_product_attention",
    "multi_head_attention_forward",
    "cross_entropy_loss",
    "nll_loss",
    "silu",
    "silu_",
    "gelu",
    "celu",
    "selu",
    "relu6",
    "dropout",
    "dropout_",
    "logsumexp",
    "clip_grad_norm_",
}
FORBIDDEN_MODULES = (
    "torch.nn.functional",
    "torch.nn.init",
    "torch.nn.utils",
    "torch.nn.attention",
    "torch.ops.aten",
    "torch._C._nn",
    "torch.special",
    "torch._refs",
    "torch.ao",
)


def borrowed(source: str, *, engines: bool) -> Iterator[tuple[int, str]]:
    """Yield the line and the dotted name of everything in `source` that the rule forbids.

    Aliases are followed (`import torch as t`), and so is `from torch import softmax`.
    """
    tree = ast.parse(source)
    aliases: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                bound = alias.asname or alias.name.split(".")[0]
                aliases[bound] = alias.name if alias.asname else bound
                if is_forbidden(alias.name, engines=engines):
                    yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                aliases[alias.asname or alias.name] = name
                if is_forbidden(name, engines=engines):
                    yield node.lineno, name
    local = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        chain = dotted(node, aliases)
        if chain is not None and chain.startswith("torch."):
            if is_forbidden(chain, engines=engines):
                yield node.lineno, chain
        elif node.attr in KERNELS - local and is_tensor_method(node, aliases):
            yield node.lineno, f"Tensor.{node.attr}"


def dotted(node: ast.expr, aliases: dict[str, str]) -> str | None:
    """Resolve `a.b.c` to its full name, or None where the chain does not start at an import."""
    if isinstance(node, ast.Name):
        return aliases.get(node.id)
    if isinstance(node, ast.Attribute):
        head = dotted(node.value, aliases)
        return None if head is None else f"{head}.{node.attr}"
    return None


def is_tensor_method(node: ast.Attribute, aliases: dict[str, str]) -> bool:
    """Tell a method of a value from a name in a module of ours or a field of `self`."""
    head = node.value
    while isinstance(head, ast.Attribute):
        head = head.value
    if isinstance(head, ast.Name):
        return head.id not in aliases and head.id not in {"self", "config", "cls"}
    return True


def is_forbidden(name: str, *, engines: bool) -> bool:
    if any(name == module or name.startswith(module + ".") for module in FORBIDDEN_MODULES):
        return True
    if name in {"torch.nn", "torch.optim"}:
        return False  # the attribute that follows decides
    if name.startswith("torch.nn."):
        part = name.split(".")[2]
        return part not in FROM_NN and not (engines and part in ENGINES)
    if name.startswith("torch.optim."):
        return name.split(".")[2] not in FROM_OPTIM
    if name.startswith("torch."):
        return name.split(".")[-1] in KERNELS
    return False


def offences(path: Path, *, engines: bool) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{line} borrows {name}"
        for line, name in borrowed(path.read_text(), engines=engines)
    ]


@pytest.mark.parametrize("package", PACKAGES)
def test_package_borrows_no_layer_and_no_kernel(package: str) -> None:
    found = [
        line for path in sources(package) for line in offences(path, engines=package == "trainer")
    ]
    assert not found


@pytest.mark.parametrize("package", PACKAGES)
def test_package_never_binds_the_name_nn_to_torch(package: str) -> None:
    for path in sources(package):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "torch":
                assert "nn" not in {alias.name for alias in node.names}, path


@pytest.mark.parametrize(
    "source",
    [
        "import torch.nn.functional as F",
        "from torch.nn import Linear",
        "from torch.nn import functional",
        "import torch\ny = torch.nn.Linear(2, 3)",
        "import torch\ny = torch.softmax(x, -1)",
        "import torch as t\ny = t.log_softmax(x, -1)",
        "from torch import rms_norm",
        "import torch\ny = x.softmax(-1)",
        "import torch\ny = (x + 1).logsumexp(-1)",
        "import torch\ny = torch.ops.aten.silu(x)",
        "from torch.optim import AdamW",
        "import torch\ny = torch.optim.AdamW([])",
        "from torch.nn.utils import clip_grad_norm_",
        "from torch.nn.attention import SDPBackend",
        "from torch.nn.parallel import DistributedDataParallel",
    ],
)
def test_rule_finds_what_is_borrowed(source: str) -> None:
    assert list(borrowed(source, engines=False))


@pytest.mark.parametrize(
    "source",
    [
        "from torch.nn import Module, Parameter\nimport torch\ny = torch.einsum('ab,b->a', a, b)",
        "import torch\ny = torch.exp(x).sum(-1)",
        "from torch.optim import Optimizer",
        "import nn\ny = nn.softmax(x, -1)",
        "from nn.softmax import softmax\ny = softmax(x, -1)",
    ],
)
def test_rule_lets_the_rest_pass(source: str) -> None:
    assert not list(borrowed(source, engines=False))


def test_rule_allows_engines_in_the_trainer_alone() -> None:
    source = "from torch.nn.parallel import DistributedDataParallel"
    assert not list(borrowed(source, engines=True))
