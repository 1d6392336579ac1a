"""The shape of a stream's delivery: what was held back, in which bunches it was let go, and how the stream was cut.

Pure functions on the figures of one stream, shared by the rules. Everything is in seconds and bytes.
"""

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, pairwise, repeat
from statistics import fmean, median, pstdev
from typing import Final

from sse_check.columns import Seconds
from sse_check.metrics import StreamMetrics
from sse_check.precision import event_errors
from sse_check.recording import CUT_SHORT
from sse_check.stamps import Stamps

# Reads closer together are one delivery: a proxy that lets a buffer go writes it in several pieces.
SAME_RELEASE_NS: Final = 20_000_000
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
    """One delivery: when it came, the numbers of its events, its bytes, and whether it ended inside of an event.

    Its bytes may have arrived earlier by up to `error` seconds: who was late to read them finds them together.
    """

    at: float
    events: range
    size: int
    mid_event: bool
    error: float


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """How a stream's events were delivered, beside when they were sent. What it shows is worked out where it is asked for.

    `stamped` says whether the sending is known from the server's stamps, or only from the cadence that the scenario expects.
    `as_read`: delays are taken as they were read, and not without what the measurement's own error may have made of them.
    """

    m: StreamMetrics
    stamps: Stamps
    stamped: bool
    as_read: bool = False

    @property
    def sent(self) -> Sequence[float]:
        """When the events were sent."""
        return self.stamps.sent

    @cached_property
    def delays(self) -> Sequence[float]:
        """How much longer than the fastest event each one took, in seconds: what is beyond the errors of both its stamps.

        A server's clock of whole seconds stamps an event up to a second too early.
        """
        delays, errors = self.stamps.delays(), () if self.as_read else event_errors(self.m.stream)
        step = self.stamps.resolution if self.stamps.resolution > APART_S else 0.0
        if not errors and not step:
            return delays
        read_late = map(errors.__getitem__, self.stamps.events) if errors else repeat(0)
        return array("d", (max(0.0, delay - step - late / 1e9) for delay, late in zip(delays, read_late, strict=False)))

    @cached_property
    def releases(self) -> tuple[Release, ...]:
        """All deliveries of the stream."""
        return releases(self.m)

    @cached_property
    def bunches(self) -> tuple[Release, ...]:
        """The deliveries of events which were sent apart and held for longer than TCP alone holds them."""
        return tuple(filter(self._is_bunch, self.releases))

    def _is_bunch(self, release: Release) -> bool:
        events = self.stamps.events  # in ascending order
        known = slice(bisect_left(events, release.events.start), bisect_left(events, release.events.stop))
        sent = self.sent[known]
        return len(sent) > 1 and max(sent) - min(sent) > APART_S and max(self.delays[known]) >= HELD_S / 2

    @cached_property
    def held(self) -> float:
        """The longest delay, in seconds."""
        return max(self.delays)

    @cached_property
    def sent_span(self) -> float:
        """Seconds between the first and the last sending."""
        return self.stamps.sent_span


def delivery(m: StreamMetrics, *, as_read: bool = False) -> Delivery | None:
    """The delivery of a stream whose sending is known; None where it is not. For `as_read` see Delivery."""
    stamps, stamped = m.stamps, m.stamps is not None
    if stamps is None and m.probe.expect.every and m.total > 1:
        sent = array("d", (number * m.probe.expect.every for number in range(m.total)))
        arrived = Seconds(m.stream.events.at_ns)
        stamps = Stamps(field="expect.every", resolution=0.0, sent=sent, arrived=arrived, events=range(m.total))
    if stamps is None or len(stamps.sent) < 2:
        return None
    return Delivery(m=m, stamps=stamps, stamped=stamped, as_read=as_read)


def releases(m: StreamMetrics) -> tuple[Release, ...]:
    """The reads of a stream that brought or completed events, those close together as one."""
    reads, ends = m.stream.reads, _ends(m)
    errors = chain(reads.error_ns, repeat(0))
    cuts = chain(map(bool, reads.mid_event), repeat(False))
    result: list[Release] = []
    at = last = size = error_ns = first = stop = 0
    cut = False
    for number, (at_ns, length, mid_event, error) in enumerate(zip(reads.at_ns, reads.body_bytes, cuts, errors, strict=False)):
        if not number or at_ns - last >= SAME_RELEASE_NS:
            if number:
                result.append(_release(at, range(first, stop), size, error_ns, mid_event=cut))
            at, first, size, error_ns = at_ns, stop, 0, 0
        last, cut, size, error_ns, stop = at_ns, mid_event, size + length, max(error_ns, error), max(stop, ends[number])
    return (*result, _release(at, range(first, stop), size, error_ns, mid_event=cut)) if reads.at_ns else ()


def _release(at_ns: int, events: range, size: int, error_ns: int, *, mid_event: bool) -> Release:
    return Release(at=at_ns / 1e9, events=events, size=size, mid_event=mid_event, error=error_ns / 1e9)


def _ends(m: StreamMetrics) -> Sequence[int]:
    """For each read, how many events had come by then."""
    ends = array("q", bytes(8 * len(m.stream.reads.at_ns)))
    for number, read in enumerate(m.stream.events.read, 1):
        if 0 <= read < len(ends):
            ends[read] = number
    return ends


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
