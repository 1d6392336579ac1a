"""A stream as it is being recorded: what the transport hands over goes through the parser into columns that grow.

Nothing here is an object for each event: times, sizes and numbers are arrays, texts share a table, and an event's data is
looked at and let go. What one read brings is taken together, so that a stream at full rate costs little more than its parsing.
"""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec

from sse_check.bounds import Account, Share, fields_bytes
from sse_check.columns import Numbers, Texts
from sse_check.eventstream import Columns, EventStreamParser
from sse_check.fields import json_in, numbers_in, numbers_of, values_at
from sse_check.mcp import Listener
from sse_check.plan import StreamPlan
from sse_check.recording import Events, Head, Reads, Redirect, StreamRecording, Times
from sse_check.redaction import Redactor
from sse_check.scenario import token_characters
from sse_check.transport import End, Trace
from sse_check.transport.arrival import Stamp
from sse_check.transport.decoding import window_of

PlannedEnd = Literal["event", "events", "data", "json", "duration"]

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})  # Fetch Standard: "redirect status"
_MAX_NAMES: Final = 100  # of numeric fields: more are passed over
_MAX_ERROR_BODY: Final = 16 * 1024  # of a response that is no stream: enough to say what it was
_BODY_START: Final = 300  # characters of such a body that are kept
_MAX_TEXT: Final = 256  # characters of an event's type or id that are kept
_MAX_LAST_ID: Final = 8192  # of the last id, which a reconnect sends whole: servers take headers of about that size
# What is kept is counted after so many bytes or reads, whichever comes first: between two counts it grows by a few MiB at most.
_COUNT_BYTES: Final = 4096
_COUNT_READS: Final = 64
_MAX_ERROR: Final = 500  # characters of what went wrong, which may quote an answer
_MAX_JSON: Final = 4 * 1024 * 1024  # characters of an event that may be the last: a tool's answer may be long, and nothing follows it


