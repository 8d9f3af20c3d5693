"""The range of every sampling parameter, in one place: filters and `SamplingConfig` both ask here.

Each check raises a ValueError of one line with the parameter, its value and its range. A NaN is in
no range, and neither is anything that is not a number.
"""

import math
from typing import TypeGuard


def check_temperature(value: object) -> None:
    """Allow 0 (greedy) and finite numbers from 1e-6: smaller ones would overflow the logits."""
    if not _is_number(value) or not (value == 0 or 1e-6 <= value < math.inf):
        raise ValueError(f"temperature={value!r} must be 0 or a finite number of at least 1e-6")


def check_top_k(value: object) -> None:
    """Allow integers from 1."""
    if not _is_integer(value) or value < 1:
        raise ValueError(f"top_k={value!r} must be an integer of at least 1")


def check_top_p(value: object) -> None:
    """Allow numbers in (0, 1]."""
    if not _is_number(value) or not 0 < value <= 1:
        raise ValueError(f"top_p={value!r} must be a number in (0, 1]")


def check_min_p(value: object) -> None:
    """Allow numbers in [0, 1]."""
    if not _is_number(value) or not 0 <= value <= 1:
        raise ValueError(f"min_p={value!r} must be a number in [0, 1]")


def check_repetition_penalty(value: object) -> None:
    """Allow finite numbers above 0; 1 changes nothing."""
    if not _is_number(value) or not 0 < value < math.inf:
        raise ValueError(f"repetition_penalty={value!r} must be a finite number above 0")


def check_max_tokens(value: object) -> None:
    """Allow integers from 1."""
    if not _is_integer(value) or value < 1:
        raise ValueError(f"max_tokens={value!r} must be an integer of at least 1")


def check_seed(value: object) -> None:
    """Allow integers in [0, 2**63), the seeds that every generator of torch takes."""
    if not _is_integer(value) or not 0 <= value < 2**63:
        raise ValueError(f"seed={value!r} must be an integer in [0, 2**63)")


def check_stop_tokens(values: object) -> None:
    """Allow collections of token ids."""
    if not isinstance(values, tuple | list | set | frozenset | range):
        raise ValueError(f"stop_tokens={values!r} must be a collection of token ids, such as (0,)")
    for value in values:
        if not _is_integer(value) or value < 0:
            raise ValueError(f"stop_tokens={values!r} holds {value!r}, not an integer from 0")


def check_stop_strings(values: object) -> None:
    """Allow collections of strings of at least one character."""
    if not isinstance(values, tuple | list | set | frozenset):
        raise ValueError(
            f"stop_strings={values!r} must be a collection of strings, such as ('THE END',)"
        )
    for value in values:
        if not isinstance(value, str) or not value:
            raise ValueError(
                f"stop_strings={values!r} holds {value!r}, not a string of 1 or more characters"
            )
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(f"stop_strings={values!r} holds a lone surrogate") from None


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_integer(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
