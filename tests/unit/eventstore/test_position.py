import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore import START, Position
from eventstore.position import LAST_NUMBER

numbers = st.integers(0, LAST_NUMBER)


@given(numbers, numbers)
def test_a_position_is_read_as_it_was_written(number: int, token: int) -> None:
    position = Position(number=number, token=token)
    assert Position.parse(str(position)) == position


def test_the_start_lies_before_every_event() -> None:
    assert Position(number=0, token=0) == START
    assert str(START) == "0:0"


def test_one_number_with_two_tokens_is_two_positions() -> None:
    assert Position(number=3, token=7) != Position(number=3, token=8)


@pytest.mark.parametrize(("number", "token"), [(-1, 0), (0, -1), (LAST_NUMBER + 1, 0), (1, LAST_NUMBER + 1)])
def test_an_impossible_position_is_refused(number: int, token: int) -> None:
    with pytest.raises(ValueError, match="lie between 0 and 9223372036854775807"):
        Position(number=number, token=token)


@pytest.mark.parametrize(
    "text", ["", "3", "3:", ":7", "3:7:9", "-3:7", "+3:7", " 3:7", "3 : 7", "3.0:7", "1_0:7", "three:7", "٣:7", "²:7"]
)
def test_an_invalid_text_of_a_position_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="written as number:token"):
        Position.parse(text)


def test_the_text_of_an_impossible_position_is_refused() -> None:
    with pytest.raises(ValueError, match="lie between 0 and"):
        Position.parse(f"{2**63}:1")
