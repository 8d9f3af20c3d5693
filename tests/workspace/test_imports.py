"""A package imports only what it declares: uv itself would let it use what a sibling declares."""

import ast
import re
import sys

import pytest
from workspace.project import PACKAGES, ROOT, imported_modules, manifest, sources

# Distributions whose import name differs from their own.
IMPORT_NAMES = {"huggingface-hub": "huggingface_hub", "ray-core": "ray"}


def declared(package: str) -> set[str]:
    """Return the import names that `package` may use: its dependencies, its extras, itself."""
    project = manifest(package)["project"]
    requirements = list(project["dependencies"])
    for extra in project.get("optional-dependencies", {}).values():
        requirements += extra
    names = [re.split(r"[^A-Za-z0-9_.-]", requirement)[0] for requirement in requirements]
    return {package} | {IMPORT_NAMES.get(name, name.replace("-", "_")) for name in names}


@pytest.mark.parametrize("package", PACKAGES)
def test_package_imports_only_what_it_declares(package: str) -> None:
    allowed = declared(package) | set(sys.stdlib_module_names)
    strangers = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in sources(package)
        for line, module in imported_modules(ast.parse(path.read_text()))
        if module.split(".")[0] not in allowed
    ]
    assert not strangers


def test_workspace_has_the_packages_of_the_design() -> None:
    assert PACKAGES == ["bpe", "contracts", "nn", "optim", "sampling", "trainer"]


@pytest.mark.parametrize(
    ("package", "siblings"),
    [
        ("contracts", set()),
        ("bpe", set()),
        ("nn", {"contracts"}),
        ("optim", {"contracts"}),
        ("sampling", {"nn", "bpe", "contracts"}),
        ("trainer", {"nn", "optim", "bpe", "sampling", "contracts"}),
    ],
)
def test_package_depends_on_the_siblings_of_the_design(package: str, siblings: set[str]) -> None:
    assert declared(package) & set(PACKAGES) - {package} == siblings


def test_bpe_does_not_depend_on_torch() -> None:
    assert "torch" not in declared("bpe")
