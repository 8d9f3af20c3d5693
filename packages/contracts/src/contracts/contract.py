"""One decorator that holds a tensor function to the shapes and dtypes of its signature.

In eager mode every call is checked by jaxtyping and beartype. `torch.compile` cannot trace their
checker, so while it traces, the plain function is called instead: the compiled graph is the one of
the undecorated code. With `JAXTYPING_DISABLE=1` in the environment there is no wrapper at all.

Limits: decorating costs about 0.4 ms, so decorate at module level and never a nested function. All
wrappers share one code object, and dynamo keeps its cache by code object: compile a whole model
once rather than many contracted functions one by one.
"""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch
from beartype import beartype
from jaxtyping import config, jaxtyped

P = ParamSpec("P")
R = TypeVar("R")


def contract(function: Callable[P, R]) -> Callable[P, R]:
    """Check the arguments and the result of `function` against its jaxtyping annotations.

    A violation raises `jaxtyping.TypeCheckError`, which names the argument, the annotation, the
    actual shape and dtype, and the sizes already bound to each axis name.
    """
    if config.jaxtyping_disable:
        return function
    checked = jaxtyped(typechecker=beartype)(function)

    @wraps(function)
    def contracted(*args: P.args, **kwargs: P.kwargs) -> R:
        if torch.compiler.is_compiling():
            return function(*args, **kwargs)
        return checked(*args, **kwargs)

    return contracted
