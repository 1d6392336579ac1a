"""Where sse-check itself came to one of its bounds (bounds.py, eventstream.py): nothing of it is the deployment's fault."""

from collections.abc import Iterable, Sequence, Set
from typing import Final

from sse_check.diagnosis.cures import CURES
from sse_check.diagnosis.finding import Finding
from sse_check.escape import quoted
from sse_check.eventstream import MAX_EVENT_BYTES, MAX_LINE_BYTES
from sse_check.metrics import StreamMetrics
from sse_check.units import format_duration

CODE: Final = "own-limit"


def own_limits(metrics: Sequence[StreamMetrics]) -> list[Finding]:
    """One finding for each probe of whose streams one was ended, or lacks an event, by a bound of sse-check's own.

    Of the streams that the scenario asked for, and only where the answer was a stream: the page of an error is cut off as well.
    A warning where a stream was ended, a note where only single ones of its events were too large.
    """
    findings = []
    asked = [m for m in metrics if m.stream.factor is None and m.stream.head is not None and m.stream.head.status == 200]
    for probe in dict.fromkeys(m.stream.probe for m in asked):
        mine = [m for m in asked if m.stream.probe == probe]
        ended, lacking = [m for m in mine if m.stream.reason == "limit"], [m for m in mine if m.stream.oversized and m.total]
        if ended:
            first = min(ended, key=lambda m: m.ended)
            findings.append(
                Finding(
                    code=CODE,
                    severity="warning",
                    confidence="certain",
                    probe=probe,
                    streams=tuple(m.stream.stream for m in ended),
                    evidence={"age": round(first.ended, 3), "events": first.total, "limit": first.stream.error or ""},
                    message=(
                        f"sse-check ended the stream {format_duration(first.ended)} after the request, at a limit of its own: "
                        f"{quoted(first.stream.error or 'not known which')}. What would have come after that is not known."
                    ),
                    fixes=CURES[CODE],
                )
            )
        elif lacking:
            number = sum(m.stream.oversized for m in lacking)
            findings.append(
                Finding(
                    code=CODE,
                    severity="note",
                    confidence="certain",
                    probe=probe,
                    streams=tuple(m.stream.stream for m in lacking),
                    evidence={"oversized": number, "line_limit": MAX_LINE_BYTES, "event_limit": MAX_EVENT_BYTES},
                    message=(
                        f"sse-check passed over {number} {'line or event' if number == 1 else 'lines or events'} beyond a limit of its own: "
                        f"{MAX_LINE_BYTES:,} bytes of a line, {MAX_EVENT_BYTES:,} bytes of an event."
                    ),
                    fixes=CURES[CODE],
                )
            )
    return findings


def left_open(findings: Iterable[Finding], missed: Set[str]) -> tuple[Finding, ...]:
    """Those of these findings for which nothing is decided, where probes of these names miss a criterion and show no fault.

    A stream that sse-check ended may have gone on well, and what is missing may be what it passed over. What is missed in another
    probe, or certainly missed when the stream was ended, is missed all the same.
    """
    own = [f for f in findings if f.code == CODE]
    if not missed <= {f.probe for f in own if f.severity == "note"}:
        return ()
    return tuple(f for f in own if f.severity == "warning" or f.probe in missed)
