"""When bytes arrived: by the kernel's receive stamps, on the clock of everything else, and how far off that may be.

A reader that stamps with its own clock is wrong by its own load: what waits in the socket while it does something else
looks late. Linux stamps each packet as it comes in (SO_TIMESTAMPNS; Documentation/networking/timestamping.rst of the
kernel), and hands the stamp of the newest byte of a read over with it. That is when an event was complete, however late
it is read. Two things remain:

* A read can hold more than one event, and only the last of them has the stamp's time, and only where nothing follows it in
  the read (`exact`). They came after whatever was read
  before, and after the loop last looked and found nothing; and where it slept meanwhile, they are what woke it, so they are
  no older than its sleep but for the time that it waited for a processor, which the kernel counts (/proc/PID/schedstat,
  Documentation/scheduler/sched-stats.rst). So far before the stamp they may have arrived, and no further. Where it slept for
  longer than it wanted to, and did not wait for a processor, it was stopped, or its machine was: what came in that time is
  as old as its last look, and of a machine that stood still the kernel stamps late as well, so nothing of it is exact.
* The stamps are of the wall clock. Its distance to the monotonic one is measured at every turn of the loop; where it
  jumps, that turn's reads are stamped by this process instead, and so is one whose stamp cannot be true.

Where the kernel gives no stamp (other systems; the first packets after the first socket asked for them), the read is
stamped by this process, and all of its events may have arrived earlier, by as much.
"""

import asyncio
import os
import selectors
import socket
import struct
import sys
import time
from typing import Any, Final, NamedTuple

# The socket module does not know it; of Linux, include/uapi/asm-generic/socket.h (SO_TIMESTAMPNS_OLD).
_SO_TIMESTAMPNS: Final = 35
_TIMESPEC: Final = struct.Struct("@ll")

# The two clocks are read one after the other: a distance that seems to have changed by less has not.
_JITTER_NS: Final = 2_000
_ATTEMPTS: Final = 5
# A look that took longer than waking and listing slept. From what woke it to its return, and for each of those that it found:
# some 20 and 1 us, and with cold caches several times as long.
_SLEPT_NS: Final = 300_000
_WAKING_NS: Final = 100_000
_LISTING_NS: Final = 10_000
# Timeouts are rounded up to milliseconds, and timers are not exact. Who sleeps for longer than it wanted by more was stopped.
_OVERSLEPT_NS: Final = 3_000_000
# Where arrivals are stamped by the kernel, nothing is gained by waking for each of them: with so many files a look takes
# together what has come in two milliseconds. A live event costs half as much then, and a core carries twice as many. Only events
# of one stream that come within that time are less exact for it, and say so.
_MANY: Final = 200
_PATIENCE_NS: Final = 2_000_000
# What a turn of the loop may take before sockets are left for the next one, so that timers and signals are served meanwhile,
# whatever comes. A turn in which ten thousand streams have an event each takes about as long.
_TURN_NS: Final = 250_000_000
# Those that were left are not always the same: each turn begins so far into what is ready (the golden ratio visits all alike).
_STRIDE: Final = 0.618034
# Both clocks are slewed alike, so a distance that has changed by more was set: a jump of the wall clock.
_JUMP_NS: Final = 1_000_000


class Stamp(NamedTuple):
    """When a read's newest byte arrived, in nanoseconds of the monotonic clock, and who says so.

    `error_ns`: what the read holds arrived at most so long before. `exact`: that is not true of its last byte, which arrived then;
    by this process's own stamp (`kernel` is false) it is true of all.
    """

    ns: int
    error_ns: int
    kernel: bool
    exact: bool

    def followed(self) -> "Stamp":
        """The same for a part of the read that other bytes follow in it: those may be the newest."""
        return self._replace(exact=False) if self.exact else self