@dataclass(slots=True)
class LiveStream:
    """A stream as it is being recorded: columns that grow, for the transport to fill and a live view to read.

    `kernel_reads` is how many of the reads were stamped by the kernel. `account` is that of all streams of the run. `redactor` is
    asked where a text is cut: the first part of a secret is not recognised any more. `wall_distance_ns` is the clock minus the wall
    clock.
    """

    plan: StreamPlan
    redactor: Redactor = field(default_factory=Redactor)
    account: Account = field(default_factory=Account)
    share: Share = field(init=False)
    heads_bytes: int = 0
    counted_at: int = 0
    wall_distance_ns: int = 0
    follow_redirects: bool = True
    traces: list[Trace] = field(default_factory=list)
    redirects: list[Redirect] = field(default_factory=list)
    head_seen: Head | None = None
    reads_ns: "array[int]" = field(default_factory=lambda: array("q"))
    errors_ns: "array[int]" = field(default_factory=lambda: array("q"))
    wire_bytes: "array[int]" = field(default_factory=lambda: array("I"))
    body_bytes: "array[int]" = field(default_factory=lambda: array("I"))
    mid_event: "array[int]" = field(default_factory=lambda: array("B"))
    exact: "array[int]" = field(default_factory=lambda: array("B"))
    kernel_reads: int = 0
    events_ns: "array[int]" = field(default_factory=lambda: array("q"))
    event_reads: "array[int]" = field(default_factory=lambda: array("I"))
    event_types: Texts = field(default_factory=Texts)
    event_ids: Texts = field(default_factory=Texts)
    event_sizes: "array[int]" = field(default_factory=lambda: array("I"))
    numbers: dict[str, Numbers] = field(default_factory=dict)
    tokens: "array[int]" = field(default_factory=lambda: array("I"))
    comments_ns: "array[int]" = field(default_factory=lambda: array("q"))
    body_start: bytearray = field(default_factory=bytearray)
    parser: EventStreamParser = field(default_factory=EventStreamParser)
    total_bytes: int = 0
    planned_end: PlannedEnd | None = None
    over_limit: str | None = None
    finished: bool = False
    end: End | None = None
    listener: Listener | None = None
    negotiated: str | None = None

    def __post_init__(self) -> None:
        self.share = Share(self.account)

    # --- the transport's sink -------------------------------------------------------------------------------------

    def head(self, at_ns: int, head: Head) -> bool:
        """Take the response's head; a redirect that will be followed needs no body."""
        self.head_seen = head
        self.heads_bytes += fields_bytes(head.headers)
        self._count()
        return self.redirect_to() is not None or self._over(self.share.beyond())

    def redirect_to(self) -> str | None:
        """Where the response sends us, if it is a redirect to be followed."""
        if self.head_seen is None or self.head_seen.status not in _REDIRECTS or not self.follow_redirects:
            return None
        return self.head_seen.header("location")

    def body(self, stamp: Stamp, wire_bytes: int, data: bytes) -> bool:
        """Take one read: stamp it, parse it, see whether the stream's end has been reached."""
        if wire_bytes or not self.reads_ns:
            self.reads_ns.append(stamp.ns)
            self.errors_ns.append(stamp.error_ns)
            self.kernel_reads += stamp.kernel
            self.wire_bytes.append(wire_bytes or len(data))
            self.body_bytes.append(len(data))
            self.mid_event.append(0)
            self.exact.append(0)
        else:
            self.body_bytes[-1] += len(data)
        self.total_bytes += len(data)
        if len(self.body_start) < (most := _BODY_START * 4 + self.redactor.reach):
            self.body_start += data[:most]
        if not self._is_stream():
            return self.total_bytes > _MAX_ERROR_BODY and self._over(
                f"the body of status {self.status} has more than {_MAX_ERROR_BODY:,} bytes"
            )
        parser = self.parser
        events = parser.feed_columns(data)
        if events.types:
            self._take(stamp.ns, events)
        self.mid_event[-1] = parser.mid_event
        self.exact[-1] = stamp.exact and parser.ended_event
        if parser.comments:
            self.comments_ns.extend([stamp.ns] * len(parser.comments))
            parser.comments.clear()
        return self.planned_end is not None or self._limits()

    @property
    def sent_ns(self) -> int | None:
        """When the request was handed to the socket from which the stream's time counts; None before."""
        return self._first.sent_ns if self.traces else None

    @property
    def opening(self) -> bool:
        """Whether its connection is still being made."""
        return not self.finished and (not self.traces or self.traces[-1].sent_ns is None)

    @property
    def status(self) -> int | None:
        """The response's status, once there is one."""
        return self.head_seen.status if self.head_seen else None

    def _is_stream(self) -> bool:
        """Whether the body is worth parsing: any body of a 200, whatever its type says; what it was is judged later."""
        return self.status == 200 and self.plan.phase != "connect"

    def _take(self, at_ns: int, events: Columns) -> None:
        """Add what a read has completed to the columns, up to the event that is the planned end."""
        types, datas, ids = events
        if self.plan.preset is not None or self.plan.until.json is not None or self.listener is not None:
            taken = self._understood(events)
        else:
            taken = self._planned(events)
        if taken < len(types):
            types, datas, ids = types[:taken], datas[:taken], ids[:taken]
            self.parser.last_event_id = ids[-1]  # what the same read brought after it was not taken
        if taken == 1:
            self._keep(at_ns, types[0], datas[0], ids[0])
            return
        before = len(self.events_ns)
        self.events_ns.extend(array("q", [at_ns]) * taken)
        self.event_reads.extend(array("I", [len(self.reads_ns) - 1]) * taken)
        self.event_types.extend(self._cut(types))
        self.event_ids.extend(self._cut(ids))
        self.event_sizes.extend(map(len, datas))
        found = numbers_of(datas)
        self._begin_columns(found, before)
        for name, column in self.numbers.items():
            if name in found:
                column.extend(found[name])
            else:
                column.pad(taken)

    def _keep(self, at_ns: int, kind: str, data: str, event_id: str) -> None:
        """Add one event to the columns: what a live stream does nearly always, and most of its cost."""
        before = len(self.events_ns)
        self.events_ns.append(at_ns)
        self.event_reads.append(len(self.reads_ns) - 1)
        self.event_types.append(kind if len(kind) <= _MAX_TEXT else self.redactor.beginning(kind, _MAX_TEXT))
        self.event_ids.append(event_id if len(event_id) <= _MAX_TEXT else self.redactor.beginning(event_id, _MAX_TEXT))
        self.event_sizes.append(len(data))
        found = numbers_in(data)
        if not found.keys() <= self.numbers.keys():
            self._begin_columns(found, before)
        for name, column in self.numbers.items():
            column.append(found.get(name))

    def _cut(self, texts: Sequence[str]) -> Sequence[str]:
        """The texts, each no longer than what is kept."""
        if max(map(len, texts)) <= _MAX_TEXT:
            return texts
        return [text if len(text) <= _MAX_TEXT else self.redactor.beginning(text, _MAX_TEXT) for text in texts]

    def _begin_columns(self, names: Iterable[str], before: int) -> None:
        """A column for each number that is there for the first time."""
        for name in names:
            if name not in self.numbers and len(self.numbers) < _MAX_NAMES:
                self.numbers[name] = Numbers()
                self.numbers[name].pad(before)

    def _planned(self, events: Columns) -> int:
        """How many of the events are the stream's: all, or those up to its planned end, which is noted."""
        until, before = self.plan.until, len(self.events_ns)
        types, datas, _ = events
        if len(types) == 1:
            if types[0] == until.event:
                self.planned_end = "event"
            elif datas[0] == until.data:
                self.planned_end = "data"
            elif until.events is not None and before + 1 >= until.events:
                self.planned_end = "events"
            return 1
        ends: dict[PlannedEnd, int] = {}
        if until.event in types:
            ends["event"] = types.index(until.event) + 1
        if until.data in datas:
            ends["data"] = datas.index(until.data) + 1
        if until.events is not None and before + len(types) >= until.events:
            ends["events"] = until.events - before
        if not ends:
            return len(types)
        planned, taken = min(ends.items(), key=lambda end: end[1])  # of two at one event the first of these
        self.planned_end = planned
        return taken

    def _understood(self, events: Columns) -> int:
        """The same, where what the events say matters: to a conversation, to count tokens, or as the end."""
        until, preset, before = self.plan.until, self.plan.preset, len(self.events_ns)
        for number, (kind, data) in enumerate(zip(events.types, events.datas, strict=True), 1):
            value = json_in(data, _MAX_JSON)
            if self.listener is not None:
                self.listener(kind, data, value)
            if preset is not None:
                self.tokens.append(token_characters(preset, kind, value))
            own = self.listener is not None and values_at(value, ("method",))  # the other side of a conversation counts by itself
            if until.json is not None and not own and values_at(value, until.json) == until.json:
                self.planned_end = "json"
            elif until.event is not None and kind == until.event:
                self.planned_end = "event"
            elif until.data is not None and data == until.data:
                self.planned_end = "data"
            elif until.events is not None and before + number >= until.events:
                self.planned_end = "events"
            if self.planned_end is not None:
                return number
        return len(events.types)

    def _limits(self) -> bool:
        if self.total_bytes < self.counted_at + _COUNT_BYTES and len(self.reads_ns) % _COUNT_READS:
            return False
        self.counted_at = self.total_bytes
        self._count()
        reads, events, comments = len(self.reads_ns), len(self.events_ns), len(self.comments_ns)
        return self._over(self.share.beyond(reads=reads, events=events, comments=comments, body=self.total_bytes))

    def _count(self) -> None:
        texts = self.event_types.room + self.event_ids.room
        other = self.heads_bytes + texts + sum(column.room for column in self.numbers.values())
        if not self.finished:
            coding = self.head_seen.header("content-encoding") if self.head_seen else None
            other += self.parser.held + min(self.total_bytes, window_of(coding))
        self.share.count(reads=len(self.reads_ns), events=len(self.events_ns), comments=len(self.comments_ns), other=other)

    def finish(self) -> None:
        """Nothing more comes: what was not complete is let go, and counts no more."""
        self.finished = True
        self.parser.close()
        self._count()

    def _over(self, what: str | None) -> bool:
        self.over_limit = what
        return what is not None

    # --- the recording --------------------------------------------------------------------------------------------

    @property
    def zero_ns(self) -> int:
        """The moment from which the recording's times count. There must be a trace."""
        return self.sent_ns if self.sent_ns is not None else self._first.started_ns

    @property
    def _first(self) -> Trace:
        # What comes before the stream of a conversation is none of its time; redirects are.
        return self.traces[-1 if self.listener is not None else 0]

    @property
    def body_shown(self) -> bool:
        """Whether the beginning of the body is kept: it is where the response is no stream, or not one that shows any event."""
        is_event_stream = self.head_seen is not None and self.head_seen.media_type == "text/event-stream"
        return not (self._is_stream() and is_event_stream and (self.events_ns or not self.total_bytes))

    def described(self, end: End, *, redactor: Redactor, run_started_ns: int) -> StreamRecording:
        """What was observed beside the reads and events, relative to the first request's sending and without secrets.

        There must be a trace. `end` is how the stream ended, or is to be taken to have ended.
        """
        zero, first, last, redirects = self.zero_ns, self._first, self.traces[-1], self.redirects

        def since(at: int | None) -> int | None:
            return None if at is None else at - zero

        head = self.head_seen
        url = redirects[-1].location if redirects and self.redirect_to() is None else self.plan.request.url
        shown = self.body_start.decode("utf-8", "replace") if self.body_shown else ""
        return StreamRecording(
            probe=redactor.text(self.plan.probe),
            stream=self.plan.stream,
            phase=self.plan.phase,
            factor=self.plan.factor,
            arm=self.plan.arm,
            max_streams=last.max_streams,
            negotiated=self.negotiated and redactor.text(self.negotiated),
            method=self.plan.request.method,
            url=redactor.url(url),
            sent_at=(zero - self.wall_distance_ns) / 1e9,
            run_ns=zero - run_started_ns,
            peer=last.peer,
            times=Times(
                started_ns=first.started_ns - zero,
                resolved_ns=since(last.resolved_ns),
                connected_ns=since(last.connected_ns),
                tls_ns=since(last.tls_ns),
                head_ns=since(last.head_ns),
                ended_ns=end.at_ns - zero,
            ),
            redirects=tuple(Redirect(status=r.status, location=redactor.url(r.location)[:2000], at_ns=r.at_ns - zero) for r in redirects),
            head=head and msgspec.structs.replace(head, reason=redactor.text(head.reason)[:200], headers=_kept_headers(head, redactor)),
            clock="kernel" if self.kernel_reads == len(self.reads_ns) > 0 else "mixed" if self.kernel_reads else "user",
            retry_ms=_whole(redactor.numbers([self.parser.retry])[0]),
            last_event_id=redactor.beginning(self.parser.last_event_id, _MAX_LAST_ID),
            unknown_lines=self.parser.unknown_lines,
            oversized=self.parser.oversized,
            body_start=redactor.beginning(shown, _BODY_START, cut=self.total_bytes > len(self.body_start)),
            ended=end.ended,
            planned_end=self.planned_end,
            reason=end.reason,
            error=end.error and redactor.text(end.error)[:_MAX_ERROR],
        )

    def freeze(self, end: End, *, redactor: Redactor, run_started_ns: int) -> StreamRecording:
        """The whole stream, now that it is over."""
        zero = self.zero_ns
        return msgspec.structs.replace(
            self.described(end, redactor=redactor, run_started_ns=run_started_ns),
            reads=Reads(
                at_ns=_relative(self.reads_ns, zero),
                error_ns=self.errors_ns,
                wire_bytes=self.wire_bytes,
                body_bytes=self.body_bytes,
                mid_event=self.mid_event,
                exact=self.exact,
            ),
            events=Events(
                at_ns=_relative(self.events_ns, zero),
                read=self.event_reads,
                type=self.event_types.mapped(redactor.text),
                id=self.event_ids.mapped(redactor.text) if redactor.has_secrets else self.event_ids,
                size=self.event_sizes,
                numbers={redactor.text(name): redactor.numbers(column) for name, column in self.numbers.items()},
                tokens=self.tokens,
            ),
            comments_ns=_relative(self.comments_ns, zero),
        )


def _whole(number: int | float | None) -> int | None:
    return None if number is None else int(number)


def _relative(times: "array[int]", zero: int) -> "array[int]":
    """Times since a moment."""
    return array("q", map((-zero).__add__, times))


def _kept_headers(head: Head, redactor: Redactor) -> tuple[tuple[str, str], ...]:
    """The response's headers as they may be kept; `Location` is a URL and is cleaned as one."""
    return tuple(
        (redactor.text(name), redactor.url(value) if name.lower() == "location" else redactor.header(name, value))
        for name, value in head.headers
    )
