"""Faults that came or went: by how many streams of a probe show them, so that what befalls one now and then is no change."""

import itertools
import math
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final

from sse_check.baseline.change import Change
from sse_check.baseline.figures import Test
from sse_check.baseline.noise import chance_of_more
from sse_check.baseline.run import Run
from sse_check.diagnosis.finding import BUFFERING, Confidence
from sse_check.escape import visible

# What a configuration or a program does to each stream alike: one that shows it is enough.
_LASTING: Final = BUFFERING | {"cached", "not-sse", "redirected", "resume-broken"}
# These rest on a threshold for a time, which is compared itself; a time near the threshold falls on either side by chance.
_BY_TIME: Final = frozenset({"slow-first-event", "delayed-headers"})
# Of the limits that a search has found more is known than that there are some.
_BY_SEARCH: Final = frozenset({"idle-timeout", "duration-limit", "no-heartbeat"})
# Where a stream was never opened, nothing else could be seen.
_HIDES: Final = frozenset({"refused", "http-error", "not-sse"})
_NO_FAULT: Final = frozenset({"runner-noise", "own-limit", "regression"})
# One event of many is enough for it, so that every second stream may have it by chance.
_OF_MANY: Final = frozenset({"lost-events"})
# So many streams, all with a fault that none had before, are no chance. Were half of all streams to have it, the worst
# case, 1 pair of runs in 64 would look so; a fault of one stream in five shows so in 1 of 250.
_ENOUGH: Final = 3

Key = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fault:
    """One fault of one probe in two runs: whether it was found, in how many streams, of how many. `shown_then`: it would have been seen before."""

    probe: str
    code: str
    found: tuple[bool, bool]
    now: int
    of_now: int
    before: int
    of_before: int
    shown_then: bool

    @property
    def came(self) -> bool:
        """Whether the earlier run had none of it."""
        return self.found == (True, False)

    @property
    def more(self) -> bool:
        """Whether a greater share of the streams has it than before."""
        return self.came or self.now * self.of_before > self.before * self.of_now

    @property
    def chance(self) -> float:
        """The chance of such a difference, or a greater one, without a change."""
        counts = (self.now, self.of_now), (self.before, self.of_before)
        return chance_of_more(*itertools.chain(*(counts if self.more else reversed(counts))))


def fault_tests(now: Run, before: Run, probes: Collection[str], otherwise: Collection[str] = ()) -> Iterable[Test]:
    """The comparisons of faults: those of `probes`, which both runs have, and those of the run itself.

    Of `otherwise` the scenarios say different things, by which faults are known.
    """
    new, old = _faults(now), _faults(before)
    streams, were = _streams(now), _streams(before)
    outlasted = _outlasted(now, before)
    closed = {probe for (probe, code), shown in old.items() if code in _HIDES and 2 * len(shown) > were[probe]}
    for key in sorted({*new, *old}):
        probe, code = key
        if probe in probes or not (probe in streams or probe in were):
            shown, was = new.get(key, frozenset()), old.get(key, frozenset())
            yield partial(
                _fault_change,
                _Fault(
                    probe=probe,
                    code=code,
                    found=(key in new, key in old),
                    now=len(shown),
                    of_now=max(streams[probe], len(shown)),
                    before=len(was),
                    of_before=max(were[probe], len(was)),
                    shown_then=(probe not in closed or code in _HIDES) and key not in outlasted and probe not in otherwise,
                ),
            )


def held_back(*runs: Run) -> set[str]:
    """The probes whose events came together in one of the runs: the time between them says nothing then."""
    return {f.probe for run in runs for f in run.findings if f.code in BUFFERING or f.code == "cached"}


def _faults(run: Run) -> dict[Key, frozenset[int]]:
    """The streams that show a fault, by probe and code; what is only possible is none."""
    found: dict[Key, frozenset[int]] = {}
    for f in run.findings:
        searched = not f.streams and f.code in _BY_SEARCH
        if f.confidence != "possible" and f.code not in _NO_FAULT and not searched:
            key = (f.probe, f.code)
            found[key] = found.get(key, frozenset()) | frozenset(f.streams)
    return found


def _outlasted(now: Run, before: Run) -> set[Key]:
    """The limits of this run that no stream of the earlier one was open for long enough to meet."""
    lasted: dict[str, float] = {}
    for stream in before.test_results:
        lasted[stream.probe] = max(lasted.get(stream.probe, 0.0), math.inf if stream.end_time is None else stream.end_time)
    limits = (((f.probe, f.code), f.evidence.idle_timeout or f.evidence.max_duration) for f in now.findings)
    return {key for key, limit in limits if limit is not None and lasted.get(key[0], math.inf) < limit}


def _streams(run: Run) -> Counter[str]:
    return Counter(stream.probe for stream in run.test_results)


def _fault_change(fault: _Fault, tail: float) -> Change | None:
    unlikely = fault.chance <= tail
    if fault.found == (True, True) and not unlikely:
        return None
    shown = visible(fault.code, 60)
    return Change(
        probe=fault.probe,
        figure=shown,
        name=f"fault {shown}",
        before=float(fault.before),
        after=float(fault.now),
        unit="streams",
        direction="better" if not fault.more else ("worse" if fault.shown_then else "changed"),
        confidence=_confidence(fault, unlikely=unlikely),
        detail=_detail(fault, shown),
    )


def _confidence(fault: _Fault, *, unlikely: bool) -> Confidence:
    if fault.code in _BY_TIME:
        return "possible"
    if fault.code in _LASTING and fault.found[0] != fault.found[1]:
        return "certain" if fault.came else "likely"
    all_of_them = fault.came and fault.now == fault.of_now >= _ENOUGH and fault.of_before >= _ENOUGH
    return "likely" if unlikely or (all_of_them and fault.code not in _OF_MANY) else "possible"


def _detail(fault: _Fault, code: str) -> str:
    if fault.came and not fault.shown_then:
        return f"{code} is seen now: before, the streams were not opened, not for long enough, or the scenario said less of them"
    if fault.came:
        return f"new: {code}" + (f" in {fault.now} of {fault.of_now} streams" if fault.now else "")
    if not fault.found[0]:
        return f"{code} is gone" + (f", which {fault.before} of {fault.of_before} streams had" if fault.before else "")
    return f"{code} in {fault.now} of {fault.of_now} streams instead of {fault.before} of {fault.of_before}"
