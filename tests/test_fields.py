"""The numbers and times that an event's data carries."""

import json
import math
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_check.fields import WHOLE_DATA, numbers_in, numbers_of


@pytest.mark.parametrize(
    ("data", "numbers"),
    [
        ('{"seq": 3}', {"seq": 3}),
        ('{"t": 1.5, "n": -2}', {"t": 1.5, "n": -2}),
        ('{"seq": "17", "t": "1.25", "neg": "-4"}', {"seq": 17, "t": 1.25, "neg": -4}),
        ('{"a": {"b": {"c": 1}}}', {"a.b.c": 1}),
        ('{"a": 1, "a.b": 2}', {"a": 1, "a.b": 2}),
        ('{"at": "1970-01-01T00:00:10Z"}', {"at": 10.0}),
        ('{"at": "1970-01-01T02:00:10+02:00"}', {"at": 10.0}),
        ('{"at": "1970-01-01T02:00:10.5+0200"}', {"at": 10.5}),
        ('{"at": "1970-01-01 00:00:10,25"}', {"at": 10.25}),
        ('{"at": "1970-01-01T00:01"}', {"at": 60.0}),
        ('{"at": "1970-01-01T00:00:00.1234567Z"}', {"at": 0.123456}),
    ],
)
def test_numbers_and_times_are_found_by_their_path(data: str, numbers: dict[str, float]) -> None:
    """JSON numbers and numeric texts keep their value, times become seconds since the epoch, dots go deeper."""
    assert numbers_in(data) == numbers


@pytest.mark.parametrize(
    ("data", "number"), [("42", 42), ("-1", -1), ("1.5", 1.5), ("1700000000000", 1700000000000), ("1970-01-01T00:00:10Z", 10.0)]
)
def test_data_that_is_one_number_has_the_empty_path(data: str, number: float) -> None:
    """A bare number or time is named by no path."""
    assert numbers_in(data) == {WHOLE_DATA: number}


@pytest.mark.parametrize(
    "data",
    [
        "",
        "hello",
        "[1, 2]",
        '"3"',
        "true",
        "null",
        "{",
        '{"a": 1',
        "{'a': 1}",
        "1 2",
        "0x10",
        "1e5",
        "1_000",
        "٣",
        "NaN",
        "1\n",
        "2024-13-01T00:00:00Z",
        "2024-01-01",
        "2024-01-01T25:00:00Z",
        '{"a": "' + "1" * 20 + '"}',
        '{"a": [1], "b": null, "c": "x"}',
    ],
)
def test_what_is_no_number_is_left_out(data: str) -> None:
    """Text, lists, nothing, broken JSON and numbers that only look like such give nothing."""
    assert numbers_in(data) == {}


@pytest.fixture
def far_from_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose local time is five and a half hours ahead."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "XXX-05:30")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("far_from_utc")
def test_a_time_without_a_zone_is_utc() -> None:
    """Wherever the measuring machine stands, a time without a zone is the same moment."""
    assert numbers_in('{"at": "1970-01-01T00:00:10"}') == {"at": 10.0}


def test_true_is_no_number() -> None:
    """Python takes true for 1; a sequence of true is no sequence of numbers."""
    assert numbers_in('{"a": true, "b": false, "c": 1}') == {"c": 1}


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 10**30])
def test_a_whole_number_beyond_64_bits_is_never_kept_as_one(value: int) -> None:
    """A recording holds 64-bit integers; what is beyond is left out, or kept as the float that JSON readers make of it."""
    assert not isinstance(numbers_in(json.dumps({"a": value})).get("a"), int)


def test_the_greatest_64_bit_numbers_are_kept() -> None:
    """The whole range of 64-bit integers is exact."""
    assert numbers_in(f'{{"a": {2**63 - 1}, "b": {-(2**63)}}}') == {"a": 2**63 - 1, "b": -(2**63)}


def test_only_three_levels_are_read() -> None:
    """Deeper ones are payload."""
    assert numbers_in('{"a": {"b": {"c": 1, "d": {"e": 2}}}}') == {"a.b.c": 1}


def test_only_24_numbers_are_kept() -> None:
    """The first 24, wherever they stand."""
    found = numbers_in(json.dumps({"x": {f"n{n}": n for n in range(20)}, **{f"m{n}": n for n in range(20)}}))

    assert list(found) == [f"x.n{n}" for n in range(20)] + [f"m{n}" for n in range(4)]


def test_a_name_too_long_is_left_out() -> None:
    """A name of more than 64 characters names nothing that a person would set as a field."""
    assert numbers_in(json.dumps({"k" * 64: 1, "k" * 65: 2, "a": {"k" * 63: 3}, "b": 4})) == {"k" * 64: 1, "b": 4}


def test_large_data_is_not_read() -> None:
    """Over 64 Ki characters are payload: decoding them would delay the next read."""
    assert numbers_in(json.dumps({"a": 1, "text": "x" * 70_000})) == {}


def test_deep_data_is_not_followed() -> None:
    """JSON nested thousands deep gives nothing and raises nothing."""
    assert numbers_in('{"a":' * 10_000 + "1" + "}" * 10_000) == {}


@given(
    st.one_of(
        st.text(),
        st.from_regex(r"-?\d{1,25}(\.\d{1,15})?", fullmatch=True),
        st.from_regex(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d([.,]\d+)?)?(Z|[+-]\d\d:?\d\d)?", fullmatch=True),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.datetimes().map(str),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=5),
        ).map(json.dumps),
    )
)
def test_any_data_gives_finite_numbers_or_none(data: str) -> None:
    """Whatever an event carries, nothing is raised, and what is found fits a recording."""
    found = numbers_in(data)

    assert len(found) <= 24
    assert all(type(value) in (int, float) and math.isfinite(value) for value in found.values())
    assert all(-(2**63) <= value < 2**63 for value in found.values() if isinstance(value, int))


JSON_DATA = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["17", "1.5", "1970-01-01T00:00:10Z"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c", "a.b", "k" * 65]), inner, max_size=3),
    max_leaves=6,
).map(json.dumps)


@given(
    st.lists(
        JSON_DATA | st.text(max_size=9) | st.sampled_from(['{"a": 1}', '{"a": 2}', '{"a": 2.5, "b": {"c": "3"}}']), min_size=1, max_size=9
    )
)
def test_events_together_have_the_numbers_that_each_has_alone(datas: list[str]) -> None:
    """Whatever their shapes, the columns of several events hold for each what it has by itself."""
    rows = [numbers_in(data) for data in datas]
    columns = numbers_of(datas)
    assert {name: list(column) for name, column in columns.items()} == {
        name: [row.get(name) for row in rows] for name in {name for row in rows for name in row}
    }


def test_of_many_numbers_each_event_keeps_its_own_first() -> None:
    """Of more than 24 fields that are numbers in some of the events only, it does not matter which events are looked at together."""
    names = [f"n{number}" for number in range(30)]
    datas = [json.dumps({name: 1 if number >= start else None for number, name in enumerate(names)}) for start in (0, 6)]
    assert {name: list(column) for name, column in numbers_of(datas).items()} == {
        name: [numbers_in(data).get(name) for data in datas] for name in names
    }
