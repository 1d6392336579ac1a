"""The summary's picture as a Mermaid chart: events received over time, beside when they were sent or due.

GitHub does not say which Mermaid it runs, so this keeps to what 10 and 11 both read: `xychart-beta`, whole numbers, no
empty series, no text of a stranger's. There is no legend in such a chart; bars and lines differ by their shape, and a
sentence below says what each is.

Mermaid 10 puts the points of a series (max - min + 1) / n apart instead of (max - min) / (n - 1): in milliseconds and with
so many points that is a fiftieth of the width, in seconds and with few it would lose the end of the chart.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sse_check.diagnosis import Finding
from sse_check.escape import Markdown
from sse_check.recording import Factor
from sse_check.report.picture import StreamPicture

_POINTS: Final = 50  # of each series
_MAX_LINES: Final = 5
# Of less there is nothing to be seen, and the points of Mermaid 10 would go astray.
_MIN_SECONDS: Final = 0.2
_IN_SECONDS: Final = 60.0
# Told apart on white and on black, and by those who do not tell red from green.
_BARS: Final = "#8c959f"
_LINES: Final = ("#d9480f", "#1f77e0", "#9a6700", "#8250df", "#bf3989")

# What a fault is best seen beside: the same stream with this one thing changed.
_TWINS: Final[dict[str, Factor]] = {"compressed-buffered": "identity", "concurrency-limited": "alone"}
_IN_WORDS: Final = {
    "sent": "sent by the server",
    "due": "due by the scenario",
    "sent, then due": "sent by the server, then due by the scenario",
    "identity": "received without compression",
    "alone": "received by one stream alone",
    "direct": "received past the proxies",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A diagram, and what is on it: `lines` of the `of` streams that `probe`, a stranger's name, had at once.

    `bars` says what the bars are, if there are any.
    """

    diagram: Markdown
    probe: str
    lines: int
    of: int
    bars: str | None


def chart(pictures: Sequence[StreamPicture], findings: Sequence[Finding]) -> Chart | None:
    """The picture of a run: of the stream that shows the cause, else of the first. None where nothing was received to be drawn."""
    cause = next((f for f in findings if f.severity == "error" and f.probe), None)
    asked = [p for p in pictures if p.factor is None and p.phase in ("stream", "concurrency")]
    if cause is not None:
        asked = [
            p
            for p in asked
            if p.probe == cause.probe and (p.stream in cause.streams or not cause.streams or cause.code == "concurrency-limited")
        ]
    if not asked:
        return None
    of = sum(p.probe == asked[0].probe and p.factor is None and p.phase == asked[0].phase for p in pictures)
    shown = asked[:_MAX_LINES] if asked[0].phase == "concurrency" else asked[:1]
    twins = [p for p in pictures if p.probe == shown[0].probe and p.factor is not None]
    beside, what = _beside(shown, twins, cause.code if cause else "")
    open_for = max(p.end for p in shown)
    end = max(open_for, min(3 * open_for, max(beside, default=0.0)))  # what is due long after must not squeeze what came
    most = max(len(p.received) for p in shown)
    if end < _MIN_SECONDS or max(most, len(beside)) == 0:
        return None
    series = [("bar", beside)] if beside else []
    series += [("line", p.received) for p in shown]
    drawn = "\n".join(f"  {kind} [{_counts(at, end)}]" for kind, at in series)
    # In seconds the points of Mermaid 10 are near enough to their place only where there are many.
    unit, to = ("seconds", round(end)) if end >= _IN_SECONDS else ("milliseconds", round(end * 1000))
    axes = f'  x-axis "{unit} since the request" 0 --> {to}\n  y-axis 0 --> {max(most, len(beside))}'
    palette = ", ".join([*([_BARS] if beside else []), *_LINES[: len(shown)]])
    theme = f'%%{{init: {{"themeVariables": {{"xyChart": {{"plotColorPalette": "{palette}"}}}}}}}}%%'
    return Chart(
        diagram=Markdown(f"{theme}\nxychart-beta\n{axes}\n{drawn}"),  # of words of ours and numbers only
        probe=shown[0].probe,
        lines=len(shown),
        of=of,
        bars=_IN_WORDS[what] if beside else None,
    )


def _beside(shown: Sequence[StreamPicture], twins: Sequence[StreamPicture], code: str) -> tuple[Sequence[float], str]:
    """What the streams are seen beside, and its name: the twin that shows their fault, what was sent or due, or what came past the proxies."""
    by_factor = {twin.factor: twin for twin in twins}
    telling = by_factor.get(_TWINS.get(code))
    if telling is not None and telling.received:
        return telling.received, str(telling.factor)
    first = max(shown, key=lambda p: len(p.beside))
    if first.beside_is is not None:
        return first.beside, first.beside_is
    direct = by_factor.get("direct")
    return (direct.received, "direct") if direct is not None else ((), "")


def _counts(at: Sequence[float], end: float) -> str:
    """How many events there were by each of the points in time."""
    ordered = sorted(at)
    # A point's own moment counts, in spite of what rounding makes of it.
    return ", ".join(str(bisect_right(ordered, (number / (_POINTS - 1)) * end + 1e-9)) for number in range(_POINTS))
