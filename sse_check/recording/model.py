"""What was observed: frozen, and without secrets.

Whatever columns a struct is made with, it keeps compact ones (columns.py): a run may hold millions of events. In a file they are
plain lists.

Times: every `*_ns` is in nanoseconds of one monotonic clock, from the moment the stream's first request was handed to
the socket (so what happened before is negative), unless its name says otherwise.
"""

from collections.abc import Sequence
from typing import Final, Literal

from msgspec import Struct

from sse_check.columns import Number, compact, flags, ints, number_columns, texts
from sse_check.quantities import Count, EpochSeconds, Ns, Seconds, SignedSeconds
from sse_check.scenario import Scenario

# *limits* are streams that look for the limits of the way, *resume* those that are cut on purpose and asked for again.
Phase = Literal["connect", "stream", "concurrency", "follow-up", "limits", "resume"]
# What a follow-up changed: the encoding, the company, nothing (a second time), the way (past the proxies), or where the
# stream is to go on (Last-Event-ID).
Factor = Literal["identity", "alone", "again", "direct", "resume"]
Ended = Literal["until", "eof", "truncated", "reset", "timeout", "error"]
# Why a stream has no proper end: what the operating system, TLS, HTTP or sse-check's own bounds said; of a conversation
# (mcp.py), that the server answered with an error (`answer`), or did not speak as its protocol wants (`conversation`);
# that the verdict was certain without the rest of it (`decided`); that the measuring machine could not open it (`machine`).
Reason = Literal[
    "dns", "tcp", "tls", "proxy", "no-response", "protocol", "decode", "limit", "interrupted", "budget", "policy", "redirects",
    "answer", "conversation", "decided", "machine",
]  # fmt: skip
# Why sse-check itself ended a stream that was alive: what had not come by then may have been on its way.
CUT_SHORT: Final[frozenset[Reason | None]] = frozenset({"interrupted", "budget", "decided", "limit"})
# The same in a run that was otherwise completed: what was missed by then counts, what was not due yet does not.
ENDED_EARLY: Final[frozenset[Reason | None]] = frozenset({"decided", "limit"})

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


class RecordingError(Exception):
    """A file is no recording that can be judged; the message says where and why."""
