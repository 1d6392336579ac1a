"""Limits that appeared, vanished or moved: as searches found them, else as streams ran into them."""

from collections.abc import Iterable, Sequence
from typing import Final

from sse_check.baseline.change import Change, listed
from sse_check.baseline.run import Run, RunBound, RunLimits
from sse_check.diagnosis.finding import Confidence
from sse_check.escape import quoted
from sse_check.units import format_duration

# Two limits are the same within these, and within the spread of the cuts: proxies keep time by ticks of their own.
SAME_S: Final = 0.5
SAME_SHARE: Final = 0.05
# Sizes of heartbeats are searched for by powers of two.
_SIZES: Final = 2

_KINDS: Final = {"first_byte": "limit before the head", "idle": "limit on silence", "total": "limit on age"}
_EVIDENCE: Final = {"idle-timeout": ("idle", "idle_timeout"), "duration-limit": ("total", "max_duration")}


def limit_changes(now: Run, before: Run) -> tuple[list[Change], list[str]]:
    """What changed in the limits of each probe and way, and sentences about those that cannot be compared."""
    new, old = ({(found.probe, found.way): found for found in run.limits} for run in (now, before))
    changes: list[Change] = []
    sentences: list[str] = []
    for key in new:
        if key in old:
            changes += _searched(new[key], old[key], sentences)
    alone = {probe for probe, _ in {*new} ^ {*old}}
    if alone:
        sentences.append(f"Only one of the runs searched for the limits of {listed(alone)}.")
    return [*changes, *_met(now, before, {probe for probe, _ in {*new, *old}})], sentences


def _searched(now: RunLimits, before: RunLimits, sentences: list[str]) -> Iterable[Change]:
    for kind in _KINDS:
        new, old = _bound(now, kind), _bound(before, kind)
        change = bound_change(now.probe, now.way, kind, new, old)
        if isinstance(change, str):
            sentences.append(change)
        elif change is not None:
            yield change
    yield from _heartbeat(now, before)


def _bound(found: RunLimits, kind: str) -> RunBound:
    """A limit; one on silence also where it may be one on age."""
    bound: RunBound = getattr(found, kind)
    if kind == "idle" and bound.seconds is None and found.either is not None:
        return RunBound(seconds=found.either, survived=found.either, cuts=1)
    return bound


def bound_change(probe: str, way: str, kind: str, now: RunBound, before: RunBound) -> Change | str | None:
    """How a limit changed; None where it did not, a sentence where a search was too short to tell."""
    new, old = now.seconds, before.seconds
    if new is None and old is None:
        return None
    noise = _tolerance(now, before)
    name = _KINDS[kind] + (", past the proxies" if way == "direct" else "")
    if new is not None and old is not None:
        worse, detail = new < old, f"{name} {format_duration(new)} instead of {format_duration(old)}"
        if abs(new - old) <= noise:
            return None
    elif new is not None:
        worse, detail = True, f"{name} {format_duration(new)}; before, {format_duration(before.survived)} were survived"
        if before.survived <= new + noise:
            return _too_short(probe, name, "before", before.survived, new)
    else:
        assert old is not None
        worse, detail = False, f"{name} {format_duration(old)} is gone: {format_duration(now.survived)} were survived"
        if now.survived <= old + noise:
            return _too_short(probe, name, "now", now.survived, old)
    return Change(
        probe=probe,
        figure=f"direct_{kind}" if way == "direct" else kind,
        name=name,
        before=old,
        after=new,
        noise=round(noise, 3),
        unit="s",
        direction="worse" if worse else "better",
        confidence=_confidence(now, before),
        detail=detail,
    )


def _too_short(probe: str, name: str, when: str, survived: float, limit: float) -> str:
    return f"{quoted(probe)}: the {name} of {format_duration(limit)} is not compared, as {when} streams were only seen to survive {format_duration(survived)}."


def _tolerance(now: RunBound, before: RunBound) -> float:
    seconds = [s for s in (now.seconds, before.seconds) if s is not None]
    return max(SAME_S, SAME_SHARE * max(seconds), _spread(now), _spread(before))


def _spread(bound: RunBound) -> float:
    return max(0.0, bound.latest - bound.earliest) if bound.latest is not None and bound.earliest is not None else 0.0


def _confidence(now: RunBound, before: RunBound) -> Confidence:
    """One cut may have had another cause."""
    return "certain" if all(bound.cuts != 1 for bound in (now, before)) else "likely"


def _heartbeat(now: RunLimits, before: RunLimits) -> Iterable[Change]:
    new, old = now.heartbeat, before.heartbeat
    way = "direct_" if now.way == "direct" else ""
    known = all(found.passed is not None or found.swallowed is not None for found in (new, old))
    largest, was = new.swallowed or 0, old.swallowed or 0
    if known and max(largest, was) > _SIZES * min(largest, was):
        yield Change(
            probe=now.probe,
            figure=f"{way}heartbeat_bytes",
            name="heartbeat that is held back",
            before=old.swallowed,
            after=new.swallowed,
            unit="bytes",
            direction="worse" if largest > was else "better",
            confidence="likely",
            detail=f"{_up_to(new.swallowed)} are held back, instead of {_up_to(old.swallowed)}",
        )
    # Which intervals were tried follows from how long was looked: a hint only.
    if new.every is not None and old.every is not None and max(new.every, old.every) > 2 * min(new.every, old.every):
        yield Change(
            probe=now.probe,
            figure=f"{way}heartbeat_every",
            name="heartbeat that keeps a stream alive",
            before=old.every,
            after=new.every,
            unit="s",
            direction="worse" if new.every < old.every else "better",
            confidence="possible",
            detail=f"a heartbeat every {format_duration(new.every)} instead of {format_duration(old.every)} was seen to keep a stream alive",
        )


def _up_to(size: int | None) -> str:
    return "none" if size is None else f"heartbeats of up to {size:,} bytes"


def _met(now: Run, before: Run, searched: set[str]) -> Iterable[Change]:
    """Limits that streams ran into in both runs, of probes that no search was made for."""
    new, old = _evidence(now), _evidence(before)
    for (probe, kind), seconds in new.items():
        if probe not in searched and (probe, kind) in old:
            change = bound_change(probe, "target", kind, _cuts(seconds), _cuts(old[probe, kind]))
            if isinstance(change, Change):
                yield change


def _evidence(run: Run) -> dict[tuple[str, str], list[float]]:
    found: dict[tuple[str, str], list[float]] = {}
    for f in run.findings:
        kind, name = _EVIDENCE.get(f.code, ("", ""))
        seconds = getattr(f.evidence, name) if name and f.confidence != "possible" else None
        if seconds is not None:
            found.setdefault((f.probe, kind), []).append(seconds)
    return found


def _cuts(seconds: Sequence[float]) -> RunBound:
    """One or more streams that were cut."""
    return RunBound(seconds=min(seconds), survived=min(seconds), cuts=len(seconds), earliest=min(seconds), latest=max(seconds))
