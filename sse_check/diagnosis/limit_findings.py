"""What a search for limits comes to: findings with the heartbeat that lives under them, and what a second look would decide."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from sse_check.diagnosis.advice import cures, documented
from sse_check.diagnosis.cures import AT_ONCE
from sse_check.diagnosis.finding import Finding, Fix
from sse_check.diagnosis.limits import Bound, Limits, same
from sse_check.diagnosis.platforms import Hop, heartbeat_every, heartbeat_interval
from sse_check.units import format_duration

_SOURCE: Final = "https://html.spec.whatwg.org/multipage/server-sent-events.html#authoring-notes"


def limit_findings(limits: Sequence[Limits], hops: Sequence[Hop]) -> list[Finding]:
    """A warning for each limit that was found on the way itself; the way past the proxies stands in their messages."""
    behind = {found.probe: found for found in limits if found.way == "direct"}
    return [finding for found in limits if found.way == "target" for finding in _findings(found, behind.get(found.probe), hops)]


def _findings(found: Limits, behind: Limits | None, hops: Sequence[Hop]) -> Iterable[Finding]:
    idle, total, heartbeat = found.idle, found.total, found.heartbeat
    if idle.seconds is not None:
        lived = f" Streams with a heartbeat every {format_duration(heartbeat.every)} lived on." if heartbeat.every else ""
        yield _finding(
            "idle-timeout",
            found,
            idle,
            "idle_timeout",
            f"A silent stream is cut after {format_duration(idle.seconds)} of silence{_spread(idle)}.{lived}"
            f"{_head(found)}{_behind('idle', behind)}{documented('idle-timeout', hops)}",
            (
                _heartbeat_fix(found),
                *((AT_ONCE,) if found.first_byte.seconds else ()),
                *(fix for fix in cures("idle-timeout", hops, idle.seconds) if fix.where != "application"),
            ),
            heartbeat_interval=heartbeat_interval(idle.seconds),
            **({"heartbeat_bytes": heartbeat.passed} if heartbeat.passed else {}),
        )
    elif found.either is not None:
        yield Finding(
            code="idle-timeout",
            severity="warning",
            confidence="possible",
            probe=found.probe,
            streams=(),
            evidence={"idle_timeout": round(found.either, 3), "heartbeat_interval": heartbeat_interval(found.either)},
            message=(
                f"Every stream of the search was cut after {format_duration(found.either)} of silence, and none of them had data: for its "
                "silence most likely, but a limit on its age would look the same. A path with steady data (`limits.steady`) would tell."
            ),
            fixes=cures("idle-timeout", hops, found.either),
        )
    elif found.first_byte.seconds is not None:
        yield _finding("http-error", found, found.first_byte, "first_byte_timeout", _head(found).strip(), (AT_ONCE,))
    if total.seconds is not None:
        yield _finding(
            "duration-limit",
            found,
            total,
            "max_duration",
            f"Streams are cut at the age of {format_duration(total.seconds)}{_spread(total)}, though they flow."
            f"{_behind('total', behind)}{documented('duration-limit', hops)}",
            cures("duration-limit", hops),
        )
    if heartbeat.swallowed is not None:
        smallest = f"the smallest that does has {heartbeat.passed:,} bytes" if heartbeat.passed else "none of those that were tried does"
        yield Finding(
            code="no-heartbeat",
            severity="warning",
            confidence="certain",
            probe=found.probe,
            streams=(),
            evidence={"swallowed_bytes": heartbeat.swallowed, **({"heartbeat_bytes": heartbeat.passed} if heartbeat.passed else {})},
            message=(
                f"A heartbeat of {heartbeat.swallowed:,} bytes does not come through when it is sent: something on the way collects it; "
                f"{smallest}."
            ),
            fixes=(_heartbeat_fix(found), *cures("buffered-block", hops)),
        )


def _finding(code: str, found: Limits, bound: Bound, name: str, message: str, fixes: tuple[Fix, ...], **more: float) -> Finding:
    assert bound.seconds is not None
    assert bound.earliest is not None
    assert bound.latest is not None
    return Finding(
        code=code,
        severity="warning",
        confidence="certain" if bound.cuts > 1 else "likely",
        probe=found.probe,
        streams=(),
        evidence={name: bound.seconds, "earliest": bound.earliest, "latest": bound.latest, "cuts": bound.cuts, **more},
        message=message,
        fixes=fixes,
    )


def _spread(bound: Bound) -> str:
    if bound.cuts < 2 or bound.earliest is None or bound.latest is None:
        return ""
    return f" ({bound.cuts} streams, {spread_in_words(bound.earliest, bound.latest)})"


def spread_in_words(earliest: float, latest: float) -> str:
    """From when to when, as far as they differ."""
    first, last = format_duration(earliest), format_duration(latest)
    return f"all at {first}" if first == last else f"{first} to {last}"


def _head(found: Limits) -> str:
    """The limit before the head, which no heartbeat keeps off."""
    first = found.first_byte.seconds
    return "" if first is None else f" A response of which nothing came, not even its head, is given up after {format_duration(first)}."


def _behind(kind: str, behind: Limits | None) -> str:
    """The ceiling behind the first, as the way past the proxies shows it: who raises the first meets this one."""
    if behind is None:
        return ""
    second: Bound = getattr(behind, kind)
    if second.seconds is None:
        return f" Asked directly, without the proxies, this limit was not reached in {format_duration(behind.until)}."
    return f" Behind the proxies, asked directly, there is another at {format_duration(second.seconds)}."


def _heartbeat_fix(found: Limits) -> Fix:
    limit = found.idle.seconds
    # Buffers are powers of two; what came through a few times just below one would be held back now and then.
    size = found.heartbeat.passed and 1 << (found.heartbeat.passed - 1).bit_length()
    padded = f" of at least {size:,} bytes (padded: smaller ones are held back)" if size and found.heartbeat.swallowed else ""
    return Fix(
        where="application",
        text=f"Send a comment line (`: heartbeat`){padded} at least every {heartbeat_every(limit or 'unknown')}.",
        source=_SOURCE,
    )


def with_measured(findings: Sequence[Finding], measured: Sequence[Finding], hops: Sequence[Hop]) -> list[Finding]:
    """The findings of the streams that were asked for, with what the search for limits adds to them, and what it found besides."""
    result = list(findings)
    for found in measured:
        at = next((n for n, f in enumerate(result) if (f.code, f.probe) == (found.code, found.probe)), None)
        if at is None:
            result.append(found)
            continue
        first = result[at]
        result[at] = msgspec.structs.replace(
            first,
            evidence={**first.evidence, **found.evidence},
            message=f"{first.message} {found.message.removesuffix(documented(found.code, hops))}",
            fixes=found.fixes,
            confidence=found.confidence if found.confidence == "certain" and not _contradict(first, found) else first.confidence,
        )
    return result


def _contradict(first: Finding, found: Finding) -> bool:
    """Whether a stream was cut at another time than the search for limits found: then it was not for that limit."""
    pairs = ((first.evidence.get(name), found.evidence.get(name)) for name in ("idle_timeout", "max_duration"))
    return any(isinstance(one, float) and isinstance(other, float) and not same(one, other) for one, other in pairs)


def open_sizes(limits: Sequence[Limits]) -> dict[str, tuple[int, int | None]]:
    """The probes of which it is not known how small a heartbeat may be: the largest swallowed, and the smallest that passed.

    Known well enough is what lies within an eighth.
    """
    return {
        found.probe: (found.heartbeat.swallowed, found.heartbeat.passed)
        for found in limits
        if found.way == "target"
        and found.heartbeat.swallowed is not None
        and (found.heartbeat.passed is None or found.heartbeat.passed - found.heartbeat.swallowed > found.heartbeat.passed / 8)
    }
