"""How text is drawn from a model: the settings of one generation, checked when they are made."""

from collections.abc import Collection
from dataclasses import dataclass

from sampling.ranges import (
    check_max_tokens,
    check_min_p,
    check_repetition_penalty,
    check_seed,
    check_stop_strings,
    check_stop_tokens,
    check_temperature,
    check_top_k,
    check_top_p,
)


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """Settings of `generate` and `stream`; a value out of range raises ValueError at once.

    The filters act in the order of the fields `repetition_penalty`, `temperature`, `top_k`,
    `top_p`, `min_p`. Temperature 0 takes the likeliest token, and the last three have no effect.
    """

    temperature: float = 1.0
    """Divides the logits: below 1 sharper, above 1 flatter, 0 greedy."""
    top_k: int | None = None
    """Draw among this many likeliest tokens."""
    top_p: float | None = None
    """Draw among the fewest likeliest tokens that have this much probability together."""
    min_p: float | None = None
    """Draw among tokens at least this fraction as probable as the likeliest."""
    repetition_penalty: float = 1.0
    """Above 1 makes every token that the text already holds less likely."""
    max_tokens: int = 256
    """Draw at most this many tokens."""
    stop_tokens: Collection[int] = ()
    """Token ids that end the text; they are not part of it."""
    stop_strings: Collection[str] = ()
    """Strings that end the text, wherever tokens begin and end; they are not part of it."""
    seed: int | None = None
    """Seed of the first prompt's generator, plus 1 for each next; a new one each time if None."""

    def __post_init__(self) -> None:
        check_temperature(self.temperature)
        if self.top_k is not None:
            check_top_k(self.top_k)
        if self.top_p is not None:
            check_top_p(self.top_p)
        if self.min_p is not None:
            check_min_p(self.min_p)
        check_repetition_penalty(self.repetition_penalty)
        check_max_tokens(self.max_tokens)
        check_stop_tokens(self.stop_tokens)
        check_stop_strings(self.stop_strings)
        if self.seed is not None:
            check_seed(self.seed)
        # Whatever collection was given: a frozen object holds nothing that can change.
        object.__setattr__(self, "stop_tokens", tuple(self.stop_tokens))
        object.__setattr__(self, "stop_strings", tuple(self.stop_strings))
