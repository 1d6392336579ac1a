"""Whether a stream that is asked for again goes on where it was: nothing lost, nothing repeated, by what counts its events."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, Literal

from msgspec import Struct

from sse_check.diagnosis.cures import CUT_SOONER, NO_ID
from sse_check.diagnosis.cutting import COUNTING_SHARE, broke_off, counters
from sse_check.diagnosis.finding import Finding
from sse_check.diagnosis.sign import Figures, Sign, View
from sse_check.escape import quoted
from sse_check.instances import instance_of, told_apart
from sse_check.metrics import StreamMetrics
from sse_check.recording import CUT_SHORT
from sse_check.stamps import epoch_unit
from sse_check.units import format_duration


class Resume(Struct, frozen=True, kw_only=True):
    """One reconnect. `ok` is None where nothing tells; `waited` is the time between the two connections, in seconds.

    `retry` is the reconnection time that the server asked for. The instances are named where responses name them.
    `uncut`: the stream was over before it was to be cut.
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
    uncut: bool = False


Counted = tuple[str, Sequence[int], Sequence[int]]

_MOST_ID: Final = 256  # characters of an ID that are shown


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
        message=f"After the cut a reconnect with {quoted(f'Last-Event-ID: {v.m.stream.last_event_id}')} was answered {what}.",
        evidence=figures,
    )


def find_resumes(reconnects: Sequence[StreamMetrics], asked: Sequence[StreamMetrics]) -> tuple[Resume, ...]:
    """What each reconnect on purpose has shown. Streams that were asked for whole tell the order of IDs that are no numbers."""
    results: list[Resume] = []
    for first, *later in _series(reconnects):
        whole = max((m for m in asked if m.stream.probe == first.stream.probe), key=lambda m: m.total, default=None)
        answered = [m for m in later if m.stream.head is not None]
        # A network error is followed by another try; only where none is answered it is the result.
        results += [_resume(first, m, whole) for m in answered or later[-1:]]
        if not later:
            results += _not_cut(first)
    return tuple(results)


def _series(reconnects: Sequence[StreamMetrics]) -> list[list[StreamMetrics]]:
    """Each stream that was cut, followed by its reconnects: a probe has one in each of the runs that are judged as one."""
    series: list[list[StreamMetrics]] = []
    latest: dict[str, list[StreamMetrics]] = {}
    for m in reconnects:
        if m.stream.stream == 1 or m.stream.probe not in latest:
            latest[m.stream.probe] = []
            series.append(latest[m.stream.probe])
        latest[m.stream.probe].append(m)
    return series


def resume_findings(resumes: Sequence[Resume]) -> list[Finding]:
    """A finding for each probe of which a reconnect failed; a warning where there was nothing to cut."""
    broken: dict[str, Resume] = {}
    for resume in resumes:
        if resume.ok is False:
            broken.setdefault(resume.probe, resume)
    uncut = [resume for resume in resumes if resume.uncut and resume.probe not in broken]
    return [
        *(
            Finding(
                code="resume-broken",
                severity="warning",
                confidence="possible",
                probe=resume.probe,
                streams=(),
                evidence={"events": resume.after},
                message=f"{resume.detail} Whether it can be resumed is not known.",
                fixes=(CUT_SOONER,),
            )
            for resume in uncut
        ),
        *_broken(broken),
    ]


