"""When the verdict is certain although streams are still open, so that a run may be ended early (`criteria.decide: early`).

Certain means: whatever the streams that run, and those that were not opened yet, still bring, the verdict stays the same.

* *Viable* is never certain before the last stream is over. An open stream can still be cut, can stall or lose an event, and
  each of these is a fault however good it was so far; a stream that was not opened yet can be refused. So a good run is as
  long as its scenario, also where the confidence of its rate (confidence.py) is reached sooner: to look again and again
  until an interval happens to clear the limit would be wrong more often than the confidence says.
* *Not viable* is certain as soon as one thing has happened that nothing cures:
    - the answer is no event stream: another status than 200, another type;
    - the stream is over and broken: refused, cut, or without the event that ends it;
    - the first event was late, or the limit is over without one in a stream that owes one;
    - too few of the expected events can still be on time, even if all that may come do. This needs a number of events which
      is known (`expect.events`, `until.events`), or a deadline that is over (metrics.reach_of). With a confidence the whole
      interval of that best case has to lie below the limit; each event on time less lowers it further;
    - of a stream that is over: any fault that it shows by itself. Other streams may name it better (a fault of compression,
      of their number), but never take it away.
* Not certain is what the end of a stream tells, while it is open: nothing came, and it may all come yet (`buffered-full`); it is
  silent, and may go on (`stalled`); it wants a second look (`delayed-headers`). A stream that owes nothing may be silent
  and good.
* *Inconclusive* is not certain either while anything is open, as a fault may still be found.

An event may have arrived before it was read, by the error that the measurement states: it is late only where it is so by more.

What decided must hold when the recording is judged. So `judge` takes a stream that was ended for this (its reason is
`decided`) as its `reach`: what was missed counts, what was not due yet does not.
"""

from collections.abc import Iterable
from typing import Final

from sse_check.confidence import rate_met
from sse_check.diagnosis import diagnose
from sse_check.escape import quoted
from sse_check.metrics import Reach, StreamMetrics, owes_an_event
from sse_check.recording import Ended, Environment, Head, Reason
from sse_check.scenario import Criteria, Probe
from sse_check.units import format_duration

# A machine that is never late: whether the one that measured was is for the verdict.
_QUIET: Final = Environment(version="", python="", platform="")
_REFUSED: Final[frozenset[Reason | None]] = frozenset({"dns", "tcp", "tls", "proxy", "no-response", "policy"})


def first_event_missed(first_event: float | None, age: float, probe: Probe, criteria: Criteria, error: float = 0.0) -> bool:
    """Whether the first event of a stream was late, or is missing `age` seconds after the request though one is owed.

    It may have arrived up to `error` seconds before it was read.
    """
    if first_event is not None:
        return first_event - error > criteria.first_event
    return age > criteria.first_event and owes_an_event(probe)


def rate_lost(reaches: Iterable[Reach], limit: float, confidence: float | None = None) -> bool:
    """Whether streams miss a success rate whatever comes: even if every event that may still be on time is."""
    best = missed = 0
    for reach in reaches:
        if reach.open is None:
            return False
        best += reach.on_time + reach.open
        missed += reach.missed
    return best + missed > 0 and rate_met(best, best + missed, limit, confidence) is False


def of_answer(head: Head | None) -> str | None:
    """What is wrong with an answer for good, in a sentence; None where nothing is, or none came yet."""
    if head is None:
        return None
    if head.status != 200:
        return f"the answer has status {head.status}."
    return None if head.media_type == "text/event-stream" else f"its type is {quoted(head.media_type or 'missing')}, not text/event-stream."


def of_end(ended: Ended, reason: Reason | None, *, answered: bool, planned: bool, probe: Probe) -> str | None:
    """What is wrong with how a stream ended, as far as that alone tells it; `planned` is whether it reached one of its planned ends."""
    if reason in _REFUSED:
        return "no stream was opened."
    if ended in ("truncated", "reset") and answered:
        return "the connection broke."
    terminal = probe.until.terminal
    if ended == "eof" and answered and terminal is not None and not planned:
        return f"the response ended without its last event ({quoted(terminal)})."
    return None


def of_first_event(first_event: float | None, age: float, probe: Probe, criteria: Criteria, error: float = 0.0) -> str | None:
    """That the first event was late, or did not come; None where that is not certain."""
    if not first_event_missed(first_event, age, probe, criteria, error):
        return None
    limit = format_duration(criteria.first_event)
    return (
        f"no first event came within {limit}."
        if first_event is None
        else f"the first event came after {format_duration(first_event)}, limit {limit}."
    )


def of_rate(reach: Reach, probe: Probe, criteria: Criteria) -> str | None:
    """That a stream misses the success rate whatever comes; None where that is not certain.

    One of several counts for itself (the criterion of streams at once), so it is taken as it is counted, without a confidence. That
    all of them together miss the rate needs no look of its own: then one of them does.
    """
    confidence = criteria.confidence if probe.stream_count == 1 else None
    if not reach.missed or not rate_lost([reach], criteria.success_rate, confidence):
        return None
    best = reach.on_time + (reach.open or 0)
    return f"at best {best} of {best + reach.missed} events of a stream are on time, and {criteria.success_rate:g} % must be."


def of_streams(streams: Iterable[StreamMetrics], criteria: Criteria) -> str | None:
    """Why the verdict is certain after these streams, which are over; None where it is not."""
    for m in streams:
        if m.stream.reason == "machine":
            continue  # nobody asked for it
        errors = [finding.code for finding in diagnose([m], criteria, _QUIET) if finding.severity == "error"]
        why = f"a stream shows {quoted(errors[0])}." if errors else None
        why = (
            why
            or of_first_event(m.first_event, m.ended, m.probe, criteria, m.first_event_error or 0.0)
            or of_rate(m.reach, m.probe, criteria)
        )
        if why is not None:
            return f"{quoted(m.stream.probe)}: {why}"
    return None
