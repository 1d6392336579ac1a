"""What the page's charts are drawn from: the pictures of the streams, small enough to be carried inside the page.

A time is carried as a whole number of tenths of a millisecond, a series of times as the differences of neighbours.
What has no room is left out stream by stream, the worst kept first, and counted.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, get_args

import msgspec
from msgspec import Struct

from sse_check.escape import visible
from sse_check.report.names import FACTORS
from sse_check.report.picture import Mark, StepName, StreamPicture
from sse_check.report.report import Report
from sse_check.scenario import VARIANT_NAMES
from sse_check.units import format_duration

CHART_BYTES: Final = 3_000_000  # of the page's 5 MB; a stream of 10,000 events takes about 0.1 MB
MAX_EVENTS: Final = 10_000  # of one stream, in full; drawn as fast as a screen shows it
STEP_NAMES: Final = get_args(StepName)

_BEFORE_SHARE: Final = 4  # one part of so many is kept for the run that is compared with
_PER_SECOND: Final = 10_000
# Eleven days: longer than any stream may last (24 h), and no server's clock can stretch an axis beyond it.
_LONGEST: Final = 1e6
_NAME_CHARS: Final = 80
_MARK_CHARS: Final = 120
_MAX_MARKS: Final = 20
_MAX_ALIVE: Final = 1_000  # heartbeats of one stream
_TOGETHER: Final = 0.02  # seconds within which events count as received at once
_VARIANT: Final = re.compile(rf"(?: (?:{'|'.join(map(re.escape, VARIANT_NAMES))}))+$")
# In HTML, text inside of a script element ends at `</script`, and `<!--` changes how it is read; JavaScript once ended lines at U+2028.
_IN_SCRIPT: Final = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}


class _Drawn(Struct, frozen=True, array_like=True):
    """One stream as the page's script reads it, in this order. Of its events each `stride`-th is there, and the last."""

    name: str
    family: int  # streams that are worth laying over each other share it
    factor: str | None
    asked: bool  # for itself, and not to explain another
    passed: bool | None
    end: int
    stride: int
    events: int
    received: list[int]
    due: int  # how many `beside` stands for
    beside: list[int]
    beside_is: str | None
    alive: list[int]
    marks: list[tuple[str, str, int, int]]
    steps: list[tuple[int, int, int]]
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartData:
    """The JSON that the page carries, and which streams are in it, in their order; `left_out` had no room."""

    json: str
    streams: tuple[StreamPicture, ...]
    left_out: int


def chart_data(report: Report, budget: int = CHART_BYTES) -> ChartData:
    """The streams of a run, and of the one before, in at most `budget` bytes; harmless inside of a script element."""
    families: dict[str, int] = {}
    room = budget // _BEFORE_SHARE if report.before else 0
    before = _fitting(report.before, room, families)
    ordered = _explained(report.pictures)
    drawn = _fitting(ordered, budget - sum(map(len, before)), families)
    factors = msgspec.json.encode(FACTORS).decode()
    text = f'{{"factors":{factors},"streams":[{",".join(drawn)}],"before":[{",".join(before)}]}}'
    return ChartData(json=text, streams=tuple(ordered[: len(drawn)]), left_out=len(ordered) - len(drawn))


def _explained(pictures: Iterable[StreamPicture]) -> list[StreamPicture]:
    """The streams as they are ordered, but those that explain right behind the worst of their probe: they are of use together."""
    pictures = tuple(pictures)
    explaining: dict[str, list[StreamPicture]] = {}
    for picture in pictures:
        if picture.factor is not None:
            explaining.setdefault(picture.probe, []).append(picture)
    ordered: list[StreamPicture] = []
    for picture in pictures:
        if picture.factor is None:
            ordered += [picture, *explaining.pop(picture.probe, ())]
    return ordered + [picture for rest in explaining.values() for picture in rest]


