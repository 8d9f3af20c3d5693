"""The docstrings of a configuration's fields, for the help of a command.

tyro takes the line breaks of the source over into its help, where they stand in the midst of lines:
here every docstring becomes one line, which is broken where the terminal ends.
"""

import ast
import dataclasses
import inspect
import textwrap
from itertools import pairwise
from types import NoneType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from tyro.conf import arg
from tyro.constructors import (
    MISSING,
    ConstructorRegistry,
    StructConstructorSpec,
    StructFieldSpec,
    StructTypeInfo,
)


def registry() -> ConstructorRegistry:
    """Return what makes tyro describe dataclasses by `field_docs`; a context manager."""
    made = ConstructorRegistry()
    made.struct_rule(_describe)
    return made


def field_docs(kind: type) -> dict[str, str]:
    """Return the docstring below each field of a dataclass, as one line."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(definition, ast.ClassDef)
    docs = {}
    for field, below in pairwise(definition.body):
        match field, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                docs[name] = " ".join(text.split())
    return docs


def _describe(info: StructTypeInfo) -> StructConstructorSpec | None:
    if not dataclasses.is_dataclass(info.type):
        return None
    types, docs = get_type_hints(info.type, include_extras=True), field_docs(info.type)
    fields = [
        StructFieldSpec(
            name=field.name,
            type=_readable(types[field.name], getattr(info.default, field.name, None)),
            default=getattr(info.default, field.name, MISSING),
            helptext=docs.get(field.name),
        )
        for field in dataclasses.fields(info.type)
    ]
    return StructConstructorSpec(instantiate=info.type, fields=tuple(fields))


def _readable(kind: Any, default: Any) -> Any:
    """Name what a setting that may be None takes, and say of no default that it is none."""
    hint = "(default: none)" if default in (None, ()) else None
    if get_origin(kind) is Annotated:
        return kind
    if NoneType not in get_args(kind):
        return Annotated[kind, arg(help_behavior_hint=hint)]
    (name,) = (choice.__name__.upper() for choice in get_args(kind) if choice is not NoneType)
    metavar = name if default is None else f"{name}|None"
    return Annotated[kind, arg(metavar=metavar, help_behavior_hint=hint)]
