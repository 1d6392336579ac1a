"""When the server says it sent each event: the best evidence there is of what was held back on the way.

Delays are relative to the fastest event of the stream, so the two clocks need not agree.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice, pairwise, repeat
from operator import le, sub, truediv
from typing import Final

from sse_check.columns import Number, Numbers, Seconds
from sse_check.recording import StreamRecording
from sse_check.scenario import Timestamps

_UNITS: Final = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9, "iso8601": 1.0}
# A number is taken for a time since the epoch if it lies so near the moment of the request; the units are a factor of
# 1,000 apart, so it can be one of them only. Wide enough for a
# clock that is years off.
_EPOCH_WINDOW_S: Final = 10 * 365 * 86400.0
# IDs with a time inside (snowflakes) lie within years of nanoseconds.
_NANOSECONDS_WINDOW_S: Final = 366 * 86400.0
# Stamps found without being told are believed only if this share of the events carries them...
_MIN_COVERAGE: Final = 0.8
# ...and if together they span no more than the time the stream was open, with a second to spare for coarse clocks:
# times of trades or log lines replayed from the past span more.
_SPAN_SLACK_S: Final = 1.0
# Events that were made within less than this may have been made while the request was on its way.
_REPLAY_MIN_S: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamps:
    """Send times of the events that carry one, by the server's clock, beside their arrival by ours; in seconds.

    `events` are the numbers of those events, from 0. `field` is the JSON path, or `id`; `resolution` is the step of the
    server's clock as far as its digits show.
    """

    field: str
    resolution: float
    sent: Sequence[float]
    arrived: Sequence[float]
    events: Sequence[int]

    @property
    def sent_span(self) -> float:
        """Seconds between the first and the last send time."""
        return max(self.sent) - min(self.sent)

    def delays(self) -> "array[float]":
        """How much longer than the fastest event each one took, in seconds.

        Sent at 0, 1, 2 and all arrived at 2.1: 2.0, 1.0, 0.0.
        """
        took = array("d", map(sub, self.arrived, self.sent))
        return array("d", map(sub, took, repeat(min(took))))


def find_both(stream: StreamRecording, named: Timestamps | None) -> tuple[Stamps | None, Stamps | None]:
    """The stream's send stamps, and its time stamps where they show that its events were made before they were asked for.

    The send stamps are those that the scenario names, else a field that can only be the time of sending.
    Such events were made over more time than the stream was open.
    """
    if named is not None:
        column = _id_column(stream) if named.field == "id" else stream.events.numbers.get(named.field, ())
        unit = _UNITS[named.unit] if named.unit else epoch_unit(column, stream.sent_at) or _UNITS["ms"]
        stamps = finest = _stamps(stream, named.field, column, unit)
    else:
        found = _candidates(stream)
        # Among several, the finest clock: the others are times of something else, or the same time cut short.
        fitting = (s for s in found if s.sent_span <= s.arrived[-1] + _SPAN_SLACK_S)
        stamps = min(fitting, key=lambda s: s.resolution, default=None)
        finest = min(found, key=lambda s: s.resolution, default=None)
    return stamps, finest if finest is not None and _is_replay(finest) else None


def _is_replay(stamps: Stamps) -> bool:
    if len(stamps.sent) < 3:
        return False
    return stamps.sent_span > stamps.arrived[-1] + stamps.resolution and stamps.sent_span >= _REPLAY_MIN_S


def _candidates(stream: StreamRecording) -> list[Stamps]:
    """Every field that can be a time: near the moment of the request, carried by nearly all events, growing."""
    columns = list(stream.events.numbers.items())
    if _ids_are_times(stream):
        columns.append(("id", _id_column(stream)))
    found = []
    for field, column in columns:
        unit = epoch_unit(column, stream.sent_at)
        stamps = unit and _stamps(stream, field, column, unit)
        if stamps and _grows(stamps, len(stream.events)):
            found.append(stamps)
    return found


def _ids_are_times(stream: StreamRecording) -> bool:
    """Whether the first and the last ID can be times. Of a long stream most IDs only count, and to read them all as numbers takes long."""
    ids = stream.events.id
    if not any(ids):
        return False
    ends = [next((int(text) for text in texts if _is_number(text)), None) for texts in (iter(ids), reversed(ids))]
    return epoch_unit(ends, stream.sent_at) is not None


def _stamps(stream: StreamRecording, field: str, column: Sequence[Number], unit: float) -> Stamps | None:
    at = stream.events.at_ns
    events: Sequence[int] = range(min(len(column), len(at)))
    if any(value is None for value in column):
        events = array("q", (number for number, value in zip(events, column, strict=False) if value is not None))
        at = array("q", map(at.__getitem__, events))
    if len(events) < 2:
        return None
    values = [value for value in column if value is not None]
    whole = all(isinstance(value, int) or value.is_integer() for value in values)
    return Stamps(
        field=field,
        resolution=1 / unit if whole else 1e-6,
        sent=array("d", map(truediv, values[: len(events)], repeat(unit))),
        arrived=Seconds(at),
        events=events,
    )


def epoch_unit(column: Sequence[Number], now: float) -> float | None:
    """How many of a column's units make a second, if its values can be times since the epoch; else None."""
    first = next((value for value in column if value is not None), None)
    last = next((value for value in reversed(column) if value is not None), None)
    if first is None or last is None:
        return None
    for unit in (1.0, 1e3, 1e6, 1e9):
        window = _NANOSECONDS_WINDOW_S if unit == 1e9 else _EPOCH_WINDOW_S
        if all(abs(value / unit - now) < window for value in (first, last)):
            return unit
    return None


def _grows(stamps: Stamps, events: int) -> bool:
    """Whether a column that nobody named can be a time of the events: carried by nearly all of them, and growing."""
    if len(stamps.sent) < 3 or len(stamps.sent) < events * _MIN_COVERAGE:
        return False
    return stamps.sent_span > 0 and all(map(le, stamps.sent, islice(stamps.sent, 1, None)))


def _id_column(stream: StreamRecording) -> Numbers:
    """The event IDs as numbers; None where one is not. An ID carries on to events that set none: those have no stamp."""
    pairs = pairwise(chain([""], stream.events.id))
    return Numbers(int(now) if now != before and _is_number(now) else None for before, now in pairs)


def _is_number(event_id: str) -> bool:
    return event_id.isascii() and event_id.isdigit() and len(event_id) <= 19
