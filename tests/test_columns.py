"""Columns: compact, and like a list of the same content in all that is asked of them."""

import sys
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_check.columns import Numbers, Texts, flags, ints

TEXTS = st.lists(st.one_of(st.sampled_from(["message", "", "ping"]), st.text(max_size=6), st.integers(0, 400).map(str)), max_size=400)
WHOLE = st.one_of(st.integers(-3, 3), st.integers(-(2**63), 2**63 - 1), st.integers(2**53 - 2, 2**53 + 2), st.just(2**64))
NUMBERS = st.lists(st.one_of(st.none(), WHOLE, st.floats(allow_nan=False), st.just(2.0)), max_size=40)


@given(TEXTS, TEXTS)
def test_texts_come_back_as_they_were_appended(first: list[str], then: list[str]):
    """
    Appended one by one or many at once, few different ones or many: length, items, slices, order and equality are those of a list.
    """
    column = Texts(first)
    for text in then:
        column.append(text)
    together = Texts(first)
    together.extend(then)
    whole = first + then

    assert len(column) == len(whole)
    assert list(column) == list(together) == whole
    assert column == whole == together
    assert [column[number] for number in range(-len(whole), len(whole))] == whole + whole
    assert column[1:-1:2] == whole[1:-1:2]
    assert column != [*whole, "more"]
    assert not whole or column != [*whole[:-1], whole[-1] + "x"]


@pytest.mark.parametrize("size", [3, 20, 300, 5000])
def test_lone_surrogates_and_letters_of_any_width_are_kept(size: int):
    """
    Whatever a text holds comes back, among few texts and among thousands.
    """
    texts = [f"{number}-ä-\ud800-🌊" if number % 7 else str(number) for number in range(size)]

    assert list(Texts(texts)) == texts


def test_texts_are_mapped_each_or_each_kind_once():
    """
    A function of texts is asked once for each kind of event, and for each ID; what it makes equal is equal.
    """
    asked = []

    def redacted(text: str) -> str:
        asked.append(text)
        return "***"

    assert Texts(["a", "b"] * 500).mapped(redacted) == ["***"] * 1000
    assert asked == ["a", "b"]
    assert Texts(map(str, range(1000))).mapped(lambda text: f"<{text}>") == [f"<{number}>" for number in range(1000)]


@given(NUMBERS, NUMBERS, st.integers(0, 3))
def test_numbers_come_back_as_they_were_appended(first: list[int | float | None], then: list[int | float | None], lacking: int):
    """
    Whole numbers, fractions and their absence, one by one, many at once and padded, come back equal: whole ones to the last digit.
    """
    column = Numbers(first)
    column.pad(lacking)
    for number in then:
        column.append(number)
    whole = [*first, *[None] * lacking, *then]

    assert len(column) == len(whole)
    assert list(column) == whole == column
    assert [column[number] for number in range(-len(whole), len(whole))] == whole + whole
    assert column[1:-1:2] == whole[1:-1:2]
    assert column != [*whole, None]


def test_a_float_beyond_53_bits_stays_one():
    """
    Beside whole numbers it is not made one of 64 bits and more, which a file of them would not be read with.
    """
    assert [type(number) for number in Numbers([1, 2.0**63, 2.0, 2.5])] == [int, float, int, float]


@given(NUMBERS)
def test_whole_numbers_stay_whole(numbers: list[int | float | None]):
    """
    What counts events is told from what measures by its being whole: an int is given back as an int, whatever stands beside it.
    """
    given_back = list(Numbers(numbers))

    assert all(isinstance(back, int) for back, number in zip(given_back, numbers, strict=True) if isinstance(number, int))
    assert all(
        isinstance(back, float) for back, number in zip(given_back, numbers, strict=True) if isinstance(number, float) and number % 1
    )


@given(st.lists(st.one_of(st.integers(0, 2**16), st.integers(0, 2**32), st.integers(-(2**64), 2**64)), max_size=20))
def test_whole_numbers_take_the_narrowest_array(numbers: list[int]):
    """
    A column of whole numbers holds them all, in as few bytes as their largest needs.
    """
    column = ints(numbers)
    size = column.itemsize if isinstance(column, array) else 0

    def fit(least: int, beyond: int) -> bool:
        return all(least <= number < beyond for number in numbers)

    assert list(column) == numbers
    assert ints(array("Q", [])) == () == ints([])
    assert not numbers or size == (2 if fit(0, 2**16) else 4 if fit(0, 2**32) else 8 if fit(-(2**63), 2**63) else 0)


def test_truth_values_take_a_byte():
    """
    Whether each read ended inside of an event is kept in a byte.
    """
    assert flags([True, False, True]) == array("B", [1, 0, 1])
    assert flags([]) == ()


def test_a_million_events_take_a_few_bytes_each():
    """
    A type takes a byte, a number eight, an ID its digits and four bytes more; an empty column next to nothing.
    """
    count = 1_000_000
    types, ids, numbers = Texts(["token"] * count), Texts(map(str, range(count))), Numbers(range(count))
    blob, ends = ids._column or (b"", array("I"))

    assert sys.getsizeof((types._column or ((), ()))[1]) < 1.2 * count
    assert sys.getsizeof(blob) + sys.getsizeof(ends) < 1.2 * count * (6 + 4)
    assert sys.getsizeof(numbers._values) < 1.2 * 8 * count
    assert sys.getsizeof(Texts()) <= 64
