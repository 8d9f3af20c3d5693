"""One decorator that holds a tensor function to the shapes and dtypes of its signature.

In eager mode every call is checked by jaxtyping and beartype. Their verdict depends on nothing but
the shapes, dtypes and types that come in and go out (`contracts.signature`), so a combination that
has passed is remembered and costs microseconds from then on. A full check costs a tenth of a
millisecond or more, which is much of the time of a small model that writes a token at a time.

`torch.compile` cannot trace the checker, so while it traces, the plain function is called instead:
the compiled graph is the one of the undecorated code. With `JAXTYPING_DISABLE=1` in the environment
there is no wrapper at all.

Limits: decorating costs about a millisecond, so decorate at module level and never a nested
function. All wrappers share one code object, and dynamo keeps its cache by code object: compile a
whole model once rather than many contracted functions one by one. `isinstance(x, Float[Tensor,
"n"])` inside a contracted body does not see the axes that its signature has bound.
"""

import threading
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar, cast

import torch
from beartype import beartype
from jaxtyping import config, jaxtyped

from contracts.signature import Unknown, signature

P = ParamSpec("P")
R = TypeVar("R")

# Combinations remembered per function. Decoding adds one a token; when there are more, all go.
REMEMBERED = 4096


def contract(function: Callable[P, R]) -> Callable[P, R]:
    """Check the arguments and the result of `function` against its jaxtyping annotations.

    A violation raises `jaxtyping.TypeCheckError`, which names the argument, the annotation, the
    actual shape and dtype, and the sizes already bound to each axis name.
    """
    if config.jaxtyping_disable:
        return function
    checked = jaxtyped(typechecker=beartype)(function)
    passed: dict[object, set[object]] = {}
    remembered = 0
    replaying = threading.local()

    @wraps(function)
    def replay(*args: P.args, **kwargs: P.kwargs) -> R:
        return cast(R, replaying.result)

    # Checks a result that is there already, without a second call of the function.
    check_result = jaxtyped(typechecker=beartype)(replay)

    @wraps(function)
    def contracted(*args: P.args, **kwargs: P.kwargs) -> R:
        nonlocal remembered
        if torch.compiler.is_compiling():
            return function(*args, **kwargs)
        try:
            given = signature(args), signature(tuple(kwargs.items()))
        except Unknown:
            return checked(*args, **kwargs)
        results = passed.get(given)
        if results is None:
            result = checked(*args, **kwargs)
        else:
            result = function(*args, **kwargs)
            if _signature_or_none(result) in results:
                return result
            replaying.result = result
            try:
                check_result(*args, **kwargs)
            finally:
                del replaying.result
        returned = _signature_or_none(result)
        if returned is not None:
            if remembered >= REMEMBERED:
                passed.clear()
                remembered = 0
            passed.setdefault(given, set()).add(returned)
            remembered += 1
        return result

    return contracted


def _signature_or_none(result: object) -> object:
    try:
        return signature(result)
    except Unknown:
        return None
