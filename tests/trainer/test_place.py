"""Which process this is, read from the environment, before anything else is done."""

import pytest

from trainer.place import Place, find_place

WHOLE = {
    "RANK": "2",
    "WORLD_SIZE": "5",
    "LOCAL_RANK": "1",
    "MASTER_ADDR": "node0",
    "MASTER_PORT": "29500",
}


def test_process_among_several_knows_its_place() -> None:
    assert find_place(WHOLE) == Place(2, 5, 1, "node0", 29500)


@pytest.mark.parametrize("environment", [{}, {"WORLD_SIZE": "1", "RANK": "0"}])
def test_process_by_itself_has_none(environment: dict[str, str]) -> None:
    assert find_place(environment) is None


@pytest.mark.parametrize("name", ["RANK", "MASTER_ADDR", "MASTER_PORT"])
def test_missing_variable_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=f"WORLD_SIZE=5 is set but {name} is not"):
        find_place({key: value for key, value in WHOLE.items() if key != name})


def test_local_rank_may_be_left_out() -> None:
    place = find_place({key: value for key, value in WHOLE.items() if key != "LOCAL_RANK"})
    assert place is not None
    assert place.local_rank is None


@pytest.mark.parametrize("name", ["RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_PORT"])
def test_variable_that_is_no_number_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}='two' is no number"):
        find_place(WHOLE | {name: "two"})


def test_rank_beyond_the_world_is_refused() -> None:
    with pytest.raises(ValueError, match="RANK=5 is not below WORLD_SIZE=5"):
        find_place(WHOLE | {"RANK": "5"})


def test_number_of_restarts_is_known() -> None:
    place = find_place(WHOLE | {"TORCHELASTIC_MAX_RESTARTS": "3"})
    assert place is not None
    assert place.restarts == 3
