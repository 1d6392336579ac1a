"""Whether a stream that is asked for again goes on where it was: nothing lost, nothing repeated, by what counts its events."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from msgspec import Struct

from sse_check.diagnosis.cutting import broke_off, counters
from sse_check.diagnosis.finding import Finding
from sse_check.diagnosis.sign import Figures, Sign, View
from sse_check.escape import quoted
from sse_check.instances import instance_of, told_apart
from sse_check.metrics import StreamMetrics
from sse_check.units import format_duration


class Resume(Struct, frozen=True, kw_only=True):
    """One reconnect. `ok` is None where nothing tells; `waited` is the time between the two connections, in seconds.

    `retry` is the reconnection time that the server asked for. The instances are named where responses name them.
    """

    probe: str
    after: int
    last_event_id: str
    ok: bool | None
    detail: str
    waited: float
    retry: float | None
    instance: str | None
    resumed_on: str | None
    evidence: Figures = {}


Counted = tuple[str, list[int], list[int]]


def resume_broken(v: View) -> Sign | None:
    """After a cut, a reconnect with Last-Event-ID does not go on where the stream was."""
    resumed = v.twin("resume")
    if resumed is None or not broke_off(v.m):
        return None
    counted = _counted(v.m, resumed, None)
    if counted is None or (found := _break(*counted)) is None:
        return None
    what, figures = found
    return Sign(
        message=f"After the cut a reconnect with `Last-Event-ID: {v.m.stream.last_event_id}` was answered {what}.", evidence=figures
    )


def find_resumes(reconnects: Sequence[StreamMetrics], asked: Sequence[StreamMetrics]) -> tuple[Resume, ...]:
    """What each reconnect on purpose has shown. Streams that were asked for whole tell the order of IDs that are no numbers."""
    by_probe: dict[str, list[StreamMetrics]] = {}
    for m in reconnects:
        by_probe.setdefault(m.stream.probe, []).append(m)
    results: list[Resume] = []
    for probe, streams in by_probe.items():
        first, *later = sorted(streams, key=lambda m: m.stream.stream)
        whole = max((m for m in asked if m.stream.probe == probe), key=lambda m: m.total, default=None)
        answered = [m for m in later if m.stream.head is not None]
        # A network error is followed by another try; only where none is answered it is the result.
        results += [_resume(first, m, whole) for m in answered or later[-1:]]
        if not later:
            results += _not_cut(first)
    return tuple(results)


def resume_findings(resumes: Sequence[Resume]) -> list[Finding]:
    """A finding for each probe of which a reconnect failed."""
    broken: dict[str, Resume] = {}
    for resume in resumes:
        if resume.ok is False:
            broken.setdefault(resume.probe, resume)
    return [
        Finding(
            code="resume-broken",
            severity="error",
            confidence="certain",
            probe=probe,
            streams=(),
            evidence={"last_event_id": resume.last_event_id, **resume.evidence},
            message=resume.detail,
        )
        for probe, resume in broken.items()
    ]


def _resume(first: StreamMetrics, then: StreamMetrics, whole: StreamMetrics | None) -> Resume:
    ok, detail, figures = _went_on(first, then, whole)
    wanted = first.probe.instance
    names = (instance_of(first.stream.head, wanted), instance_of(then.stream.head, wanted))
    where = ""
    if all(names) and told_apart(names):
        where = (
            " on the same instance"
            if names[0] == names[1]
            else f" on another instance ({quoted(names[1] or '')}, was {quoted(names[0] or '')})"
        )
    retry = first.stream.retry_ms
    began, ended = then.stream.run_ns, first.stream.run_ns + first.stream.times.ended_ns
    waited = (began - ended) / 1e9
    return Resume(
        probe=first.stream.probe,
        after=first.total,
        last_event_id=first.stream.last_event_id,
        ok=ok,
        detail=f"Cut after {first.total} events and asked for again {format_duration(max(waited, 0.0))} later{where}: {detail}.",
        waited=round(waited, 3),
        retry=None if retry is None else retry / 1000,
        instance=names[0],
        resumed_on=names[1],
        evidence=figures,
    )


def _not_cut(first: StreamMetrics) -> list[Resume]:
    """It was over, or failed, before it could be cut; a failure of its own is told by the probe's other streams."""
    if first.stream.head is None or first.stream.head.status != 200 or first.stream.reason is not None:
        return []
    return [
        Resume(
            probe=first.stream.probe,
            after=first.total,
            last_event_id=first.stream.last_event_id,
            ok=None,
            detail=f"The stream was over after {first.total} events, before it was to be cut.",
            waited=0.0,
            retry=None,
            instance=None,
            resumed_on=None,
        )
    ]


