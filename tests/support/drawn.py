"""Streams and runs drawn by hypothesis: any columns that fit together, any text a server might send."""

from collections.abc import Sequence
from typing import Any, get_args

import msgspec
from hypothesis import strategies as st

from sse_check.quantities import MOST_NS, MOST_SECONDS
from sse_check.recording import (
    Arm,
    Calibration,
    Events,
    FallbackRecording,
    Head,
    Reads,
    Reason,
    Recording,
    Redirect,
    ServiceRecording,
    StreamRecording,
    Times,
)
from sse_check.scenario import LimitSearch, Probe, Resume, Scenario
from tests.support.streams import QUIET, probe, scenario

_TIMES = st.integers(0, 120 * 10**9)
_ANY_TIMES = st.integers(-MOST_NS, MOST_NS)  # all that a recording may hold
_ANY_COUNTS = st.integers(0, 10**12)
_NUMBERS = st.one_of(
    st.none(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), st.integers(1_700_000_000, 1_800_000_000)
)
_TEXT = st.text(max_size=12)
_IDS = st.one_of(_TEXT, st.integers(0, 10**20).map(str))
_NAMES = st.sampled_from(["", "ts", "seq", "meta.at", "index"])

_CALIBRATIONS = st.builds(
    Calibration,
    samples=st.integers(0, 10**6),
    error_p50=st.floats(0, 1),
    error_p99=st.floats(0, 1) | st.floats(-MOST_SECONDS, MOST_SECONDS),
    error_max=st.floats(0, 1),
    clock=st.sampled_from(["kernel", "user"]),
)

_ARMS = st.builds(
    Arm,
    kind=st.sampled_from(["first-byte", "silent", "heartbeat", "steady"]),
    every=st.floats(0, MOST_SECONDS),
    size=st.integers(0, 10**12),
)


@st.composite
def streams(draw: st.DrawFn, names: tuple[str, ...] = ("a",), wild: bool = False) -> StreamRecording:
    """Any stream: its columns have one length each, and its reads and events are in order of time.

    A `wild` one is as somebody may have written it into a file: in no order, with any times and counts.
    """
    times = _TIMES | _ANY_TIMES if wild else _TIMES
    reads = draw(st.lists(times, max_size=6))
    reads = reads if wild else sorted(reads)
    counts = [draw(st.integers(0, 3)) for _ in reads]
    at = [time for time, count in zip(reads, counts, strict=True) for _ in range(count)]
    read = [number for number, count in enumerate(counts) for _ in range(count)]
    if wild and at:
        at = draw(st.just(at) | st.lists(times, min_size=len(at), max_size=len(at)))
        read = draw(st.just(read) | st.lists(st.integers(0, 9) | _ANY_COUNTS, min_size=len(at), max_size=len(at)))

    def column(values: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(values, min_size=len(at), max_size=len(at)))

    numbers: dict[str, Sequence[int | float | None]] = {name: column(_NUMBERS) for name in draw(st.sets(_NAMES, max_size=2))}
    head = st.builds(
        Head,
        status=st.sampled_from([200, 200, 200, 204, 302, 404, 503]),
        reason=_TEXT,
        protocol=st.sampled_from(["http/1.0", "http/1.1"]),
        headers=st.lists(
            st.tuples(
                st.sampled_from(["Content-Type", "X-Cache", "SSE-Check-Arm", "X-Instance"]),
                st.sampled_from(["text/event-stream", "text/html", "\x00"]),
            ),
            max_size=2,
        ).map(tuple),
    )
    last = max(0, *reads, 0)
    return StreamRecording(
        probe=draw(st.sampled_from(names)),
        stream=draw(st.integers(1, 4)),
        phase=draw(st.sampled_from(["connect", "stream", "concurrency", "limits", "resume", *(["follow-up"] if wild else [])])),
        factor=draw(st.sampled_from([None, "identity", "alone", "again", "direct", "resume"])) if wild else None,
        arm=draw(st.none() | _ARMS),
        method="GET",
        url=draw(_TEXT),
        sent_at=draw(st.floats(-1e11, 1e11) if wild else st.floats(0, 4e9)),
        run_ns=draw(times),
        peer=draw(st.none() | _TEXT),
        times=Times(
            started_ns=-5,
            head_ns=draw(st.none() | (times if wild else st.integers(0, reads[0] if reads else 10**9))),
            ended_ns=draw(times) if wild else last + draw(_TIMES),
        ),
        redirects=tuple(draw(st.lists(st.builds(Redirect, status=st.just(307), location=_TEXT, at_ns=times), max_size=1))),
        head=draw(st.none() | head),
        clock=draw(st.sampled_from(["user", "kernel", "mixed"])),
        reads=Reads(
            at_ns=reads,
            wire_bytes=[40] * len(reads),
            body_bytes=[60] * len(reads),
            mid_event=draw(st.lists(st.booleans(), min_size=len(reads), max_size=len(reads))),
            error_ns=draw(st.just([]) | st.lists(_TIMES | _ANY_TIMES, min_size=len(reads), max_size=len(reads))),
            exact=draw(st.just([]) | st.lists(st.booleans(), min_size=len(reads), max_size=len(reads))),
        ),
        events=Events(
            at_ns=at,
            read=read,
            type=column(_TEXT),
            id=column(_IDS),
            size=column(_ANY_COUNTS if wild else st.integers(0, 10**6)),
            numbers=numbers,
            tokens=draw(st.just([]) | st.lists(st.integers(0, 9), min_size=len(at), max_size=len(at))),
        ),
        comments_ns=draw(st.lists(times, max_size=4)) if wild else sorted(draw(st.lists(st.integers(0, last), max_size=2))),
        retry_ms=draw(st.none() | st.integers(0, 10**6)),
        last_event_id=draw(_TEXT),
        unknown_lines=draw(st.integers(0, 3)),
        oversized=draw(st.integers(0, 1)),
        body_start=draw(_TEXT),
        ended=draw(st.sampled_from(["until", "eof", "truncated", "reset", "timeout", "error"])),
        planned_end=draw(st.none() | st.sampled_from(["event", "events", "data", "duration"])),
        reason=draw(st.none() | st.sampled_from(get_args(Reason))),
        error=draw(st.none() | _TEXT),
    )