def _fitting(pictures: Sequence[StreamPicture], room: int, families: dict[str, int]) -> list[str]:
    """The first of the streams, as many as have room, each as JSON."""
    encoded = []
    for picture in pictures:
        family = families.setdefault(_VARIANT.sub("", picture.probe), len(families))
        text = msgspec.json.encode(_drawn(picture, family)).decode().translate(_IN_SCRIPT)
        room -= len(text.encode()) + 1
        if room < 0:
            break
        encoded.append(text)
    return encoded


def _drawn(picture: StreamPicture, family: int) -> _Drawn:
    stride = max(1, math.ceil(max(len(picture.received), len(picture.beside)) / MAX_EVENTS))
    return _Drawn(
        name=visible(picture.name, _NAME_CHARS),
        family=family,
        factor=picture.factor,
        asked=picture.factor is None and picture.phase in ("connect", "stream", "concurrency"),
        passed=picture.passed,
        end=_tenths(picture.end),
        stride=stride,
        events=len(picture.received),
        received=_series(picture.received, stride),
        due=len(picture.beside),
        beside=_series(picture.beside, stride),
        beside_is=picture.beside_is,
        alive=_series(picture.alive[:_MAX_ALIVE], 1),
        marks=[(m.code, visible(m.text, _MARK_CHARS), _tenths(m.start), _tenths(m.end)) for m in picture.marks[:_MAX_MARKS]],
        steps=[(STEP_NAMES.index(s.name), _tenths(s.start), _tenths(s.end)) for s in picture.steps],
        says=sentence(picture),
    )


def _series(times: Sequence[float], stride: int) -> list[int]:
    """Each `stride`-th time and the last: the first as it is, then the differences of neighbours."""
    kept = list(times[::stride])
    if times and (len(times) - 1) % stride:
        kept.append(times[-1])
    whole = sorted(map(_tenths, kept))  # as they are, but in a recording that somebody wrote
    return whole[:1] + [later - earlier for earlier, later in pairwise(whole)]


def _tenths(seconds: float) -> int:
    """Tenths of a millisecond, within what can be drawn."""
    return 0 if math.isnan(seconds) else round(min(max(seconds, -_LONGEST), _LONGEST) * _PER_SECOND)


def drawable(seconds: float) -> float:
    """A time that can be drawn: one that is no number is 0, an absurd one is cut."""
    return _tenths(seconds) / _PER_SECOND


def sentence(picture: StreamPicture) -> str:
    """What the picture of a stream shows, for who does not see it: "11 events, all received at 1.8s; sent from 0ms to 1.8s"."""
    parts = [_received(picture)]
    if picture.beside_is is not None and picture.beside:
        parts.append(f"; {picture.beside_is} {_span(picture.beside)}")
    found = [visible(mark.text, _MARK_CHARS) for mark in picture.marks[:_MAX_MARKS] if mark.code]
    return "".join(parts) + "." + (f" Marked: {', '.join(found)}." if found else "")


def _received(picture: StreamPicture) -> str:
    times = picture.received
    if not times:
        return f"No event was received in {_time(picture.end)}"
    if len(times) == 1:
        return f"1 event, received at {_time(times[0])}"
    if times[-1] - times[0] <= _TOGETHER:
        return f"{len(times):,} events, all received at {_time(times[-1])}"
    longest = max(later - earlier for earlier, later in pairwise(times))
    return f"{len(times):,} events, received {_span(times)}, at most {_time(longest)} apart"


def _span(times: Sequence[float]) -> str:
    return f"at {_time(times[0])}" if len(times) == 1 else f"from {_time(times[0])} to {_time(times[-1])}"


def _time(seconds: float) -> str:
    return format_duration(drawable(seconds))


def mark_of(picture: StreamPicture, code: str) -> Mark | None:
    """Where a fault is marked on a picture, if it is among the marks that the page carries."""
    return next((mark for mark in picture.marks[:_MAX_MARKS] if mark.code == code), None)
