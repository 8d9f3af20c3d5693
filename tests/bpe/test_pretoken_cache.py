"""The cache never gives a wrong answer and never outgrows its bounds."""

from bpe import pretoken_cache
from bpe.pretoken_cache import PretokenCache


def test_every_answer_is_that_of_the_function() -> None:
    cache = PretokenCache(lambda pretoken: tuple(pretoken.encode()))
    for number in [*range(100_003), *range(0, 100_003, 7)]:
        assert cache[f"{number}"] == tuple(f"{number}".encode())


def test_a_known_pretoken_is_not_computed_again() -> None:
    calls: list[str] = []
    cache = PretokenCache(lambda pretoken: (calls.append(pretoken) or 1,))  # type: ignore[func-returns-value]
    assert cache["a"] == cache["a"]
    assert calls == ["a"]


def test_the_number_of_remembered_pretokens_is_bounded() -> None:
    cache = PretokenCache(lambda pretoken: (len(pretoken),))
    largest = 0
    for number in range(200_003):
        cache[f"word {number}"]
        largest = max(largest, len(cache))
    assert largest * (16 + len("word 0")) <= pretoken_cache._CAPACITY


def test_long_pretokens_are_not_kept() -> None:
    cache = PretokenCache(lambda pretoken: (len(pretoken),))
    assert cache["x" * 100_003] == (100_003,)
    assert len(cache) == 0


def test_what_is_asked_for_often_survives_a_flood_of_others() -> None:
    calls: list[str] = []

    def compute(pretoken: str) -> tuple[int, ...]:
        calls.append(pretoken)
        return (1,)

    cache = PretokenCache(compute)
    for number in range(200_003):
        cache[f"word {number}"]
        cache["the"]
    assert calls.count("the") == 1
