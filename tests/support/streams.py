"""Invented streams in a line each: what a server might have sent and what arrived of it, without a server.

Times are in seconds from the request. A value that a test does not name is that of a healthy stream.

    stream(every(1.0, 20))                                       # an event a second, as it should be
    stream([20.0] * 20, sent=every(1.0, 20))                     # the same, held back until the response ended
    stream([0.1, 1.1, 2.1], ids=["1", "2", "4"], ended="reset")  # an event lost, then cut
"""

from collections.abc import Sequence
from typing import Any, Final

from sse_check.metrics import StreamMetrics, measure
from sse_check.recording import (
    Environment,
    Events,
    FallbackRecording,
    Head,
    Reads,
    Recording,
    Redirect,
    ServiceRecording,
    StreamRecording,
    Times,
)
from sse_check.scenario import Criteria, Expect, Fallback, Probe, Scenario, Target, Timestamps, Until
from sse_check.verdict import Outcome, judge

NOW: Final = 1_768_473_000.0  # the wall-clock time of every invented request
PROBE: Final = "wallet"


def every(gap: float, count: int, *, first: float = 0.1) -> list[float]:
    """An even cadence: every(1.0, 3) -> 0.1, 1.1, 2.1."""
    return [round(first + number * gap, 6) for number in range(count)]


def ns(seconds: float) -> int:
    """Seconds as the recording keeps them."""
    return round(seconds * 1e9)


def answer(status: int = 200, *, reason: str = "OK", content_type: str | None = "text/event-stream", **headers: str) -> Head:
    """A response head; `x_cache="HIT"` adds the header field `x-cache`."""
    fields = [(name.replace("_", "-"), value) for name, value in headers.items()]
    kind = [] if content_type is None else [("Content-Type", content_type)]
    return Head(status=status, reason=reason, protocol="http/1.1", headers=(*kind, *fields))


OK: Final = answer()


def stream(
    arrivals: Sequence[float] = (),
    *,
    sent: Sequence[float | None] | None = None,
    server_clock: float = NOW,
    ids: Sequence[str] | None = None,
    fields: dict[str, Sequence[int | float | None]] | None = None,
    types: Sequence[str] | None = None,
    tokens: Sequence[int] = (),
    comments: Sequence[float] = (),
    head: Head | None = OK,
    head_at: float | None = None,
    ended: Any = "eof",
    end: float | None = None,
    redirects: Sequence[Redirect] = (),
    body: int | None = None,
    errors: Sequence[float] = (),
    exact: Sequence[bool] | None = None,
    probe: str = PROBE,
    number: int = 1,
    **rest: Any,
) -> StreamRecording:
    """One stream whose events arrived at these times; those at one time in one read.

    `sent` are the server's own send times: a field `ts` in whole milliseconds by its clock, which showed `server_clock`
    at the request. `fields` are other numbers in the events' data. `end` is right behind the last sign of life, unless
    said otherwise; `body` is the number of body bytes where there are no events. `errors` are how long before its stamp each
    read may have arrived; `exact` are those whose last event did not, unless said otherwise all that the kernel stamped. `rest` goes into the recording as it is.
    """
    count = len(arrivals)
    at = [ns(t) for t in arrivals]
    reads = sorted({*at, *map(ns, comments)})
    numbers: dict[str, Sequence[int | float | None]] = {name: list(column) for name, column in (fields or {}).items()}
    if sent is not None:
        numbers["ts"] = [None if t is None else round((server_clock + t) * 1000) for t in sent]
    if head is not None and head_at is None:
        head_at = min([0.05, *arrivals, *comments])
    sizes = [60] * len(reads)
    if body is not None:
        reads, sizes = [ns((head_at or 0.0) + 0.001)], [body]
    number_of = {at: read for read, at in enumerate(reads)}
    last = max([head_at or 0.0, *arrivals, *comments, *(t / 1e9 for t in reads)])
    return StreamRecording(
        probe=probe,
        stream=number,
        phase=rest.pop("phase", "stream"),
        method=rest.pop("method", "GET"),
        url=rest.pop("url", "https://app.example.test/events"),
        sent_at=rest.pop("sent_at", NOW),
        run_ns=rest.pop("run_ns", 0),
        times=Times(
            started_ns=ns(-0.01), head_ns=None if head_at is None else ns(head_at), ended_ns=ns(last + 0.01 if end is None else end)
        ),
        redirects=tuple(redirects),
        head=head,
        reads=Reads(
            at_ns=reads,
            wire_bytes=sizes,
            body_bytes=list(sizes),
            mid_event=[False] * len(reads),
            error_ns=[ns(t) for t in errors],
            exact=[rest.get("clock") == "kernel"] * len(reads) if exact is None else list(exact),
        ),
        events=Events(
            at_ns=at,
            read=[number_of.get(t, 0) for t in at],
            type=list(types or ["message"] * count),
            id=list(ids or [""] * count),
            size=[40] * count,
            numbers=numbers,
            tokens=list(tokens),
        ),
        comments_ns=[ns(t) for t in comments],
        ended=ended,
        **rest,
    )


