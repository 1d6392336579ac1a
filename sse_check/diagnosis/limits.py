"""The limits of a way, from streams that were opened to run into them: to the first byte, between bytes, and in all.

What one stream can tell is a bracket: it was cut after so long, or it lived for so long. What tells the limits apart is
the others beside it: a silent stream that is cut while one with data lives on was cut for its silence; streams that are
all cut at one age, whatever they send, were cut for their age. What was not reached is said as such, with the time up
to which it was looked for; where the streams contradict each other nothing is claimed.
"""

import itertools
from collections.abc import Sequence
from statistics import median
from typing import Final, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from sse_check.diagnosis.shape import LONG_SILENCE_S, cut_in_silence
from sse_check.metrics import StreamMetrics

Way = Literal["target", "direct"]
Role = Literal["first-byte", "silent", "heartbeat", "steady"]

# Two cuts are at one time if they differ by less: timers of proxies tick each quarter of a second, and drift by little.
SAME_S: Final = 0.3
SAME_SHARE: Final = 0.05
# A heartbeat came through if it was not later than half an interval, and what TCP and a busy machine add.
LATE_SHARE: Final = 0.5
LATE_S: Final = 0.2
# So much of what was sent must have been seen: the first beat may fall into the opening.
SEEN_SHARE: Final = 0.75
_OBEYED: Final = "sse-check-arm"


class Bound(Struct, frozen=True, kw_only=True):
    """One limit, in seconds: `seconds` where it was observed, else None; it is longer than `survived` in any case.

    `cuts` are the streams that ran into it, from `earliest` to `latest`.
    """

    seconds: float | None = None
    survived: float = 0.0
    cuts: int = 0
    earliest: float | None = None
    latest: float | None = None


class Heartbeat(Struct, frozen=True, kw_only=True):
    """What a heartbeat must be like: in bytes and seconds.

    `passed` is the smallest that came through one by one, `swallowed` the largest that did not. `every` is the longest
    interval with which a stream outlived the limit on silence.
    """

    passed: int | None = None
    swallowed: int | None = None
    every: float | None = None


class Limits(Struct, frozen=True, kw_only=True):
    """What a search for limits has found on one way.

    `undecided` says why a cut could not be put down to one of them. `either` is when silent streams were cut that nothing
    with data outlived: for their silence, which is the usual reason, or for their age. `heard`: the server sent what the
    search asked for; else what it always sends. `unanswered` are the streams that were answered with something else.
    """

    probe: str
    way: Way
    until: float
    first_byte: Bound
    idle: Bound
    total: Bound
    heartbeat: Heartbeat = Heartbeat()
    undecided: str | None = None
    either: float | None = None
    heard: bool = True
    unanswered: int = 0


class _Arm(Struct, frozen=True, kw_only=True):
    """One stream of the search. `silence` is how long nothing had come at its end, `age` how old it was.

    `stopped`: what was due no longer came, and the connection was closed only later; then it was cut, by a hop behind,
    between its last sign of life and what was due next, at `late` at the latest, and `age` is in the middle.
    """

    role: Role
    every: float
    size: int
    cut: bool
    age: float
    silence: float
    longest: float
    beats: int
    stopped: bool = False

    @property
    def late(self) -> float:
        """When it was cut, at the latest."""
        return self.age + (self.every / 2 if self.stopped else 0.0)


def find_limits(metrics: Sequence[StreamMetrics], asked: Sequence[StreamMetrics] = ()) -> tuple[Limits, ...]:
    """The limits of each probe and way that streams of a search were opened for.

    `asked` are the streams that the scenario wanted anyway: how long those with data lived is known from them as well.
    """
    found: dict[tuple[str, Way], list[StreamMetrics]] = {}
    for m in metrics:
        way: Way = "direct" if m.stream.factor == "direct" else "target"
        found.setdefault((m.stream.probe, way), []).append(m)
    # Of a stream that brought not even a head nobody knows whether the server heard what it was asked; others tell.
    hears = {m.stream.probe for m in metrics if _obeyed(m)}
    lived: dict[tuple[str, str], float] = {}
    for m in (*asked, *metrics):
        if _had_data(m):
            for place in _places(m):
                lived[place] = max(m.ended, lived.get(place, 0.0))
    return tuple(
        _limits(probe, way, streams, hears=probe in hears, lived=max(lived.get(place, 0.0) for place in _places(streams[0])))
        for (probe, way), streams in found.items()
    )


def _places(m: StreamMetrics) -> tuple[tuple[str, str], tuple[str, str]]:
    """What a stream was asked of: a probe's server, and a server's path. A proxy may have another limit for each path."""
    try:
        parts = urlsplit(m.stream.url)
    except ValueError:  # no URL after all
        return (m.stream.probe, ""), ("", m.stream.url)
    return (m.stream.probe, parts.netloc), (parts.netloc, parts.path)


