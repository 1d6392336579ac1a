"""When the server says it sent each event: the best evidence there is of what was held back on the way.

Delays are relative to the fastest event of the stream, so the two clocks need not agree.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

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
    sent: tuple[float, ...]
    arrived: tuple[float, ...]
    events: tuple[int, ...]

    @property
    def sent_span(self) -> float:
        """Seconds between the first and the last send time."""
        return max(self.sent) - min(self.sent)

    def delays(self) -> tuple[float, ...]:
        """How much longer than the fastest event each one took, in seconds.

        Sent at 0, 1, 2 and all arrived at 2.1: 2.0, 1.0, 0.0.
        """
        took = [arrived - sent for arrived, sent in zip(self.arrived, self.sent, strict=True)]
        fastest = min(took)
        return tuple(t - fastest for t in took)


def find_stamps(stream: StreamRecording, named: Timestamps | None) -> Stamps | None:
    """The stream's send stamps: those that the scenario names, else a field that can only be the time of sending."""
    if named is not None:
        column = _id_column(stream) if named.field == "id" else stream.events.numbers.get(named.field, ())
        unit = _UNITS[named.unit] if named.unit else epoch_unit(column, stream.sent_at) or _UNITS["ms"]
        return _stamps(stream, named.field, column, unit)
    # Among several, the finest clock: the others are times of something else, or the same time cut short.
    return min((s for s in _candidates(stream) if s.sent_span <= s.arrived[-1] + _SPAN_SLACK_S), key=lambda s: s.resolution, default=None)


def find_replay(stream: StreamRecording, named: Timestamps | None) -> Stamps | None:
    """The time stamps of events that were made before they were asked for: they span more time than the stream was open."""
    stamps = find_stamps(stream, named) if named is not None else min(_candidates(stream), key=lambda s: s.resolution, default=None)
    if stamps is None or not stamps.sent or len(stamps.sent) < 3:
        return None
    return stamps if stamps.sent_span > stamps.arrived[-1] + stamps.resolution and stamps.sent_span >= _REPLAY_MIN_S else None


def _candidates(stream: StreamRecording) -> list[Stamps]:
    """Every field that can be a time: near the moment of the request, carried by nearly all events, growing."""
    found = []
    for field, column in (*stream.events.numbers.items(), ("id", _id_column(stream))):
        unit = epoch_unit(column, stream.sent_at)
        stamps = unit and _stamps(stream, field, column, unit)
        if stamps and _grows(stamps, len(stream.events)):
            found.append(stamps)
    return found


def _stamps(stream: StreamRecording, field: str, column: Sequence[int | float | None], unit: float) -> Stamps | None:
    numbered = enumerate(zip(column, stream.events.at_ns, strict=False))
    pairs = [(number, value / unit, at / 1e9) for number, (value, at) in numbered if value is not None]
    if len(pairs) < 2:
        return None
    whole = all(float(value or 0).is_integer() for value in column if value is not None)
    resolution = 1 / unit if whole else 1e-6
    return Stamps(
        field=field,
        resolution=resolution,
        sent=tuple(s for _, s, _ in pairs),
        arrived=tuple(a for _, _, a in pairs),
        events=tuple(n for n, _, _ in pairs),
    )


def epoch_unit(column: Sequence[int | float | None], now: float) -> float | None:
    """How many of a column's units make a second, if its values can be times since the epoch; else None."""
    values = [value for value in column if value is not None]
    if not values:
        return None
    for unit in (1.0, 1e3, 1e6, 1e9):
        window = _NANOSECONDS_WINDOW_S if unit == 1e9 else _EPOCH_WINDOW_S
        if all(abs(value / unit - now) < window for value in (values[0], values[-1])):
            return unit
    return None


def _grows(stamps: Stamps, events: int) -> bool:
    """Whether a column that nobody named can be a time of the events: carried by nearly all of them, and growing."""
    if len(stamps.sent) < 3 or len(stamps.sent) < events * _MIN_COVERAGE:
        return False
    return stamps.sent_span > 0 and all(later >= earlier for earlier, later in pairwise(stamps.sent))


def _id_column(stream: StreamRecording) -> list[int | float | None]:
    """The event IDs as numbers; None where one is not. An ID carries on to events that set none: those have no stamp."""
    column: list[int | float | None] = []
    before = None
    for event_id in stream.events.id:
        is_number = event_id != before and event_id.isascii() and event_id.isdigit() and len(event_id) <= 19
        column.append(int(event_id) if is_number else None)
        before = event_id
    return column
