"""What was observed: frozen, without secrets, and on disk as NDJSON with a format version.

A recording holds no opinion. It is the seam between the two halves of sse-check: everything that judges is a function
of a recording and the scenario inside it, so `judge` needs no network.

Whatever columns a struct is made with, it keeps compact ones (columns.py): a run may hold millions of events. In a file they are
plain lists.

Times: every `*_ns` is in nanoseconds of one monotonic clock, from the moment the stream's first request was handed to
the socket (so what happened before is negative), unless its name says otherwise.

Format history:
    1   first version
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal

import msgspec
from msgspec import Raw, Struct

from sse_check.columns import Number, columns_in, compact, flags, ints, number_columns, stored, texts
from sse_check.quantities import Count, EpochSeconds, Ns, Seconds, SignedSeconds
from sse_check.scenario import Scenario

FORMAT_VERSION: Final = 1

# *limits* are streams that look for the limits of the way, *resume* those that are cut on purpose and asked for again.
Phase = Literal["connect", "stream", "concurrency", "follow-up", "limits", "resume"]
# What a follow-up changed: the encoding, the company, nothing (a second time), the way (past the proxies), or where the
# stream is to go on (Last-Event-ID).
Factor = Literal["identity", "alone", "again", "direct", "resume"]
Ended = Literal["until", "eof", "truncated", "reset", "timeout", "error"]
# Why a stream has no proper end: what the operating system, TLS, HTTP or sse-check's own bounds said; of a conversation
# (mcp.py), that the server answered with an error (`answer`), or did not speak as its protocol wants (`conversation`);
# that the verdict was certain without the rest of it (`decided`).
Reason = Literal[
    "dns", "tcp", "tls", "proxy", "no-response", "protocol", "decode", "limit", "interrupted", "budget", "policy", "redirects",
    "answer", "conversation", "decided",
]  # fmt: skip
# Why sse-check itself ended a stream that was alive: what had not come by then may have been on its way.
CUT_SHORT: Final[frozenset[Reason | None]] = frozenset({"interrupted", "budget", "decided"})

# Who stamped the reads: the kernel, when the newest of a read's bytes arrived (SO_TIMESTAMPNS); this process (`user`), when
# it took them; some by one, some by the other.
StampedBy = Literal["kernel", "user", "mixed"]


class Arm(Struct, frozen=True, kw_only=True):
    """One of the streams that look for limits: what the server was asked to send.

    `first-byte`: nothing at all. `silent`: the head, and nothing after it. `heartbeat`: a comment of `size` bytes every
    `every` seconds. `steady`: an event every `every` seconds.
    """

    kind: Literal["first-byte", "silent", "heartbeat", "steady"]
    every: Seconds = 0.0
    size: Count = 0


class Head(Struct, frozen=True, kw_only=True):
    """A response's status line and header fields, in their order."""

    status: Count
    reason: str
    protocol: str
    headers: tuple[tuple[str, str], ...]

    def header(self, name: str) -> str | None:
        """The first value of a header field, by its case-insensitive name."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    @property
    def media_type(self) -> str:
        """The Content-Type without its parameters, in lower case; of several the last (Fetch Standard, "extract a MIME type")."""
        values = [part for key, value in self.headers if key.lower() == "content-type" for part in value.split(",")]
        return values[-1].partition(";")[0].strip().lower() if values else ""


class Redirect(Struct, frozen=True, kw_only=True):
    """One redirect on the way to the stream."""

    status: Count
    location: str
    at_ns: Ns


class Times(Struct, frozen=True, kw_only=True):
    """When each phase of a connection was over. None: it did not happen, or is not separate."""

    started_ns: Ns = 0
    resolved_ns: Ns | None = None
    connected_ns: Ns | None = None
    tls_ns: Ns | None = None
    head_ns: Ns | None = None
    ended_ns: Ns = 0


class Reads(Struct, frozen=True, kw_only=True):
    """Every read of the body, as columns: when its bytes arrived, how many there were on the wire and decoded.

    `mid_event` says of each whether it ended inside of an event. `error_ns`: so long before its stamp its first byte
    arrived, at most; empty: not known, as in recordings of older versions. `exact`: its last byte arrived at its stamp, and
    ended an event.
    """

    at_ns: Sequence[int] = ()
    wire_bytes: Sequence[int] = ()
    body_bytes: Sequence[int] = ()
    mid_event: Sequence[int] = ()
    error_ns: Sequence[int] = ()
    exact: Sequence[int] = ()

    def __post_init__(self) -> None:
        compact(self, at_ns=ints, wire_bytes=ints, body_bytes=ints, mid_event=flags, error_ns=ints, exact=flags)


class Events(Struct, frozen=True, kw_only=True):
    """Every event, as columns. All events that one read completed share its stamp; `read` is that read's index.

    `size` is in characters of data. `numbers` has a column for each numeric field found (fields.py), None where an
    event lacks it. `tokens` is how many characters of generated text each brought, of probes with a preset only.
    """

    at_ns: Sequence[int] = ()
    read: Sequence[int] = ()
    type: Sequence[str] = ()
    id: Sequence[str] = ()
    size: Sequence[int] = ()
    numbers: dict[str, Sequence[Number]] = {}
    tokens: Sequence[int] = ()

    def __post_init__(self) -> None:
        compact(self, at_ns=ints, read=ints, type=texts, id=texts, size=ints, numbers=number_columns, tokens=ints)

    def __len__(self) -> int:
        return len(self.at_ns)


class StreamRecording(Struct, frozen=True, kw_only=True, tag_field="record", tag="stream"):
    """One stream from request to end.

    `clock` says who stamped the reads. `planned_end` is which of the scenario's ends was reached. `sent_at` is the
    wall-clock time of zero, seconds since the epoch; `run_ns` is zero since the run began. `max_streams` is how many streams
    the server allows on an HTTP/2 connection (SETTINGS_MAX_CONCURRENT_STREAMS), where it says so. `negotiated` is the
    protocol that was agreed on within HTTP, and its version.
    """

    probe: str
    stream: Count
    phase: Phase
    factor: Factor | None = None
    arm: Arm | None = None
    max_streams: Count | None = None
    negotiated: str | None = None
    method: str
    url: str
    sent_at: EpochSeconds
    run_ns: Ns
    clock: StampedBy = "user"
    peer: str | None = None
    times: Times
    redirects: tuple[Redirect, ...] = ()
    head: Head | None = None
    reads: Reads = Reads()
    events: Events = Events()
    comments_ns: Sequence[Ns] = ()
    retry_ms: Ns | None = None
    last_event_id: str = ""
    unknown_lines: Count = 0
    oversized: Count = 0
    body_start: str = ""
    ended: Ended
    planned_end: Literal["event", "events", "data", "json", "duration"] | None = None
    reason: Reason | None = None
    error: str | None = None

    def __post_init__(self) -> None:
        compact(self, comments_ns=ints)


class FallbackRecording(Struct, frozen=True, kw_only=True, tag_field="record", tag="fallback"):
    """One fallback that was tried: whether it worked, and how long it took.

    `answered` is after how many seconds it answered, `held` for how many a WebSocket was open and silent after that.
    """

    kind: Literal["websocket", "batch"]
    url: str
    worked: bool
    seconds: Seconds
    detail: str
    answered: Seconds | None = None
    held: Seconds | None = None


class ServiceRecording(Struct, frozen=True, kw_only=True, tag_field="record", tag="service"):
    """One container that was started for the check.

    `seconds` is how long it took to get ready, with its image at hand. `error` says why it never did; then nothing was
    asked. `state` is how the engine called it at the end (`running`, `exited with status 1`). `log` is the end of what
    it wrote, kept where something failed.
    """

    name: str
    image: str
    in_front_of: str | None = None
    seconds: Seconds | None = None
    error: str | None = None
    state: str = ""
    log: str = ""


class Calibration(Struct, frozen=True, kw_only=True):
    """What the machine could resolve before the run: how much later than their sending events of the embedded server were stamped.

    In seconds, over so many events.
    """

    samples: Count
    error_p50: SignedSeconds
    error_p99: SignedSeconds
    error_max: SignedSeconds
    clock: StampedBy


class Environment(Struct, frozen=True, kw_only=True):
    """The machine that measured, and how late it was: the event loop's lag in seconds, sampled all through the run.

    `cpu_seconds` is what this process took of a core in the `open_seconds` in which streams were open.
    `inside` says what sse-check ran in, where localhost is not the machine's: a `container`, or the container of an
    `action`. `gateway` is the address at which the machine is reached from there.
    """

    version: str
    python: str
    platform: str
    loop_lag_p50: Seconds = 0.0
    loop_lag_p99: Seconds = 0.0
    loop_lag_max: Seconds = 0.0
    loop_lag_samples: Count = 0
    cpu_seconds: Seconds = 0.0
    open_seconds: Seconds = 0.0
    proxies: tuple[str, ...] = ()
    inside: Literal["container", "action"] | None = None
    gateway: str | None = None
    calibration: Calibration | None = None


class Shard(Struct, frozen=True, kw_only=True):
    """Which part of a run was observed: shard `index` of `of`, from 1. `start_at` is the instant at which all were to begin (RFC 3339)."""

    index: Count
    of: Count
    start_at: str | None = None


class Recording(Struct, frozen=True, kw_only=True):
    """A whole run, or a `shard` of one. `interrupted` names what broke it off: a signal or the budget.

    `apart`: sentences on what was to be observed at once by several machines, and was not.
    `decided` says what made the verdict certain, where that ended the run (`criteria.decide: early`).
    """

    started_at: str
    shard: Shard | None = None
    scenario: Scenario
    environment: Environment
    streams: tuple[StreamRecording, ...] = ()
    fallbacks: tuple[FallbackRecording, ...] = ()
    services: tuple[ServiceRecording, ...] = ()
    interrupted: str | None = None
    decided: str | None = None
    apart: tuple[str, ...] = ()


class _Header(Struct, frozen=True, kw_only=True, tag_field="record", tag="run"):
    format: Literal["sse-check recording"] = "sse-check recording"
    format_version: int = FORMAT_VERSION
    started_at: str
    shard: Shard | None = None
    scenario: Scenario


class _End(Struct, frozen=True, kw_only=True, tag_field="record", tag="end"):
    environment: Environment
    streams: Count
    interrupted: str | None = None
    decided: str | None = None
    apart: tuple[str, ...] = ()


class _StreamLine(StreamRecording, frozen=True, kw_only=True, tag="stream"):
    """A stream whose columns are still text. As lists they take ten times the room, so they are read one after the other."""

    reads: Raw = Raw(b"{}")  # type: ignore[assignment]  # not yet what it will be
    events: Raw = Raw(b"{}")  # type: ignore[assignment]  # the same

    def read(self) -> StreamRecording:
        """The stream. Raises msgspec.ValidationError where a column is no column."""
        plain = {name: getattr(self, name) for name in StreamRecording.__struct_fields__}
        reads, events = columns_in(self.reads, Reads, "reads"), columns_in(self.events, Events, "events")
        return StreamRecording(**{**plain, "reads": reads, "events": events})


class RecordingError(Exception):
    """A file is no recording that can be judged; the message says where and why."""


def to_lines(recording: Recording) -> Iterator[bytes]:
    """The recording as NDJSON: a header, one line a stream, a fallback and a service, and an end that proves it whole."""
    lines = msgspec.json.Encoder(enc_hook=stored).encode_lines  # a line at a time: one of a long stream is large
    yield lines((_Header(started_at=recording.started_at, shard=recording.shard, scenario=recording.scenario),))
    for record in (*recording.streams, *recording.fallbacks, *recording.services):
        yield lines((record,))
    end = _End(
        environment=recording.environment,
        streams=len(recording.streams),
        interrupted=recording.interrupted,
        decided=recording.decided,
        apart=recording.apart,
    )
    yield lines((end,))


def from_lines(lines: Iterable[bytes], *, file: str) -> Recording:
    """Read a recording. One that was cut off is read as far as it goes and marked as interrupted.

    Raises RecordingError with file and line where it is something else.
    """
    decoder = msgspec.json.Decoder(_Header | _StreamLine | FallbackRecording | ServiceRecording | _End)
    header, end = None, None
    streams: list[StreamRecording] = []
    fallbacks: list[FallbackRecording] = []
    services: list[ServiceRecording] = []
    broken: RecordingError | None = None
    number = 0
    for line in lines:
        number += 1
        if not line or line.isspace():
            continue
        if broken:
            raise broken
        try:
            if header is None:
                _check_version(line, file)
            record = decoder.decode(line)
            if isinstance(record, _StreamLine):
                record = record.read()
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            # The last line may be half written; any other is a fault of the file.
            broken = RecordingError(f"{file}:{number}: not a line of a recording: {error}.")
            if header is None:
                raise broken from None
            continue
        del line  # one of a long stream is large, and the next is read before it would go
        if isinstance(record, _Header):
            header = record
        elif isinstance(record, StreamRecording):
            streams.append(record)
        elif isinstance(record, FallbackRecording):
            fallbacks.append(record)
        elif isinstance(record, ServiceRecording):
            services.append(record)
        elif isinstance(record, _End):
            end = record
    if header is None:
        raise RecordingError(f"{file}:1: not a recording of sse-check. Give a recording.ndjson from a report directory.")
    whole = end is not None and end.streams == len(streams) and broken is None
    return Recording(
        started_at=header.started_at,
        shard=header.shard,
        scenario=header.scenario,
        environment=end.environment if end else Environment(version="", python="", platform=""),
        streams=tuple(streams),
        fallbacks=tuple(fallbacks),
        services=tuple(services),
        interrupted=end.interrupted if end and whole else "the recording is not complete",
        decided=end.decided if end else None,
        apart=end.apart if end else (),
    )


def _check_version(line: bytes, file: str) -> None:
    try:
        head = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        head = None
    if not isinstance(head, dict) or head.get("format") != "sse-check recording":
        raise RecordingError(f"{file}:1: not a recording of sse-check. Give a recording.ndjson from a report directory.")
    version = head.get("format_version")
    if version != FORMAT_VERSION:
        raise RecordingError(
            f"{file}:1: format version {version}; this sse-check reads version {FORMAT_VERSION}. Use the version that wrote it."
        )