def _broken(broken: dict[str, Resume]) -> list[Finding]:
    return [
        Finding(
            code="resume-broken",
            severity="error",
            confidence="certain",
            probe=probe,
            streams=(),
            evidence={"last_event_id": resume.last_event_id, **resume.evidence},
            message=resume.detail,
            fixes=() if resume.last_event_id else (NO_ID,),
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
        last_event_id=first.stream.last_event_id[:_MOST_ID],
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
    if first.stream.planned_end == "events":
        return []  # it was cut, and the run was stopped before it was asked for again
    given_up = first.stream.ended == "timeout"
    over = f"sse-check gave up after {format_duration(first.ended)}" if given_up else "The stream was over"
    return [
        Resume(
            probe=first.stream.probe,
            after=first.total,
            last_event_id=first.stream.last_event_id[:_MOST_ID],
            ok=None,
            detail=f"{over}, with {first.total} events, before it was to be cut.",
            waited=0.0,
            retry=None,
            instance=None,
            resumed_on=None,
            uncut=True,
        )
    ]


def _went_on(first: StreamMetrics, then: StreamMetrics, whole: StreamMetrics | None) -> tuple[bool | None, str, Figures]:
    """Whether a reconnect went on where the first connection was, in words and figures."""
    head = then.stream.head
    if then.stream.reason in CUT_SHORT:
        return None, "the run was stopped before it was over", {}
    if head is None:
        return False, f"no answer ({quoted(then.stream.error or 'none')})", {}
    if head.status == 204:
        if not _more_was_due(first, whole):
            return None, "the answer was status 204, which is right if that was its last event", {"status": 204}
        return False, "the answer was status 204, on which EventSource stops for good, though the stream had not ended", {"status": 204}
    if head.status != 200:
        return False, f"the answer was status {head.status}, on which EventSource gives up for good", {"status": head.status}
    if head.media_type != "text/event-stream":
        return False, f"the answer's Content-Type was {quoted(head.media_type or 'missing')}, on which EventSource gives up for good", {}
    if not first.stream.last_event_id:
        return False, "the events carry no `id`, so no reconnect can say where to go on", {}
    if not then.total:
        # One that stays open may wait for what has not happened yet, unless it is known to have happened.
        quiet = then.stream.ended in ("until", "timeout") and not _came_later(first, whole)
        return (False if _more_was_due(first, whole) and not quiet else None), "nothing more came", {"events": 0}
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


def _came_later(first: StreamMetrics, whole: StreamMetrics | None) -> bool:
    """Whether events are known that follow on the last one before the cut, at whatever time the stream is asked for."""
    if (first.probe.expect.events or 0) > first.total:
        return True
    return whole is not None and first.stream.last_event_id in whole.stream.events.id[:-1]


def _counted(before: StreamMetrics, after: StreamMetrics, whole: StreamMetrics | None) -> Counted | None:
    """What counts the events of both, by one: the IDs, else a sequence number, else the place of an ID in the whole stream."""
    later, of_whole = dict(counters(after)), dict(counters(whole)) if whole else {}
    ids_before, ids_after = ({text for text in m.stream.events.id if text} for m in (before, after))
    shared = _shares_last_id(before, after, whole)
    for name, here in counters(before):
        there = later.get(name)
        if not here or not there or not _counts(here, there, of_whole.get(name, ())) or epoch_unit(here, before.stream.sent_at) is not None:
            continue
        if name.startswith("The field"):
            # A number that came twice under IDs that are all new counts the events of one connection.
            if ids_before and ids_after and not ids_before & ids_after and set(here) & set(there):
                continue
        elif shared and there[0] - here[-1] in (0, 1):
            continue
        return name[0].lower() + name[1:], here, there
    # An ID carries on to events that set none; one that comes back later tells no place.
    texts = [now for then, now in pairwise(["", *(whole.stream.events.id if whole else ())]) if now and now != then]
    places = {text: number for number, text in enumerate(texts, 1)}
    here, there = ([places.get(text, 0) for text in dict.fromkeys(m.stream.events.id) if text] for m in (before, after))
    known = here and there and all(here) and all(there) and len(places) == len(texts)
    if not known or any(later - earlier != 1 for earlier, later in pairwise(here)) or (shared and there[0] - here[-1] in (0, 1)):
        return None
    return "event", here, there


def _shares_last_id(before: StreamMetrics, after: StreamMetrics, whole: StreamMetrics | None) -> bool:
    """Whether several events have the ID at which the stream was cut: then it does not tell which of them came."""
    last = before.stream.events.id[-1:]
    return any(m is not None and list(m.stream.events.id).count(text) > 1 for text in last for m in (before, after, whole))


def _counts(*columns: Sequence[int]) -> bool:
    """Whether numbers count events: nearly all steps within the connections that brought them are exactly one."""
    steps = [later - earlier for column in columns for earlier, later in pairwise(column)]
    return bool(steps) and sum(step == 1 for step in steps) >= COUNTING_SHARE * len(steps)


def _events(count: int) -> str:
    return "1 event was" if count == 1 else f"{count} events were"


def _break(name: str, before: Sequence[int], after: Sequence[int]) -> tuple[str, Figures] | None:
    """Where two parts of a count do not join: what was lost, what came twice, in words and figures; None if they join."""
    repeated = len(set(after) & set(before))
    seen = set(after)
    # Counted, not listed: a stranger's numbers may be very far apart.
    lost = max(0, max(after) - before[-1]) - sum(number > before[-1] for number in seen)
    figures: Figures = {"went_on_with": after[0], "lost": lost, "repeated": repeated}
    if after[0] <= before[-1]:
        again: Literal["", " (it began again)"] = " (it began again)" if after[0] <= before[0] else ""
        came = f"{_events(repeated)} repeated" if repeated else "its numbers no longer follow on those before"
        return f"from {name} {after[0]} on{again}: {came}", figures
    if after[0] > before[-1] + 1:
        return f"from {name} {after[0]} on: {_events(after[0] - before[-1] - 1)} lost", figures
    if lost or len(seen) < len(after):
        return f"from {name} {after[0]} on, but {lost} of the events after it were lost and {len(after) - len(seen)} came twice", figures
    return None
