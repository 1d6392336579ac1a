"""Looks at the streams of a run while they are open, and says when nothing that may still come can change the verdict.

What makes it certain stands in decision.py. Here is only how it is seen cheaply: a look at thousands of streams must not delay
the reads that are being timed. So of each stream its answer and first event are looked at until they were good, its success
rate only once events can have been late, and its end once. Nothing is concluded while the machine itself is too late to judge.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sse_check.decision import of_answer, of_end, of_first_event, of_rate, of_streams
from sse_check.diagnosis import noise_limit
from sse_check.escape import quoted
from sse_check.live import LiveStream
from sse_check.metrics import Reach, known_events, measure, reach_of
from sse_check.recording import Calibration, StreamRecording
from sse_check.redaction import Redactor
from sse_check.scenario import Probe, Scenario

_NS: Final = 1_000_000_000


@dataclass(slots=True)
class _Open:
    """One stream, and what needs no further look: it began well, its rate is final, it is over.

    `counted` of its events were looked at, and `late` of them came too long after the one before.
    """

    live: LiveStream
    probe: Probe
    began: bool = False
    rated: bool = False
    over: bool = False
    counted: int = 0
    late: int = 0


class Early:
    """The early end of one run. Its texts hold no secrets. `calibration` says what the machine could resolve before."""

    def __init__(self, scenario: Scenario, redactor: Redactor, calibration: Calibration | None = None) -> None:
        self._least_ns = 0 if calibration is None else round(calibration.error_p99 * _NS)
        self._criteria = scenario.criteria
        self._redact = redactor.text
        self._probes = {probe.name: probe for probe in scenario.probes}
        self._open: list[_Open] = []
        self._seen = 0
        self._done = 0

    def now(self, lives: Sequence[LiveStream], at_ns: int, lag: float) -> str | None:
        """Why the verdict is certain while these streams run, in a sentence; None where it is not.

        They were opened together since the last call of `after`; more may be added behind them. `at_ns` is the time by the clock
        of their events, `lag` the longest lateness of the measuring machine so far, in seconds.
        """
        self._open += [_Open(live, self._probes[live.plan.probe]) for live in lives[self._seen :]]
        self._seen = len(lives)
        if lag > noise_limit(self._criteria):
            return None
        why = next((f"{quoted(self._redact(s.probe.name))}: {why}" for s in self._open if (why := self._of_stream(s, at_ns))), None)
        self._open = [seen for seen in self._open if not seen.over]
        return why

    def after(self, streams: Sequence[StreamRecording], lag: float) -> str | None:
        """The same where no stream is open, of all that were asked for so far; as nothing is being timed, it looks at everything."""
        self._open, self._seen = [], 0
        if lag > noise_limit(self._criteria):
            return None
        fresh, self._done = streams[self._done :], len(streams)
        probes = {self._redact(name): probe for name, probe in self._probes.items()}
        asked = [s for s in fresh if s.phase in ("stream", "concurrency") and s.probe in probes]
        return of_streams([measure(s, probes[s.probe], self._criteria) for s in asked], self._criteria)

    def _of_stream(self, seen: _Open, at_ns: int) -> str | None:
        live = seen.live
        if live.sent_ns is None and live.end is None:
            return None
        sent_ns, end = live.sent_ns or 0, live.end
        age = ((at_ns if end is None else end.at_ns) - sent_ns) / _NS
        why = None if seen.began or live.sent_ns is None else self._of_beginning(seen, sent_ns, age)
        rated = seen.rated or live.sent_ns is None or self._criteria.deadline_from == "sent"
        if why is None and not rated and (end is not None or age > self._criteria.event_deadline):
            why = of_rate(self._reach(seen, sent_ns, age), seen.probe, self._criteria)
        if why is None and end is not None:
            why = of_end(end.ended, end.reason, answered=live.head_seen is not None, planned=live.planned_end is not None, probe=seen.probe)
            seen.over = True
        return why

    def _of_beginning(self, seen: _Open, sent_ns: int, age: float) -> str | None:
        """What is wrong with the answer or the first event, looked at until both were good. A redirect that is followed is no answer."""
        live = seen.live
        if live.redirect_to() is not None:
            return None
        # Counted from when it may have arrived, so that nothing is concluded that the stamp's error could undo.
        first = (live.events_ns[0] - self._error(live, live.event_reads[0]) - sent_ns) / _NS if live.events_ns else None
        seen.began = first is not None
        return of_answer(live.head_seen) or of_first_event(first, age, seen.probe, self._criteria)

    def _reach(self, seen: _Open, sent_ns: int, age: float) -> Reach:
        """What the events of a stream can come to; counted on from the last look, and once where it cannot change any more."""
        live, criteria = seen.live, self._criteria
        came = len(live.events_ns)
        # In its favour: what the stamps' errors leave open, and a nanosecond, as measure() compares the same numbers as floats.
        slack = max(self._least_ns, max(live.errors_ns, default=0)) + 1
        if criteria.deadline_from == "previous":
            on_time = came - self._late(seen, sent_ns, came, slack)
        else:
            on_time = bisect_right(live.events_ns, sent_ns + int(criteria.event_deadline * _NS) + slack)
            seen.rated = known_events(seen.probe) is not None
        return reach_of(seen.probe, criteria, came=came, on_time=on_time, age=age, over=live.end is not None)

    def _error(self, live: LiveStream, read: int) -> int:
        return max(live.errors_ns[read], self._least_ns)

    def _late(self, seen: _Open, sent_ns: int, came: int, slack: int) -> int:
        before = seen.live.events_ns[seen.counted - 1] if seen.counted else sent_ns
        for at in seen.live.events_ns[seen.counted : came]:
            seen.late += (at - before - slack) / _NS > self._criteria.event_deadline
            before = at
        seen.counted = came
        return seen.late
