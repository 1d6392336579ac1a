"""The recording of a run that is not over: what its file holds meanwhile, in lines that are only ever added.

A stream is described when it is opened, again when that description changes, and a last time when it is over (`open`). Between these
come its reads and events, as many as were new (`rows`), and after each round over all streams the time up to which everything that
came is there (`beat`). So a file that breaks off anywhere tells what came up to its last beat, and more.

Whole numbers are bytes, little-endian, in Base64: it takes a tenth of the time of writing numbers, and that is time of the process that
measures. Times are those of the run's clock, and become the stream's own when they are read: where its zero lies is known only once its
request is out.
"""

import sys
from array import array
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from sse_check.columns import Number, Numbers, Texts
from sse_check.escape import json_text
from sse_check.quantities import MOST_NS, Count, Ns
from sse_check.recording.model import Environment, Events, Reads, RecordingError, StreamRecording

_COLUMNS: Final = frozenset({"reads", "events", "comments_ns"})


class Opened(StreamRecording, frozen=True, kw_only=True, tag="open", omit_defaults=True):
    """What is known of a stream beside its reads and events; a later one of the same `number` replaces it.

    `zero_ns` is the stream's zero by the run's clock. While it is not `over`, its end is how it is to be taken if nothing follows.
    """

    number: Count
    zero_ns: Ns
    over: bool


class Rows(Struct, frozen=True, kw_only=True, array_like=True):
    """What one stream has received since its last rows: columns as in Reads and Events.

    `kernel_reads` is how many of all its reads so far the kernel stamped. A single type or ID stands for that of all the events.
    """

    number: Count
    kernel_reads: Count
    reads_ns: bytes
    errors_ns: bytes
    wire_bytes: bytes
    body_bytes: bytes
    mid_event: bytes
    exact: bytes
    events_ns: bytes
    event_reads: bytes
    event_sizes: bytes
    event_types: list[str]
    event_ids: list[str]
    numbers: dict[str, list[Number]]
    tokens: bytes
    comments_ns: bytes


class RowsLine(Struct, frozen=True, kw_only=True, tag_field="record", tag="rows"):
    """Rows of several streams."""

    rows: list[Rows]


class Beat(Struct, frozen=True, kw_only=True, tag_field="record", tag="beat", omit_defaults=True):
    """All that had come by this time of the run's clock stands before this line; the `machine` so far, where that is new."""

    at_ns: Ns
    machine: Environment | None = None


_encode: Final = msgspec.json.Encoder().encode_lines


def opened_line(stream: StreamRecording, *, number: int, zero_ns: int, over: bool) -> bytes:
    """A stream's description as a line; its columns are left out."""
    known = {name: getattr(stream, name) for name in StreamRecording.__struct_fields__ if name not in _COLUMNS}
    return json_text(_encode((Opened(number=number, zero_ns=zero_ns, over=over, **known),)))


def rows_line(rows: Sequence[Rows]) -> bytes:
    """Rows as a line."""
    return json_text(_encode((RowsLine(rows=list(rows)),)))


def beat_line(at_ns: int, machine: Environment | None = None) -> bytes:
    """The end of a round over all streams."""
    return json_text(_encode((Beat(at_ns=at_ns, machine=machine),)))


def as_bytes(column: "array[int]") -> bytes:
    """Whole numbers as they stand in rows."""
    if sys.byteorder == "big" and column.itemsize > 1:
        column = column[:]
        column.byteswap()
    return column.tobytes()


