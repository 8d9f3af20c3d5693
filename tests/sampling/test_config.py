"""SamplingConfig: forty values out of range, each named with its parameter and its range."""

from typing import Any

import pytest

from sampling import SamplingConfig

NAN, INF = float("nan"), float("inf")

BAD: list[tuple[str, Any, str]] = [
    *[("temperature", value, "0 or a finite number") for value in (-1, -1e-9, 1e-9, NAN)],
    *[("temperature", value, "0 or a finite number") for value in (INF, "hot", None, True)],
    *[("top_k", value, "integer of at least 1") for value in (0, -5, 2.5, NAN, "3", True)],
    *[("top_p", value, r"in \(0, 1\]") for value in (0, 0.0, -0.1, 1.01, NAN, "most")],
    *[("min_p", value, r"in \[0, 1\]") for value in (-0.1, 1.5, NAN, INF, "few")],
    *[("repetition_penalty", value, "finite number above 0") for value in (0, -1, NAN, INF, None)],
    *[("max_tokens", value, "integer of at least 1") for value in (0, -1, 1.5, None)],
    *[("seed", value, r"integer in \[0, 2\*\*63\)") for value in (-1, 2**63, 0.5, "x")],
    *[("stop_tokens", value, "collection of token ids") for value in (3, "3", None)],
    *[("stop_tokens", value, "not an integer from 0") for value in ([-1], (1.5,), ["a"])],
    *[("stop_strings", value, "collection of strings") for value in ("THE END", 3)],
    *[("stop_strings", value, "string of 1 or more characters") for value in ([""], (3,))],
    ("stop_strings", ["\ud800"], "lone surrogate"),
]


def test_there_are_forty_bad_values() -> None:
    assert len(BAD) >= 40


@pytest.mark.parametrize(("name", "value", "allowed"), BAD)
def test_bad_value_is_named_with_its_range(name: str, value: Any, allowed: str) -> None:
    with pytest.raises(ValueError, match=allowed) as raised:
        SamplingConfig(**{name: value})
    assert str(raised.value).startswith(f"{name}={value!r} ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", 0),
        ("temperature", 100),
        ("top_k", 1),
        ("top_p", 1),
        ("min_p", 0),
        ("repetition_penalty", 0.5),
        ("max_tokens", 1),
        ("seed", 2**63 - 1),
    ],
)
def test_end_of_a_range_is_accepted(name: str, value: Any) -> None:
    assert getattr(SamplingConfig(**{name: value}), name) == value


def test_collections_become_tuples() -> None:
    config = SamplingConfig(stop_tokens=[3, 5], stop_strings={"END"})
    assert (config.stop_tokens, config.stop_strings) == ((3, 5), ("END",))