def probe(name: str = PROBE, *, path: str = "/events", **rest: Any) -> Probe:
    """One probe; `until`, `expect` and `timestamps` may be mappings, as they are in YAML."""
    for key, kind in (("until", Until), ("expect", Expect), ("timestamps", Timestamps)):
        if isinstance(rest.get(key), dict):
            rest[key] = kind(**rest[key])
    return Probe(name=name, path=path, **rest)


def scenario(
    *probes: Probe,
    name: str = "An invented run",
    health: str | None = None,
    fallbacks: Sequence[Fallback] = (),
    target: Target | None = None,
    **criteria: Any,
) -> Scenario:
    """A scenario of these probes, else of the one that every invented stream belongs to; `criteria` by their names."""
    return Scenario(
        version=1,
        name=name,
        target=target or Target(url="https://app.example.test", health=health),
        criteria=Criteria(**criteria),
        probes=probes or (probe(),),
        fallbacks=tuple(fallbacks),
    )


QUIET: Final = Environment(version="1.0.0", python="3.14.0", platform="Linux x86_64", loop_lag_p99=0.0004, loop_lag_samples=1000)


def recording(
    *streams: StreamRecording,
    scenario: Scenario = scenario(),  # noqa: B008  # frozen
    fallbacks: Sequence[FallbackRecording] = (),
    services: Sequence[ServiceRecording] = (),
    interrupted: str | None = None,
    decided: str | None = None,
    **environment_of: Any,
) -> Recording:
    """A run of these streams on a quiet machine; `loop_lag_p99=0.5` makes it a busy one, `inside="action"` a step of a workflow."""
    environment = Environment(**{**{name: getattr(QUIET, name) for name in QUIET.__struct_fields__}, **environment_of})
    return Recording(
        started_at="2026-01-15T10:30:00Z",
        scenario=scenario,
        environment=environment,
        streams=streams,
        fallbacks=tuple(fallbacks),
        services=tuple(services),
        interrupted=interrupted,
        decided=decided,
    )


def judged(*streams: StreamRecording, of: Scenario | None = None, **rest: Any) -> Outcome:
    """What these streams come to."""
    return judge(recording(*streams, scenario=of or scenario(), **rest))


def codes(*streams: StreamRecording, of: Scenario | None = None, **rest: Any) -> list[str]:
    """The codes of what is found in these streams, in the report's order."""
    return [finding.code for finding in judged(*streams, of=of, **rest).findings]


def measured(observed: StreamRecording, of: Scenario | None = None) -> StreamMetrics:
    """The figures of one stream, by the first probe of a scenario."""
    plan = of or scenario()
    return measure(observed, plan.probes[0], plan.criteria)
