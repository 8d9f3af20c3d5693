"""The names of the package, which are imported when they are asked for, are there to be found."""

import ast
import pydoc
from importlib.resources import files
from typing import Any

import sampling


def promised() -> set[str]:
    """Return the names that type checkers are told of."""
    source = files("sampling").joinpath("__init__.py").read_text("utf-8")
    imports = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    ours = [node for node in imports if (node.module or "").startswith("sampling.")]
    return {alias.name for node in ours for alias in node.names}


def test_star_import_brings_every_public_name() -> None:
    names: dict[str, Any] = {}
    exec("from sampling import *", names)
    assert set(names) - {"__builtins__"} == promised()


def test_completion_offers_every_public_name() -> None:
    assert promised() <= set(dir(sampling))


def test_help_shows_every_public_name() -> None:
    page = pydoc.plain(pydoc.render_doc(sampling))
    missing = {name for name in promised() if f"\n    {name}(" not in page.replace("class ", "")}
    assert not missing
