"""Every public function and every `forward` that takes or returns a tensor is under contract."""

import ast
from collections.abc import Iterator

import pytest
from workspace.project import PACKAGES, ROOT, sources

Function = ast.FunctionDef | ast.AsyncFunctionDef


def public_functions(tree: ast.Module) -> Iterator[Function]:
    """Yield module-level functions and methods whose names are public, and every `forward`."""
    for node in tree.body:
        if isinstance(node, Function) and not node.name.startswith("_"):
            yield node
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for method in node.body:
                if isinstance(method, Function) and not method.name.startswith("_"):
                    yield method


def speaks_of_tensors(function: Function) -> bool:
    """Tell whether an argument or the result is a tensor, bare or inside a jaxtyping annotation."""
    arguments = function.args
    annotations = [
        argument.annotation
        for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    ]
    return any(
        isinstance(node, ast.Name) and node.id == "Tensor"
        for annotation in [*annotations, function.returns]
        if annotation is not None
        for node in ast.walk(annotation)
    )


def decorators(function: Function) -> set[str]:
    names = set()
    for decorator in function.decorator_list:
        target = decorator.func if isinstance(decorator, ast.Call) else decorator
        names.add(target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", ""))
    return names


def uncontracted(tree: ast.Module) -> Iterator[Function]:
    # An autograd function's forward and backward are called by torch with a context, and a
    # Triton kernel's arguments are pointers: the function in front of them has the contract.
    for function in public_functions(tree):
        if speaks_of_tensors(function) and not decorators(function) & {
            "contract",
            "staticmethod",
            "overload",
        }:
            yield function


@pytest.mark.parametrize("package", PACKAGES)
def test_public_tensor_functions_are_contracted(package: str) -> None:
    missing = [
        f"{path.relative_to(ROOT)}:{function.lineno} {function.name} has no contract"
        for path in sources(package)
        for function in uncontracted(ast.parse(path.read_text()))
    ]
    assert not missing


@pytest.mark.parametrize("package", PACKAGES)
def test_public_tensor_annotations_give_shapes(package: str) -> None:
    bare = [
        f"{path.relative_to(ROOT)}:{function.lineno} {function.name}({argument.arg}: Tensor)"
        for path in sources(package)
        for function in public_functions(ast.parse(path.read_text()))
        if "staticmethod" not in decorators(function)
        for argument in (*function.args.args, *function.args.kwonlyargs)
        if isinstance(argument.annotation, ast.Name) and argument.annotation.id == "Tensor"
    ]
    assert not bare


def test_rule_finds_a_function_without_a_contract() -> None:
    source = 'def f(x: Float[Tensor, " n"]) -> int:\n    return 1\n'
    assert [function.name for function in uncontracted(ast.parse(source))] == ["f"]
    assert not list(uncontracted(ast.parse("@contract\n" + source)))


def test_rule_finds_a_forward_without_a_contract() -> None:
    source = 'class A(Module):\n    def forward(self, x: Float[Tensor, " n"]) -> None: ...\n'
    assert [function.name for function in uncontracted(ast.parse(source))] == ["forward"]