def _went_on(first: StreamMetrics, then: StreamMetrics, whole: StreamMetrics | None) -> tuple[bool | None, str, Figures]:
    """Whether a reconnect went on where the first connection was, in words and figures."""
    head = then.stream.head
    if then.stream.reason in ("interrupted", "budget"):
        return None, "the run was stopped before it was over", {}
    if head is None:
        return False, f"no answer ({quoted(then.stream.error or 'none')})", {}
    if head.status == 204:
        return False, "the answer was status 204, on which EventSource stops for good, though the stream had not ended", {"status": 204}
    if head.status != 200:
        return False, f"the answer was status {head.status}, on which EventSource gives up for good", {"status": head.status}
    if head.media_type != "text/event-stream":
        return False, f"the answer's Content-Type was {quoted(head.media_type or 'missing')}, on which EventSource gives up for good", {}
    if not first.stream.last_event_id:
        return False, "the events carry no `id`, so no reconnect can say where to go on", {}
    if not then.total:
        return (False if then.ended > 0 and _more_was_due(first, whole) else None), "nothing more came", {"events": 0}
    counted = _counted(first, then, whole)
    if counted is None:
        return None, "neither IDs nor sequence numbers tell whether events were lost or repeated", {"events": then.total}
    name, before, after = counted
    found = _break(name, before, after)
    if found is None:
        return (
            True,
            f"it went on with {name} {after[0]}, and nothing was lost or repeated",
            {"went_on_with": after[0], "lost": 0, "repeated": 0},
        )
    what, figures = found
    return False, f"it was answered {what}", figures


def _more_was_due(first: StreamMetrics, whole: StreamMetrics | None) -> bool:
    """Whether the stream has more events than those before the cut."""
    return max(first.probe.expect.events or 0, whole.total if whole else 0) > first.total


def _counted(before: StreamMetrics, after: StreamMetrics, whole: StreamMetrics | None) -> Counted | None:
    """What counts the events of both, by one: the IDs, else a sequence number, else the place of an ID in the whole stream."""
    later = dict(counters(after))
    for name, values in counters(before):
        if values and later.get(name) and _counts(values) and (len(values) > 1 or _counts(later[name], least=2)):
            return name, values, later[name]
    ids = list(dict.fromkeys(text for text in (whole.stream.events.id if whole else ()) if text))
    places = {text: number for number, text in enumerate(ids, 1)}
    here, there = ([places.get(text, 0) for text in dict.fromkeys(m.stream.events.id) if text] for m in (before, after))
    known = here and there and all(here) and all(there)
    return ("event", here, there) if known and _counts(here) else None


def _counts(values: Sequence[int], least: int = 1) -> bool:
    steps = [later - earlier for earlier, later in pairwise(values)]
    return len(values) >= least and all(step == 1 for step in steps)


def _break(name: str, before: Sequence[int], after: Sequence[int]) -> tuple[str, Figures] | None:
    """Where two parts of a count do not join: what was lost, what came twice, in words and figures; None if they join."""
    repeated = len(set(after) & set(before))
    expected, seen = set(range(before[-1] + 1, max(after) + 1)), set(after)
    lost = len(expected - seen)
    figures: Figures = {"went_on_with": after[0], "lost": lost, "repeated": repeated}
    if after[0] <= before[-1]:
        again: Literal["", " (it began again)"] = " (it began again)" if after[0] <= before[0] else ""
        came = f"{repeated} events were repeated" if repeated else "its numbers no longer follow on those before"
        return f"from {name} {after[0]} on{again}: {came}", figures
    if after[0] > before[-1] + 1:
        return f"from {name} {after[0]} on: {after[0] - before[-1] - 1} events were lost", figures
    if lost or len(seen) < len(after):
        return f"from {name} {after[0]} on, but {lost} of the events after it were lost and {len(after) - len(seen)} came twice", figures
    return None
