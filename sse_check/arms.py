"""The streams that look for the limits of a way, and how a server is told which of them is wanted.

Each arm keeps one thing from happening, so that what cuts it is known: nothing is sent at all, or nothing after the
head, or only heartbeats, or data without a pause. The server is told by a request header, which no proxy minds and any
other server passes over; whoever obeys repeats it in the response, and never ends such a stream by itself.
"""

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from sse_check.recording import Arm

# A structured field (RFC 9651): an item with parameters, `heartbeat;every=5.0;size=13`.
HEADER: Final = "SSE-Check-Arm"

# The shortest comment line that says what it is; with the blank line after it, 13 bytes.
HEARTBEAT: Final = b": heartbeat\n\n"
# Of steady data: often enough that no limit on silence strikes, and no burden for a server.
STEADY_EVERY_S: Final = 0.25
# Intervals of heartbeats, in seconds; as many of them as the search has time for.
_INTERVALS: Final = (1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0)
_MOST_INTERVALS: Final = 5
# Sizes of heartbeats, in bytes, where the shortest does not come through: the buffers of proxies are powers of two.
_SIZES: Final = (256, 1024, 2048, 4096, 8192, 16384, 32768, 65536)
# So many heartbeats of each size are awaited, so far apart.
SIZE_EVERY_S: Final = 0.5
SIZE_BEATS: Final = 8
_REFINED: Final = 8
_LARGE_BEATS: Final = 20  # of the largest, in the whole search: no more than a megabyte

_PARAMETER: Final = re.compile(r"(every|size)=([0-9]{1,7}(?:\.[0-9]{1,3})?)")
_MAX_SIZE: Final = 1024 * 1024


def arms(until: float) -> tuple[Arm, ...]:
    """The arms of a search of `until` seconds, all opened at once; each interval of a heartbeat fits in at least twice."""
    fitting = [every for every in _INTERVALS if every <= until / 2]
    return (
        Arm(kind="first-byte"),
        Arm(kind="silent"),
        *(Arm(kind="heartbeat", every=every, size=len(HEARTBEAT)) for every in fitting[-_MOST_INTERVALS:]),
        # Where a buffer holds the short ones together with the head, this one tells that the server heard.
        Arm(kind="heartbeat", every=max(min(1.0, until / 4), round(until / _LARGE_BEATS, 3)), size=_SIZES[-1]),
        Arm(kind="steady", every=min(STEADY_EVERY_S, until / 8)),
    )


def sizes_between(swallowed: int, passed: int | None) -> tuple[Arm, ...]:
    """The arms that find the smallest heartbeat that gets through, larger than `swallowed` bytes and up to `passed`, if one did."""
    sizes = [size for size in _SIZES if swallowed < size and (passed is None or size < passed)]
    if not sizes and passed is not None:
        step = max(1, (passed - swallowed) // _REFINED)
        sizes = list(range(swallowed + step, passed, step))
    return tuple(Arm(kind="heartbeat", every=SIZE_EVERY_S, size=size) for size in sizes)


def beat(size: int) -> bytes:
    r"""A comment of `size` bytes in all, with the blank line that lets a client see it at once.

    >>> beat(16)
    b': heartbeat...\n\n'
    """
    return b": heartbeat" + b"." * (size - len(HEARTBEAT)) + b"\n\n"


def told(arm: Arm) -> str:
    """The header's value for an arm.

    >>> told(Arm(kind="heartbeat", every=2.5, size=13))
    'heartbeat;every=2.5;size=13'
    """
    return ";".join([arm.kind, *_parameters(arm)])


def _parameters(arm: Arm) -> Iterator[str]:
    if arm.every:
        yield f"every={arm.every:.3f}".rstrip("0").rstrip(".")
    if arm.size:
        yield f"size={arm.size}"


def understood(text: str) -> Arm | None:
    """The arm that a header's value asks for; None where it is none."""
    kind, *parameters = (part.strip() for part in text.split(";"))
    values = {}
    for parameter in parameters:
        match = _PARAMETER.fullmatch(parameter)
        if match is None:
            return None
        values[match[1]] = float(match[2])
    every, size = values.get("every", 0.0), int(values.get("size", 0))
    if size > _MAX_SIZE or (kind in ("heartbeat", "steady") and every < 0.01):
        return None
    try:
        return msgspec.convert({"kind": kind, "every": every, "size": size}, Arm)
    except msgspec.ValidationError:  # of another kind
        return None