class Polls(selectors.DefaultSelector):
    """A selector that notes when it last looked, and how far the wall clock is from the monotonic one.

    What the last look found ready was not there at `before_ns`. `stamped`: the kernel stamps what comes. `stopped`: in the last look
    the process, or the whole machine, stood still. To be used in the thread that made it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._looked_ns = self.before_ns = time.monotonic_ns()
        self._waited = _Waited()
        self._waited_ns = self._waited.ns()
        self.distance_ns = distance_ns()
        self.jumped = False
        self.stamped = False
        self._woke_ns = self._looked_ns
        self._left = False
        self._turn = 0
        self.stopped = False

    def overdue(self) -> bool:
        """Whether this turn of the loop has lasted too long for another read; then the caller leaves its own for the next."""
        if time.monotonic_ns() - self._woke_ns < _TURN_NS:
            return False
        self._left = True
        return True

    def close(self) -> None:
        """Close the selector."""
        self._waited.close()
        super().close()

    def select(self, timeout: float | None = None) -> Any:
        """As the selector below it does; with many files, and where the kernel stamps, not sooner than a moment after the last look."""
        began = time.monotonic_ns()
        if self.stamped and len(self.get_map()) >= _MANY and (timeout is None or timeout > 0):
            wait = (self._looked_ns + _PATIENCE_NS - began) / 1e9
            if wait > 0:
                time.sleep(wait if timeout is None else min(wait, timeout))
                timeout = None if timeout is None else max(0.0, timeout - wait)
                began = time.monotonic_ns()
        ready = super().select(timeout)
        now = time.monotonic_ns()
        # It looked after it began, not as late as it returned: thousands that are ready take milliseconds to list.
        self.before_ns, self._looked_ns = self._looked_ns, began
        self.stopped = False
        if now - began > _SLEPT_NS and self._waited_ns is not None:
            before, self._waited_ns = self._waited_ns, self._waited.ns()
            if self._waited_ns is not None:
                # If it slept, what it found woke it: after that it can only have waited for a processor, and listed what is ready.
                woken = now - (self._waited_ns - before) - _WAKING_NS - _LISTING_NS * len(ready)
                self.stopped = timeout is not None and woken - began > max(0.0, timeout) * 1e9 + _OVERSLEPT_NS
                if woken - began > _SLEPT_NS and not self.stopped:
                    self.before_ns = self._looked_ns = woken
        self._woke_ns = now
        if self._left and ready:
            self._left = False
            self._turn += 1
            first = int(self._turn * _STRIDE * len(ready)) % len(ready)
            ready = ready[first:] + ready[:first]
        self.jumped = False
        if abs(now - time.time_ns() - self.distance_ns) > _JITTER_NS:
            distance = distance_ns()
            self.jumped = abs(distance - self.distance_ns) > _JUMP_NS
            self.distance_ns = distance
        return ready


class _Waited:
    """How long the thread that made it has waited for a processor since it began, by the kernel's count."""

    def __init__(self) -> None:
        try:
            self._file: int | None = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
        except OSError:  # another system, or a container without it
            self._file = None

    def ns(self) -> int | None:
        """In nanoseconds; None where it is not known."""
        if self._file is None:
            return None
        ran, waited, *_ = os.pread(self._file, 128, 0).split()
        return int(waited) if int(ran) else None  # a kernel that does not count says 0

    def close(self) -> None:
        """Count no more."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def distance_ns() -> int:
    """The monotonic clock minus the wall clock, from the closest of a few looks at both: the process may be put aside in between."""
    looks = []
    for _ in range(_ATTEMPTS):
        before, wall, after = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
        looks.append((after - before, (before + after) // 2 - wall))
    return min(looks)[1]


class Loop(asyncio.SelectorEventLoop):
    """The event loop in which arrivals are stamped. In any other the stamps are this process's."""

    def __init__(self) -> None:
        self.polls = Polls()
        super().__init__(self.polls)
        # The kernel stamps packets from when the first socket asks for it; this one keeps it at it.
        self._asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        ask_for_stamps(self._asking)

    def close(self) -> None:
        """Close the loop."""
        self._asking.close()
        super().close()


def polls_of(loop: asyncio.AbstractEventLoop) -> Polls | None:
    """The noting selector of a loop, if it has one."""
    return loop.polls if isinstance(loop, Loop) else None


Ancillary = list[tuple[int, int, bytes]]

if sys.platform == "linux":
    _ANCILLARY_BYTES: Final = socket.CMSG_SPACE(_TIMESPEC.size)

    def receive(sock: socket.socket, size: int) -> tuple[bytes, Ancillary]:
        """Up to so many bytes, and what the kernel says of them. Raises OSError as `recv` does."""
        data, ancillary, _, _ = sock.recvmsg(size, _ANCILLARY_BYTES)
        return data, ancillary

else:

    def receive(sock: socket.socket, size: int) -> tuple[bytes, Ancillary]:
        """Up to so many bytes; of when they arrived the system says nothing. Raises OSError as `recv` does."""
        return sock.recv(size), []


def ask_for_stamps(sock: socket.socket) -> None:
    """From now on the kernel stamps what this socket receives, if it can."""
    if sys.platform == "linux":
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)


class Arrivals:
    """Stamps the reads of one connection, in their order."""

    __slots__ = ("_emptied", "_floor_ns", "_newest_ns", "_polls")

    def __init__(self, polls: Polls | None) -> None:
        """From here on: nothing that is read later has arrived before."""
        self._polls = polls
        self._floor_ns = self._newest_ns = time.monotonic_ns()
        self._emptied = True

    def left_behind(self) -> None:
        """What is read next was not taken when it could be: it may have been there before the loop last looked."""
        self._emptied = False

    def stamp(self, ancillary: Ancillary, *, emptied: bool) -> Stamp:
        """The stamp of the read that has just been made. `emptied` says whether it took all that was there."""
        now, polls, floor = time.monotonic_ns(), self._polls, self._floor_ns
        since, at = floor, None
        if polls is not None:
            # What an earlier read left behind was there already when the loop looked.
            if self._emptied and polls.before_ns > floor:
                since = polls.before_ns
            if not polls.jumped:
                at = _kernel_time(ancillary, polls.distance_ns)
        self._emptied = emptied
        if at is None or not since - _JUMP_NS < at < now + _JUMP_NS:  # it came before it was read, and after what was read before it
            if emptied:
                self._floor_ns = now
            return Stamp(now, max(0, now - since), False, False)
        at = max(min(at, now), floor)
        # What follows came after it. If this read left something behind, the kernel may have joined that with its last bytes, and
        # stamped both by the newest: then only what was read before, by another stamp, was surely older.
        if emptied:
            self._floor_ns = at
        elif at > self._newest_ns:
            self._floor_ns = max(floor, self._newest_ns)
        self._newest_ns = at
        if polls is not None:
            polls.stamped = True
        return Stamp(at, max(0, at - since), True, emptied and not (polls is not None and polls.stopped))


def _kernel_time(ancillary: Ancillary, distance_ns: int) -> int | None:
    """The kernel's stamp among a read's ancillary data, on the monotonic clock; None where there is none."""
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS and len(data) == _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack(data)
            return seconds * 1_000_000_000 + nanoseconds + distance_ns if seconds else None
    return None
