"""The shape of a stream's delivery: what was held back, in which bunches it was let go, and how the stream was cut.

Pure functions on the figures of one stream, shared by the rules. Everything is in seconds and bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median, pstdev
from typing import Final

from sse_check.metrics import StreamMetrics
from sse_check.recording import CUT_SHORT
from sse_check.stamps import Stamps

# Reads this close together are one delivery: a proxy that lets a buffer go writes it in several pieces.
SAME_RELEASE_S: Final = 0.02
# Events sent this far apart are not sent together.
APART_S: Final = 0.04
# Held back is what arrives this much later than the fastest event of the stream. Nagle and delayed acknowledgements
# make 0.04 and 0.2 s, twice that through two of them (HAProxy without `option http-no-delay`: 0.41 s measured with its
# compression on), and no user calls that a broken stream; buffers hold longer.
HELD_S: Final = 0.45
# Events that came within this came in one moment: reads that follow each other at once, on a slow machine too.
AT_ONCE_S: Final = 0.05
# What is held back whole is let go when the response ends, so the end is right behind the last event.
END_BEHIND_S: Final = 1.0
# A buffer that counts bytes lets go equal amounts, a timer at equal intervals: relative spread below this.
EVEN: Final = 0.2
# A connection that is cut after less silence was not cut for it: idle timeouts are a second and more, minus a tick.
LONG_SILENCE_S: Final = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One delivery: when it came, the numbers of its events, its bytes, and whether it ended inside of an event."""

    at: float
    events: tuple[int, ...]
    size: int
    mid_event: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How a stream's events were delivered, beside when they were sent.

    `bunches` are the releases of events which were sent apart and held. `stamped` says whether the sending is known from
    the server's stamps, or only from the cadence that the scenario expects.
    """

    sent: tuple[float, ...]
    delays: tuple[float, ...]
    releases: tuple[Release, ...]
    bunches: tuple[Release, ...]
    stamped: bool

    @property
    def held(self) -> float:
        """The longest delay, in seconds."""
        return max(self.delays)

    @property
    def sent_span(self) -> float:
        """Seconds between the first and the last sending."""
        return max(self.sent) - min(self.sent)


def delivery(m: StreamMetrics) -> Delivery | None:
    """The delivery of a stream whose sending is known; None where it is not."""
    stamps, stamped = m.stamps, m.stamps is not None
    if stamps is None and m.probe.expect.every and m.total > 1:
        arrived = tuple(at / 1e9 for at in m.stream.events.at_ns)
        sent = tuple(number * m.probe.expect.every for number in range(m.total))
        stamps = Stamps(field="expect.every", resolution=0.0, sent=sent, arrived=arrived, events=tuple(range(m.total)))
    if stamps is None or len(stamps.sent) < 2:
        return None
    delays = stamps.delays()
    known = {number: pair for number, *pair in zip(stamps.events, stamps.sent, delays, strict=True)}
    groups = releases(m)
    bunches = tuple(r for r in groups if _is_bunch([known[n] for n in r.events if n in known]))
    return Delivery(sent=stamps.sent, delays=delays, releases=groups, bunches=bunches, stamped=stamped)


def _is_bunch(events: Sequence[Sequence[float]]) -> bool:
    """Whether events of one release, as (sent, delay), were sent apart and held for longer than TCP alone holds them."""
    sent = [moment for moment, _ in events]
    return len(sent) > 1 and max(sent) - min(sent) > APART_S and max(delay for _, delay in events) >= HELD_S / 2


def releases(m: StreamMetrics) -> tuple[Release, ...]:
    """The reads of a stream that brought or completed events, those close together as one."""
    reads, events = m.stream.reads, m.stream.events
    by_read: dict[int, list[int]] = {}
    for number, read in enumerate(events.read):
        by_read.setdefault(read, []).append(number)
    result: list[Release] = []
    last = 0.0
    for read, at_ns in enumerate(reads.at_ns):
        at = at_ns / 1e9
        cut = bool(reads.mid_event[read]) if read < len(reads.mid_event) else False
        found, size = tuple(by_read.get(read, ())), reads.body_bytes[read]
        if result and at - last <= SAME_RELEASE_S:
            before = result[-1]
            result[-1] = Release(at=before.at, events=before.events + found, size=before.size + size, mid_event=cut)
        else:
            result.append(Release(at=at, events=found, size=size, mid_event=cut))
        last = at
    return tuple(result)


def over_behind(m: StreamMetrics, last: float) -> bool:
    """Whether the stream was over right behind an event, in seconds from the request. One that sse-check cut short tells nothing of that."""
    return m.ended - last <= END_BEHIND_S and m.stream.reason not in CUT_SHORT


def spread(values: Sequence[float]) -> float:
    """The relative spread of values: their standard deviation over their mean; of one or none, 0."""
    return pstdev(values) / fmean(values) if len(values) > 1 and fmean(values) > 0 else 0.0


def one_behind(d: Delivery) -> bool:
    """Whether each event came when the next one was sent, and the last with the end.

    Then each is late by the time to its successor, the last by nothing.
    """
    gaps = [later - earlier for earlier, later in zip(d.sent, d.sent[1:], strict=False)]
    if len(gaps) < 4 or median(gaps) < 2 * APART_S:
        return False
    fitting = sum(abs(delay - gap) <= max(0.25 * gap, APART_S) for delay, gap in zip(d.delays, gaps, strict=False))
    alone = sum(len(r.events) <= 1 for r in d.releases)
    return fitting >= 0.8 * len(gaps) and d.delays[-1] <= APART_S and alone >= 0.6 * len(d.releases)


def by_bytes(d: Delivery) -> bool:
    """Whether bunches were let go by size and not by time.

    A buffer that counts bytes cuts events in the middle and lets go equal amounts; a timer lets go whole events, at
    equal intervals. A single bunch followed by a live stream is a buffer that had to fill once.
    """
    # The last bunch is what was left over, whatever the mechanism.
    full = d.bunches[:-1] or d.bunches
    if sum(r.mid_event for r in full) * 2 >= len(full) or len(d.bunches) == 1:
        return True
    intervals = [later.at - earlier.at for earlier, later in pairwise(full)]
    return len(intervals) > 1 and spread(intervals) > EVEN and spread([r.size for r in full]) < EVEN


def cut_in_silence(m: StreamMetrics) -> bool:
    """Whether a stream that broke off had been silent for longer than was usual for it."""
    return m.silence >= LONG_SILENCE_S and m.silence >= 2.5 * m.pause