def _had_data(m: StreamMetrics) -> bool:
    """Whether something came all along, so that only its age could have ended it."""
    return m.total > 1 and not cut_in_silence(m) and m.silence <= max(m.pause, LATE_S)


def _limits(probe: str, way: Way, streams: Sequence[StreamMetrics], *, hears: bool, lived: float) -> Limits:
    arms = [arm for m in streams if (arm := _arm(m, hears=hears)) is not None]
    until = streams[0].probe.limits.until if streams[0].probe.limits else max(m.ended for m in streams)
    total, contradiction = _total(arms)
    heartbeat = _heartbeat(arms)
    idle, unclear, either = _idle(arms, total, heartbeat, lived)
    return Limits(
        probe=probe,
        way=way,
        until=until,
        first_byte=_first_byte(arms, total),
        idle=idle,
        total=total,
        heartbeat=msgspec.structs.replace(heartbeat, every=_outliving(arms, idle)),
        heard=hears,
        undecided=contradiction or unclear,
        either=either,
        unanswered=len(streams) - len(arms),
    )


def _arm(m: StreamMetrics, *, hears: bool) -> _Arm | None:
    """A stream of the search as what it turned out to be; None where the server answered it with something else."""
    stream, asked = m.stream, m.stream.arm
    if asked is None:
        return None
    obeyed = _obeyed(m)
    if stream.head is None or stream.head.status != 200:
        # A gateway's word that it waited too long, or a connection closed over it: only where nothing was to come.
        waited = (stream.head is not None and stream.head.status in (408, 499, 502, 503, 504, 522, 524)) or stream.reason == "no-response"
        open_still = stream.head is None and stream.ended in ("timeout", "until")
        if asked.kind == "heartbeat" and open_still and hears:  # sent, and held back together with the head
            return _Arm(role="heartbeat", every=asked.every, size=asked.size, cut=False, age=m.ended, silence=0.0, longest=m.ended, beats=0)
        age = m.ended if m.connection is None else m.connection
        # Who refuses at once has not waited.
        if asked.kind != "first-byte" or not (open_still or (waited and age >= LONG_SILENCE_S)):
            return None
        return _Arm(role="first-byte", every=0.0, size=0, cut=waited, age=age, silence=age, longest=0.0, beats=0)
    # A read without a byte of the body is the mark that ends it, written by whoever cut the stream: no sign of life.
    came = [at / 1e9 for at, size in zip(stream.reads.at_ns, stream.reads.body_bytes, strict=False) if size]
    alive = [m.connection or 0.0, *came]
    gaps = [later - earlier for earlier, later in itertools.pairwise(alive)]
    role: Role = asked.kind
    if not obeyed:
        role = "silent" if cut_in_silence(m) or not gaps else "steady"
    elif role == "first-byte":
        return None  # it was told to send nothing, and somebody on the way sent the head
    cut = stream.ended in ("truncated", "reset") or (stream.ended == "eof" and (obeyed or _ended_early(m)))
    stopped = cut and obeyed and asked.every > 0 and m.ended - alive[-1] > asked.every + LATE_S
    age = alive[-1] + asked.every / 2 if stopped else m.ended
    return _Arm(
        role=role,
        every=asked.every,
        size=asked.size,
        cut=cut,
        age=age,
        silence=age - alive[-1],
        longest=max(gaps, default=0.0),
        beats=len(set(came)),
        stopped=stopped,
    )


def _ended_early(m: StreamMetrics) -> bool:
    """Whether the server's own stream ended properly before its last event, as far as the scenario and the recording tell.

    Of a last event that is known by its data nothing is recorded here: the search has another end.
    """
    until = m.probe.until
    by_type = until.event is not None and until.data is None and until.json is None
    return m.total > 0 and ((by_type and until.event not in m.stream.events.type) or m.total < (m.probe.expect.events or 0))


def _obeyed(m: StreamMetrics) -> bool:
    """Whether the server sends what it was asked for: it says so, or the scenario's own paths do."""
    limits, asked, head = m.probe.limits, m.stream.arm, m.stream.head
    if asked is None:
        return False
    return (limits is not None and asked.kind in limits.paths) or (head is not None and head.header(_OBEYED) is not None)


def same(one: float, other: float) -> bool:
    """Whether two cuts are at one time, as exactly as proxies keep time."""
    return abs(one - other) <= max(SAME_S, SAME_SHARE * max(one, other))


def _bound(values: Sequence[float], survived: float) -> Bound:
    if not values:
        return Bound(survived=round(survived, 3))
    return Bound(
        seconds=round(median(values), 3),
        survived=round(min(survived, *values), 3),
        cuts=len(values),
        earliest=round(min(values), 3),
        latest=round(max(values), 3),
    )


