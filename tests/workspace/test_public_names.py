"""The names of packages that import them when they are asked for are there to be found."""

import ast
import pydoc
from importlib import import_module
from importlib.resources import files
from typing import Any

import pytest

pytestmark = pytest.mark.parametrize("package", ["sampling", "trainer"])


def promised(package: str) -> set[str]:
    """Return the names that type checkers are told of."""
    source = files(package).joinpath("__init__.py").read_text("utf-8")
    imports = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    ours = [node for node in imports if (node.module or "").startswith(f"{package}.")]
    return {alias.name for node in ours for alias in node.names}


def test_star_import_brings_every_public_name(package: str) -> None:
    names: dict[str, Any] = {}
    exec(f"from {package} import *", names)
    assert set(names) - {"__builtins__"} == promised(package)


def test_completion_offers_every_public_name(package: str) -> None:
    assert promised(package) <= set(dir(import_module(package)))


def test_help_shows_every_public_name(package: str) -> None:
    page = pydoc.plain(pydoc.render_doc(import_module(package)))
    page = page.replace("class ", "")
    shown = {name for name in promised(package) if f"\n    {name}(" in page or f"{name} = " in page}
    assert shown == promised(package)
