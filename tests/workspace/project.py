"""Where the parts of the project lie: shared by the tests that read its source."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = sorted(path.parent.name for path in (ROOT / "packages").glob("*/pyproject.toml"))


def manifest(package: str) -> dict[str, Any]:
    """Read the pyproject.toml of `package`."""
    return tomllib.loads((ROOT / "packages" / package / "pyproject.toml").read_text())


def sources(package: str) -> list[Path]:
    """List the Python files of `package`."""
    return sorted((ROOT / "packages" / package / "src").rglob("*.py"))


def imported_modules(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the line and the dotted name of everything that a file imports, lazily or not.

    `from a import b` yields `a.b`: whether b is a module or a name inside one makes no difference
    to the rules.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"