def _total(arms: Sequence[_Arm]) -> tuple[Bound, str | None]:
    """The limit on age: at which all streams with data are cut, while none outlives it.

    Some limits strike only when something is written (Go's `WriteTimeout`): then each is cut with the first that it sends
    after its time, and one that is silent lives on.
    """
    flowing = [arm for arm in arms if arm.role == "steady"]
    lived = max((arm.age for arm in arms if not arm.cut and arm.role != "first-byte"), default=0.0)
    ages = [arm.age for arm in flowing if arm.cut]
    if not ages or len(ages) < len(flowing):
        return _bound([], max([lived, *ages])), None
    age = min(ages)
    if not all(same(other, age) for other in ages):
        return _bound([], max(ages)), "streams with data were cut at different ages"
    outlived = next(
        (
            arm
            for arm in arms
            # One that was not cut was due to be; of one that was, the moment is as inexact as every other.
            if arm.role == "heartbeat"
            and arm.age > age + arm.every
            and not (arm.cut and same(arm.age, age + arm.every))
            and arm.age - age - arm.every > SAME_S
        ),
        None,
    )
    if outlived is not None:
        why = (
            f"a stream with data was cut after {age:.1f} s, but one with a heartbeat lived for {outlived.age:.1f} s: it was not for its age"
        )
        return _bound([], outlived.age), why
    return _bound(
        [*ages, *(arm.age for arm in arms if arm.role != "steady" and arm.cut and not arm.stopped and same(arm.age, age))], age
    ), None


def _for_its_age(arm: _Arm, total: Bound) -> bool:
    """Whether a stream was cut by the limit on age, at once or with the next that it sent."""
    if total.seconds is None or not arm.cut:
        return False
    return arm.late >= total.seconds or same(arm.late, total.seconds)


def _idle(arms: Sequence[_Arm], total: Bound, heartbeat: Heartbeat, lived: float) -> tuple[Bound, str | None, float | None]:
    """The limit on silence: after which silent streams are cut, while those with data live on, or did for `lived` seconds."""
    waiting = [arm for arm in arms if arm.role in ("silent", "heartbeat")]
    cut = [arm for arm in waiting if arm.cut and not arm.stopped and not _for_its_age(arm, total)]
    silences = [arm.silence for arm in cut]
    # A silence that only the client saw, as something swallowed the heartbeats, was none for whoever swallowed them.
    survived = max(
        (
            max(arm.longest, arm.silence)
            for arm in waiting
            if arm not in cut
            and not arm.stopped
            and (arm.role == "silent" or heartbeat.swallowed is None or arm.size > heartbeat.swallowed)
        ),
        default=0.0,
    )
    survived = max([survived, *(arm.longest for arm in arms if arm.role == "steady")])
    if not silences:
        return _bound([], survived), None, None
    silence = min(silences)
    if not all(same(s, silence) for s in silences):
        return _bound([], survived), "silent streams were cut after different times: it was not for their silence", None
    if survived > silence and not same(survived, silence):
        return _bound([], survived), f"a silent stream was cut after {silence:.1f} s, but another was silent for longer and lived", None
    oldest = max([lived, *(arm.age for arm in arms if arm not in cut and arm.role != "first-byte")])
    if oldest <= silence or same(oldest, silence):
        why = f"every stream was cut after {silence:.1f} s and none of them had data: whether for its silence or its age is not known"
        return _bound([], survived), why, silence
    return _bound(silences, survived), None, None


def _first_byte(arms: Sequence[_Arm], total: Bound) -> Bound:
    """The limit before the response's head; what the limit on age explains is not counted."""
    waiting = [arm for arm in arms if arm.role == "first-byte"]
    cut = [arm.age for arm in waiting if arm.cut and not _for_its_age(arm, total)]
    return _bound(cut, max((arm.age for arm in waiting if not cut), default=0.0))


def _heartbeat(arms: Sequence[_Arm]) -> Heartbeat:
    """Which heartbeats came through one by one."""
    tried = [arm for arm in arms if arm.role == "heartbeat" and arm.every and arm.age >= 2 * arm.every]
    passed = [arm for arm in tried if _came_through(arm)]
    # What came through once is not too small: another of its size that was late was late for another reason.
    swallowed = {arm.size for arm in tried if arm not in passed} - {arm.size for arm in passed}
    smallest = min((arm.size for arm in passed if not swallowed or arm.size > max(swallowed)), default=None)
    return Heartbeat(passed=smallest, swallowed=max(swallowed, default=None))


def _outliving(arms: Sequence[_Arm], idle: Bound) -> float | None:
    """The longest interval of a heartbeat with which a stream was older than the limit on silence, and was not cut for it."""
    if idle.seconds is None:
        return None
    limit = idle.seconds
    lived = (arm.every for arm in arms if arm.role == "heartbeat" and arm.age > limit and not same(arm.age, limit) and arm.every < limit)
    return max(lived, default=None)


def _came_through(arm: _Arm) -> bool:
    due = arm.age / arm.every // 1  # no int(): a recording may hold any interval
    late = arm.every * (1 + LATE_SHARE) + LATE_S
    return arm.beats >= SEEN_SHARE * due and arm.longest <= late and (arm.cut or arm.silence <= late)
