"""Send stamps: found where a field can only be the time of sending, and nowhere else."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_check.fields import numbers_in
from sse_check.recording import StreamRecording
from sse_check.scenario import Timestamps
from sse_check.stamps import Stamps, find_both
from tests.support.streams import NOW, every, stream

SECONDS = every(1.0, 6)


def find_stamps(of: StreamRecording, named: Timestamps | None) -> Stamps | None:
    """The send stamps alone."""
    return find_both(of, named)[0]


def field(column: Sequence[int | float | None], *, name: str = "at", arrivals: Sequence[float] = SECONDS) -> Stamps | None:
    """What is found in a stream whose events carry this one column."""
    return find_stamps(stream(arrivals, fields={name: column}), None)


@pytest.mark.parametrize(
    ("unit", "resolution"),
    [("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9)],
)
def test_whole_numbers_since_the_epoch_are_found_in_every_unit(unit: str, resolution: float):
    """
    A field that grows like the time since the epoch is found, whichever unit it counts in, and its step is the clock's resolution.
    """
    per_second = round(1 / resolution)
    stamps = field([(round(NOW) + number) * per_second for number in range(6)])

    assert stamps is not None
    assert stamps.resolution == pytest.approx(resolution)
    assert list(stamps.sent) == [NOW + n for n in range(6)]


def test_fractions_of_seconds_are_a_fine_clock():
    """
    Seconds with digits behind the point are stamps as they are.
    """
    stamps = field([NOW + 0.25 + number for number in range(6)])

    assert stamps is not None
    assert (stamps.sent_span, stamps.resolution) == (5.0, 1e-6)


def test_times_as_iso_8601_text_are_found():
    """
    A time written as text in the data is found like a number.
    """
    texts = [datetime.fromtimestamp(NOW + 0.5 + number, UTC).isoformat() for number in range(6)]
    stamps = field([numbers_in(f'{{"at": "{text}"}}')["at"] for text in texts])

    assert stamps is not None
    assert list(stamps.sent) == [NOW + 0.5 + number for number in range(6)]


def test_an_id_that_is_a_time_is_found():
    """
    The event ID may be the stamp.
    """
    stamps = find_stamps(stream(SECONDS, ids=[str(round((NOW + n) * 1000)) for n in range(6)]), None)

    assert stamps is not None
    assert (stamps.field, stamps.sent_span) == ("id", 5.0)


def test_data_that_is_a_bare_number_can_be_a_stamp():
    """
    A stream that sends nothing but the time is stamped by it.
    """
    assert field([round((NOW + n) * 1000) for n in range(6)], name="") is not None


@given(st.integers(-9, 9), st.integers(3, 30))
def test_a_clock_that_is_years_off_still_gives_the_same_delays(years: int, count: int):
    """
    The server's clock need not agree with ours: only differences count.
    """
    sent = every(0.5, count)
    arrivals = [t + 0.01 for t in sent]
    there = find_stamps(stream(arrivals, sent=sent, server_clock=NOW + years * 365 * 86400), None)

    assert there is not None
    assert there.delays() == pytest.approx([0.0] * count, abs=1e-3)


def test_delays_are_relative_to_the_fastest_event():
    """
    Sent at 0, 1, 2 and all arrived at 2.1: held back by 2, 1 and 0 seconds.
    """
    stamps = Stamps(field="ts", resolution=0.001, sent=(0.0, 1.0, 2.0), arrived=(2.1, 2.1, 2.1), events=(0, 1, 2))

    assert (list(stamps.delays()), stamps.sent_span) == ([2.0, 1.0, 0.0], 2.0)


@pytest.mark.parametrize(
    ("named", "column", "sent"),
    [
        pytest.param(Timestamps(field="x", unit="s"), [5, 6, 7], (5.0, 6.0, 7.0), id="s"),
        pytest.param(Timestamps(field="x"), [5000, 6000, 7500], (5.0, 6.0, 7.5), id="ms unless said otherwise"),
        pytest.param(Timestamps(field="x", unit="us"), [5_000_000, 6_000_000, 7_000_000], (5.0, 6.0, 7.0), id="us"),
        pytest.param(Timestamps(field="x", unit="ns"), [5 * 10**9, 6 * 10**9, 7 * 10**9], (5.0, 6.0, 7.0), id="ns"),
        pytest.param(Timestamps(field="x", unit="iso8601"), [NOW, NOW + 1, NOW + 2], (NOW, NOW + 1, NOW + 2), id="iso8601"),
        pytest.param(Timestamps(field="x", unit="s"), [5, None, 7], (5.0, 7.0), id="an event without one"),
    ],
)
def test_a_named_field_is_taken_as_it_is_named(named: Timestamps, column: list[int | float | None], sent: tuple[float, ...]):
    """
    What the scenario names is the stamp, on whatever clock it counts: it may begin at the server's start.
    """
    stamps = find_stamps(stream([0.1, 1.1, 2.1], fields={"x": column}), named)

    assert stamps is not None
    assert (stamps.field, tuple(stamps.sent)) == ("x", sent)


def test_a_named_field_goes_before_one_that_would_be_found():
    """
    The scenario knows better: the field it names is used although another looks like a time.
    """
    observed = stream([0.1, 1.1, 2.1], sent=[0, 1, 2], fields={"meta.at": [10, 20, 30]})
    stamps = find_stamps(observed, Timestamps(field="meta.at", unit="s"))

    assert stamps is not None
    assert (stamps.field, stamps.sent_span) == ("meta.at", 20.0)


def test_a_named_id_is_read_as_a_number():
    """
    `timestamps: {field: id}` reads the event ID; events that set none of their own have no stamp.
    """
    stamps = find_stamps(stream([0.1, 1.1, 1.2, 2.1], ids=["1000", "2000", "2000", "3000"]), Timestamps(field="id"))

    assert stamps is not None
    assert (list(stamps.sent), list(stamps.arrived)) == ([1.0, 2.0, 3.0], [0.1, 1.1, 2.1])


def test_a_named_field_that_no_event_has_gives_no_stamps():
    """
    Where the named field is missing nothing else is taken in its place.
    """
    assert find_stamps(stream(SECONDS, sent=SECONDS), Timestamps(field="absent")) is None


def test_of_several_times_the_finest_clock_is_taken():
    """
    A time cut to whole seconds beside the same time in milliseconds adds nothing.
    """
    observed = stream(SECONDS, fields={"created": [round(NOW) + n for n in range(6)], "ts": [round((NOW + n) * 1000) for n in range(6)]})
    stamps = find_stamps(observed, None)

    assert stamps is not None
    assert stamps.field == "ts"


@pytest.mark.parametrize(
    ("column", "arrivals"),
    [
        pytest.param([NOW] * 6, SECONDS, id="a constant: when the run began"),
        pytest.param([NOW, NOW + 1, NOW + 2, NOW - 1, NOW + 3, NOW + 4], SECONDS, id="jumps back"),
        pytest.param([NOW - 86400 + n * 60 for n in range(6)], SECONDS, id="log lines of yesterday, a minute apart"),
        pytest.param([NOW - 9 + n for n in range(6)], [0.2] * 6, id="the last seconds' trades, replayed at once"),
        pytest.param([NOW - 3600, NOW, NOW + 1, NOW + 2, NOW + 3, NOW + 4], SECONDS, id="an old one, then live ones"),
        pytest.param([1, 2, 3, 4, 5, 6], SECONDS, id="a counter"),
        pytest.param([0, 0, 0, 0, 0, 0], SECONDS, id="zeros"),
        pytest.param([-1.5, 2.5, 99.0, 1e12, 5e17, 1e300], SECONDS, id="anything"),
        pytest.param([None] * 6, SECONDS, id="nothing"),
        pytest.param([NOW, None, None, None, None, NOW + 5], SECONDS, id="carried by few events"),
        pytest.param([NOW + 30 * 365 * 86400 + n for n in range(6)], SECONDS, id="expiry dates of decades ahead"),
        pytest.param([NOW], [0.1], id="one event"),
        pytest.param([NOW, NOW + 1], [0.1, 1.1], id="two events"),
        pytest.param([], [], id="no event"),
    ],
)
def test_what_is_no_time_of_sending_is_not_taken_for_one(column: list[int | float | None], arrivals: list[float]):
    """
    A field that does not grow, grows by more than the stream lasted, or is not carried by nearly all events is no stamp.
    """
    assert field(column, arrivals=arrivals) is None


def test_events_faster_than_the_clock_share_a_stamp():
    """
    Several events in one millisecond have one stamp; they are stamped all the same.
    """
    sent = [0.100, 0.100, 0.100, 0.101, 0.101, 0.102]
    stamps = find_stamps(stream(sent, sent=sent), None)

    assert stamps is not None
    assert stamps.delays() == pytest.approx([0.0] * 6, abs=1e-6)


def test_an_id_that_carries_on_stamps_its_own_event_only():
    """
    Heartbeat events between the stamped ones repeat the last ID without having been sent then.
    """
    ids = [str(round((NOW + n) * 1000)) for n in (0, 1, 1, 2, 3, 4)]
    stamps = find_stamps(stream([0.1, 1.1, 1.6, 2.1, 3.1, 4.1], ids=ids), None)

    assert stamps is not None
    assert stamps.delays() == pytest.approx([0.0] * 5, abs=1e-6)


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**63 - 1) | st.none(), max_size=8),
    st.lists(st.text(max_size=20), max_size=8),
)
def test_no_column_breaks_the_search(column: list[int | float | None], ids: list[str]):
    """
    Whatever numbers and IDs a server sends, the search ends in stamps that grow, or in none.
    """
    count = max(len(column), len(ids))
    stamps = find_stamps(
        stream(every(1.0, count), fields={"x": [*column, *[None] * (count - len(column))]}, ids=[*ids, *[""] * (count - len(ids))]), None
    )

    assert stamps is None or list(stamps.sent) == sorted(stamps.sent)