def _probes(name: str) -> st.SearchStrategy[Probe]:
    return st.builds(
        probe,
        st.just(name),
        streams=st.none() | st.integers(1, 3),
        until=st.fixed_dictionaries(
            {}, optional={"event": _TEXT, "events": st.integers(1, 9), "data": _TEXT, "duration": st.floats(0, 60)}
        ),
        expect=st.fixed_dictionaries({}, optional={"events": st.integers(1, 9), "every": st.floats(0, 10), "gradual": st.booleans()}),
        limits=st.none() | st.builds(LimitSearch, until=st.floats(0, 60), silent=st.none() | st.just("/silent")),
        resume=st.none() | st.builds(Resume, after=st.integers(1, 9)),
        timestamps=st.none()
        | st.fixed_dictionaries(
            {"field": st.sampled_from(["ts", "id", "seq"]), "unit": st.sampled_from(["s", "ms", "us", "ns", "iso8601"])}
        ),
    )


@st.composite
def scenarios(draw: st.DrawFn, wild: bool = False) -> Scenario:
    """Any scenario of one or two probes with distinct names."""
    names = draw(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=2, unique=True))
    return scenario(
        *(draw(_probes(name)) for name in names),
        success_rate=draw(st.floats(0, 100)),
        event_deadline=draw(st.floats(0, 86400) if wild else st.floats(0.1, 60)),
        first_event=draw(st.floats(0, 86400) if wild else st.floats(0.1, 10)),
        confidence=draw(st.none() | st.floats(0, 100)) if wild else None,
        deadline_from=draw(st.sampled_from(["request", "previous", "sent"])),
    )


@st.composite
def recordings(draw: st.DrawFn, wild: bool = False) -> Recording:
    """Any run of any scenario; a `wild` one is as somebody may have written it into a file."""
    plan = draw(scenarios(wild))
    tried = st.builds(
        FallbackRecording,
        kind=st.sampled_from(["websocket", "batch"]),
        url=_TEXT,
        worked=st.booleans(),
        seconds=st.floats(0, 10),
        detail=_TEXT,
    )
    service = st.builds(
        ServiceRecording,
        name=_TEXT,
        image=_TEXT,
        in_front_of=st.none() | _TEXT,
        seconds=st.none() | st.floats(0, 60),
        error=st.none() | st.text(min_size=1, max_size=40),
        state=st.sampled_from(["", "running", "exited with status 3"]) | _TEXT,
        log=_TEXT,
    )
    return Recording(
        started_at=draw(_TEXT) if wild else "2026-01-15T10:30:00Z",
        scenario=plan,
        environment=msgspec.structs.replace(
            QUIET,
            loop_lag_p99=draw(st.floats(0, MOST_SECONDS) if wild else st.sampled_from([0.0, 0.001, 5.0])),
            calibration=draw(st.none() | _CALIBRATIONS),
        ),
        streams=tuple(draw(st.lists(streams(tuple(p.name for p in plan.probes), wild), max_size=4))),
        fallbacks=tuple(draw(st.lists(tried, max_size=1))),
        services=tuple(draw(st.lists(service, max_size=2))),
        interrupted=draw(st.none() | _TEXT),
    )
