"""Streams whose events are made one after the other (`expect.gradual`), as a language model's tokens and a call's progress are.

They show by themselves that they were held back: what is made gradually cannot come in one moment, and no application
writes half an event and then waits. Whether something on the way collects them or the application itself, and over how
long they were made, they do not show; so what is known of the sending, or of the same stream past the proxies, goes first.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, Literal

from sse_check.diagnosis.shape import AT_ONCE_S, EVEN, HELD_S, Release, delivery, over_behind, releases, spread
from sse_check.diagnosis.sign import Figures, Sign, View
from sse_check.metrics import StreamMetrics
from sse_check.precision import event_errors
from sse_check.units import format_duration

# Fewer than this may well be made in one moment: a short answer, a tool that is done at once.
MANY: Final = 8
# What comes sooner after the request was not waited for: a mock, a cache of the application's own.
LATE_S: Final = 0.5
# The fastest models make 2,000 tokens a second, so a short answer may come within AT_ONCE_S; but each is then written, and
# read, by itself. A buffer that is let go brings many to a read.
TO_A_READ: Final = 4
# Events in a full block: of fewer, the event may be longer than a network's packet, and cut by that.
IN_A_BLOCK: Final = 3

Shape = Literal["buffered-full", "buffered-block"]


def collected(m: StreamMetrics) -> Shape | None:
    """How the events of a gradual stream were collected, if they were; None where their sending is known otherwise."""
    if not m.probe.expect.gradual or delivery(m) is not None:
        return None
    if _at_once(m):
        return "buffered-full"
    return "buffered-block" if _blocks(m) else None


def silent(m: StreamMetrics) -> bool:
    """Whether a gradual stream was answered, if at all, with nothing for as long as it was watched."""
    return m.probe.expect.gradual and not m.total and not m.stream.comments_ns and m.stream.ended == "timeout" and m.stream.reason is None


def _made(m: StreamMetrics) -> Sequence[int]:
    """The numbers of the events that are made gradually: those with tokens, where there are many, else all."""
    tokens = [number for number, characters in enumerate(m.stream.events.tokens) if characters > 0]
    return tokens if len(tokens) >= MANY else range(m.total)


def _at_once(m: StreamMetrics) -> bool:
    made = _made(m)
    if len(made) < MANY:
        return False
    events = m.stream.events
    first, last = events.at_ns[made[0]] / 1e9, events.at_ns[made[-1]] / 1e9
    reads = len({events.read[number] for number in made})
    errors = event_errors(m.stream)
    # What may have arrived earlier, and was only read late, did not come together.
    earliest = first - (errors[made[0]] / 1e9 if errors else 0.0)
    together = last - earliest <= AT_ONCE_S and len(made) >= TO_A_READ * reads
    return together and first >= LATE_S and over_behind(m, last)


def _blocks(m: StreamMetrics) -> tuple[Release, ...]:
    """The full blocks in which the events came, if they did: each but the last ends inside of an event, after a while."""
    bunches = releases(m)
    if m.total < MANY or len(bunches) < 2:
        return ()
    full = bunches[:-1]
    # The first block shares its buffer with the response's head.
    even = spread([bunch.size for bunch in full[1:]]) < EVEN and full[0].size <= max(bunch.size for bunch in full) * (1 + EVEN)
    cut = all(bunch.mid_event and len(bunch.events) >= IN_A_BLOCK for bunch in full)
    return full if even and cut and _held(bunches) >= HELD_S else ()


def _held(bunches: tuple[Release, ...]) -> float:
    """How long a block took to fill, at most: so long its first event waited, beyond the error of the block's own stamp. In seconds."""
    return max((later.at - later.error - earlier.at for earlier, later in pairwise(bunches)), default=0.0)


def all_at_once(v: View) -> Sign | None:
    """Of `buffered-full`: many gradual events in one moment, late, and the end right behind."""
    m = v.m
    if collected(m) != "buffered-full":
        return None
    made = _made(m)
    at = [m.stream.events.at_ns[number] / 1e9 for number in (made[0], made[-1])]
    return Sign(
        message=(
            f"{len(made)} events that are made one after the other arrived within {format_duration(at[1] - at[0])}, "
            f"{format_duration(at[0])} after the request, and then the stream was over: something on the way, or the application "
            f"itself, collects them.{_beside(v)}"
        ),
        evidence={
            "events": len(made),
            "first_event": round(at[0], 3),
            "arrived_within": round(at[1] - at[0], 3),
            "held_back_most": round(at[0], 3),
        },
        confidence="likely",
    )


def in_blocks(v: View) -> Sign | None:
    """Of `buffered-block`: gradual events in blocks that are cut inside of an event."""
    m = v.m
    if collected(m) != "buffered-block":
        return None
    full = _blocks(m)
    figures = _block_figures(m, full)
    return Sign(
        message=(
            f"Events that are made one after the other arrived in blocks of about {figures['bytes_at_once']:,} bytes that end inside of "
            f"an event, up to {figures['events_at_once']} events at once: a buffer has to fill before it is passed on.{_beside(v)}"
        ),
        evidence=figures,
        confidence="likely",
    )


def _block_figures(m: StreamMetrics, full: tuple[Release, ...]) -> Figures:
    sizes = sorted(bunch.size for bunch in full)
    return {
        "bunches": len(full),
        "bytes_at_once": sizes[len(sizes) // 2],
        "events_at_once": max(len(bunch.events) for bunch in full),
        "held_back_most": round(_held(releases(m)), 3),
        "first_event": round(m.first_event or 0.0, 3),
    }


def _beside(v: View) -> str:
    """What the view past the proxies says, if there is one."""
    direct = v.twin("direct")
    if direct is None or not direct.total:
        return ""
    if collected(direct) is None:
        return " Asked directly, without the proxies, the same stream is not collected."
    return " Asked directly, without the proxies, it comes just the same: the application collects them."


def compressed(v: View) -> Sign | None:
    """Of `compressed-buffered`: collected, or kept back altogether, with compression negotiated, and not without it."""
    m, identity = v.m, v.twin("identity")
    shape = collected(m) or ("nothing" if silent(m) else None)
    if shape is None or identity is None or not _flows(identity):
        return None
    encoding = m.stream.head.header("content-encoding") if m.stream.head else None
    what = "nothing came" if shape == "nothing" else "events that are made one after the other came collected"
    return Sign(
        message=(
            f"With compression negotiated, as browsers do, {what}; with `Accept-Encoding: identity` the same stream is not held back. "
            "Something compresses it and does not flush."
        ),
        evidence={"as": shape, "content_encoding": encoding or "none", "first_event_identity": round(identity.first_event or 0.0, 3)},
        confidence="certain" if encoding else "likely",
    )


def nothing_came(v: View) -> Sign | None:
    """Of `buffered-full`: nothing at all of a stream that begins at once when it is asked past the proxies."""
    m, direct = v.m, v.twin("direct")
    if not silent(m) or direct is None or not _flows(direct):
        return None
    return Sign(
        message=(
            f"Nothing of the stream came within {format_duration(m.ended)}; asked directly, without the proxies, its first event came "
            f"after {format_duration(direct.first_event or 0.0)}: something on the way holds it back until it ends."
        ),
        evidence={
            "waited": round(m.ended, 3),
            "first_event_direct": round(direct.first_event or 0.0, 3),
            "held_back_most": round(m.ended - (direct.first_event or 0.0), 3),
        },
        confidence="likely",
    )


def _flows(m: StreamMetrics) -> bool:
    """Whether a follow-up shows the stream as it should be."""
    return m.total > 0 and collected(m) is None and m.stream.ended in ("until", "eof")