class _Columns:
    """The rows of one stream, put together."""

    __slots__ = (
        "body_bytes", "comments_ns", "errors_ns", "event_ids", "event_reads", "event_sizes", "event_types", "events_ns", "exact",
        "kernel_reads", "mid_event", "numbers", "reads_ns", "tokens", "wire_bytes",
    )  # fmt: skip

    def __init__(self) -> None:
        self.kernel_reads = 0
        self.reads_ns, self.errors_ns, self.events_ns, self.comments_ns = (array("q") for _ in range(4))
        self.wire_bytes, self.body_bytes, self.event_reads, self.event_sizes, self.tokens = (array("I") for _ in range(5))
        self.mid_event, self.exact = array("B"), array("B")
        self.event_types, self.event_ids = Texts(), Texts()
        self.numbers: dict[str, Numbers] = {}

    def add(self, rows: Rows) -> None:
        """Add rows behind the others. Raises ValueError where their columns do not fit together."""
        before = len(self.events_ns)
        for name in ("reads_ns", "errors_ns", "wire_bytes", "body_bytes", "mid_event", "exact", "events_ns", "event_reads", "event_sizes", "tokens", "comments_ns"):  # fmt: skip
            _extend(getattr(self, name), getattr(rows, name))
        count = len(self.events_ns) - before
        self.event_types.extend(_as_many(rows.event_types, count))
        self.event_ids.extend(_as_many(rows.event_ids, count))
        for name in rows.numbers.keys() - self.numbers.keys():
            self.numbers[name] = Numbers()
            self.numbers[name].pad(before)
        for name, column in self.numbers.items():
            if name in rows.numbers:
                column.extend(rows.numbers[name])
            else:
                column.pad(count)
        self.kernel_reads = rows.kernel_reads
        reads, events = len(self.reads_ns), len(self.events_ns)
        if {*map(len, (self.errors_ns, self.wire_bytes, self.body_bytes, self.mid_event, self.exact))} != {reads}:
            raise ValueError("columns of reads have different lengths")
        if {*map(len, (self.event_reads, self.event_sizes, self.event_types, self.event_ids, *self.numbers.values()))} != {events} or (
            len(self.tokens) not in (0, events)
        ):
            raise ValueError("columns of events have different lengths")
        if max(self.event_reads[before:], default=-1) >= reads:
            raise ValueError("an event came by a read that is not there")

    def of(self, stream: Opened, beat_ns: int) -> StreamRecording:
        """The stream with these columns; one that is not over ends at the last beat."""
        zero, count = stream.zero_ns, len(self.reads_ns)
        known = {name: getattr(stream, name) for name in StreamRecording.__struct_fields__ if name not in _COLUMNS}
        if not stream.over:
            last = max((beat_ns, *self.reads_ns[-1:], zero + (stream.times.head_ns or 0)))
            known["times"] = msgspec.structs.replace(stream.times, ended_ns=_since(zero, array("q", [last]))[0])
            known["last_event_id"] = self.event_ids[-1] if self.event_ids else stream.last_event_id
        known["clock"] = "kernel" if self.kernel_reads == count > 0 else "mixed" if self.kernel_reads else "user"
        return StreamRecording(
            **known,
            reads=Reads(
                at_ns=_since(zero, self.reads_ns),
                error_ns=_since(0, self.errors_ns),
                wire_bytes=self.wire_bytes,
                body_bytes=self.body_bytes,
                mid_event=self.mid_event,
                exact=self.exact,
            ),
            events=Events(
                at_ns=_since(zero, self.events_ns),
                read=self.event_reads,
                type=self.event_types,
                id=self.event_ids,
                size=self.event_sizes,
                numbers=dict(self.numbers),
                tokens=self.tokens,
            ),
            comments_ns=_since(zero, self.comments_ns),
        )


class Unfinished:
    """Puts the streams of a run that is not over together from the lines of its file; `machine` is what was last said of that."""

    def __init__(self) -> None:
        self.machine: Environment | None = None
        self._opened: dict[int, Opened] = {}
        self._columns: dict[int, _Columns] = {}
        self._beat_ns = 0

    def take(self, line: Opened | RowsLine | Beat) -> None:
        """Take the next line. Raises msgspec.ValidationError where its columns do not fit those before."""
        if isinstance(line, Opened):
            self._opened[line.number] = line
        elif isinstance(line, Beat):
            self._beat_ns = line.at_ns
            self.machine = line.machine or self.machine
        else:
            for rows in line.rows:
                try:
                    self._columns.setdefault(rows.number, _Columns()).add(rows)
                except ValueError as error:
                    raise msgspec.ValidationError(f"rows of stream {rows.number}: {error}") from None

    def streams(self, file: str) -> list[StreamRecording]:
        """The streams, in the order in which they were opened. Raises RecordingError where one makes no sense."""
        found = []
        for number in sorted(self._opened):
            try:
                found.append(self._columns.pop(number, _Columns()).of(self._opened[number], self._beat_ns))
            except OverflowError:
                raise RecordingError(f"{file}: stream {number} has times that no clock shows.") from None
        return found


def _extend(column: "array[int]", text: bytes) -> None:
    """Add whole numbers to a column. Raises ValueError where they are cut in the middle of one."""
    more = array(column.typecode)
    more.frombytes(text)
    if sys.byteorder == "big" and more.itemsize > 1:
        more.byteswap()
    column.extend(more)


def _as_many(texts: list[str], count: int) -> Iterable[str]:
    return texts * count if len(texts) == 1 else texts


def _since(zero: int, times: "array[int]") -> "array[int]":
    """Times since a moment. Raises OverflowError where one is such as no run has (quantities.py)."""
    since = array("q", map((-zero).__add__, times))
    if since and not -MOST_NS <= min(since) <= max(since) <= MOST_NS:
        raise OverflowError("a time that no clock shows")
    return since
