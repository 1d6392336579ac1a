"""The rows of the page: findings, streams and connections, each with the number of its stream among the charts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sse_check.diagnosis import Finding
from sse_check.report.page_data import STEP_NAMES, drawable, mark_of
from sse_check.report.picture import Step, StreamPicture
from sse_check.report.result import Result, StreamResult, grouped_findings

BAR_WIDTH: Final = 1000  # units of a bar's drawing, whatever its width on the screen
_MIN_BAR: Final = 4.0  # a phase of a millisecond beside one of a minute can still be seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One phase of a connection: the number of its name, and where it lies among `BAR_WIDTH` units."""

    step: int
    x: float
    width: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionRow:
    """One row of the waterfall. `seconds` has a value for each of `STEP_NAMES`, None for a phase that did not take place."""

    picture: StreamPicture
    number: int | None
    bars: tuple[Bar, ...]
    seconds: tuple[float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRow:
    """One row of the streams' table."""

    stream: StreamResult
    number: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingRow:
    """One fault: its first finding in full, the `same` of other probes, how many `more` there are, and the stream that shows it."""

    first: Finding
    same: tuple[Finding, ...]
    more: int
    number: int | None


def connection_rows(shown: Sequence[StreamPicture], numbers: Mapping[int, int]) -> tuple[ConnectionRow, ...]:
    """The waterfall of these streams, on one scale. `numbers` has those among the charts, by the identity of their pictures."""
    start = min((drawable(step.start) for p in shown for step in p.steps), default=0.0)
    end = max((drawable(step.end) for p in shown for step in p.steps), default=0.0)
    scale = BAR_WIDTH / ((end - start) or 1.0)
    return tuple(
        ConnectionRow(
            picture=p,
            number=numbers.get(id(p)),
            bars=tuple(_bar(step, start, scale) for step in p.steps),
            seconds=tuple(next((s.end - s.start for s in p.steps if s.name == name), None) for name in STEP_NAMES),
        )
        for p in shown
    )


def _bar(step: Step, start: float, scale: float) -> Bar:
    x = (drawable(step.start) - start) * scale
    width = min(max((drawable(step.end) - drawable(step.start)) * scale, _MIN_BAR), BAR_WIDTH)
    return Bar(step=STEP_NAMES.index(step.name), x=round(min(x, BAR_WIDTH - width), 1), width=round(width, 1))


def stream_rows(streams: Sequence[StreamResult], charted: Sequence[StreamPicture]) -> tuple[StreamRow, ...]:
    """The streams' table."""
    numbers = {(p.probe, p.stream, p.phase, p.factor): number for number, p in reversed(list(enumerate(charted)))}
    return tuple(StreamRow(stream=s, number=numbers.get((s.probe, s.stream, s.phase, s.factor))) for s in streams)


def finding_rows(result: Result, charted: Sequence[StreamPicture], most: int) -> tuple[FindingRow, ...]:
    """Every fault once, in the findings' order; of the same in other probes at most so many."""
    shows: dict[tuple[str, str], int] = {}
    for number, picture in reversed(list(enumerate(charted))):
        if picture.factor is None:
            shows.update({(picture.probe, mark.code): number for mark in picture.marks if mark_of(picture, mark.code)})
    by_probe: dict[tuple[str, str], list[Finding]] = {}
    for finding in result.findings:
        by_probe.setdefault((finding.code, finding.probe), []).append(finding)
    rows = []
    for group in grouped_findings(result):
        probes = dict.fromkeys(group.probes or ("",))
        found = [finding for name in probes for finding in by_probe[group.first.code, name]]
        at = next((shows[f.probe, f.code] for f in found if (f.probe, f.code) in shows), None)
        rows.append(FindingRow(first=group.first, same=tuple(found[1 : most + 1]), more=max(0, len(found) - most - 1), number=at))
    return tuple(rows)
