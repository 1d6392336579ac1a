"""Two runs held against each other."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

from sse_check.baseline.change import Change, Comparison, Direction, listed, worst_first
from sse_check.baseline.faults import fault_tests, held_back
from sse_check.baseline.figures import Group, Test, machine, rate_tests, time_tests
from sse_check.baseline.limits import limit_changes
from sse_check.baseline.run import Run, RunStream
from sse_check.escape import quoted, visible
from sse_check.units import format_duration

# The chance that a run without a change is said to be worse, by all its figures together (Bonferroni); as much again for
# better. It is less than the 1 in 100 that is promised, since no deployment varies just as is assumed: with heavy tails it is
# up to 7 in 1,000, with streams that vary as usual less than 1 (`tests/lab/baseline.py`).
FALSE_ALARM: Final = 0.007
# A load of so many times more streams, or fewer, is another load.
_OTHER_LOAD: Final = 2

# Between these; what is inconclusive is neither better nor worse.
_VERDICTS: Final[dict[tuple[str, str], Direction]] = {("viable", "not-viable"): "worse", ("not-viable", "viable"): "better"}


def compare(now: Run, before: Run) -> Comparison:
    """What changed since an earlier run, in everything that both can be compared in."""
    moved = _differ(now, before, _path)
    groups = {probe: group for probe, group in _groups(now, before).items() if probe not in moved}
    sentences = [*_different(now, before), *_only_one(now, before), *_otherwise(now, before, moved), *_loads(groups), *_alone(groups)]
    limits, unknown = limit_changes(now, before)
    tests = [*_faults(now, before, moved), *_figures(now, before, groups)]
    tail = FALSE_ALARM / max(1, len(tests))
    tested = [change for test in tests if (change := test(tail)) is not None]
    return Comparison(
        test_timestamp=visible(before.test_timestamp, 40),
        verdict=visible(before.verdict, 40),
        version=visible(before.environment.version, 40),
        changes=worst_first([*_verdict(now, before), *limits, *tested, *_way(now, before)]),
        not_compared=(*sentences, *unknown),
    )


def _groups(now: Run, before: Run) -> dict[str, Group]:
    """The streams of each probe and phase that both runs have, by the probe's name."""
    runs = []
    for run in (now, before):
        streams: dict[tuple[str, str], list[RunStream]] = {}
        for stream in run.test_results:
            streams.setdefault((stream.probe, stream.phase), []).append(stream)
        runs.append(streams)
    new, old = runs
    return {probe: (new[probe, phase], old[probe, phase]) for probe, phase in new if (probe, phase) in old}


def _differ(now: Run, before: Run, of: Callable[[RunStream], str | None]) -> set[str]:
    """The probes of which something is known in both runs, and is not the same."""
    new, old = ({s.probe: known for s in run.test_results if (known := of(s)) is not None} for run in (now, before))
    return {probe for probe in new.keys() & old.keys() if new[probe] != old[probe]}


def _path(stream: RunStream) -> str | None:
    """What is asked for at its host: the host may be another deployment of the same, and queries hold tokens."""
    try:
        return None if stream.url is None else urlsplit(stream.url).path
    except ValueError:
        return stream.url


def _judged_by(stream: RunStream) -> str | None:
    return stream.judged_by


def _faults(now: Run, before: Run, moved: Collection[str]) -> Iterable[Test]:
    """Faults are compared where the earlier run was long enough to show them, and none of them may be the machine's."""
    if before.partial or now.noisy or before.noisy:
        return ()
    probes = {s.probe for s in now.test_results} & {s.probe for s in before.test_results} - set(moved)
    return fault_tests(now, before, probes, _differ(now, before, _judged_by))


def _figures(now: Run, before: Run, groups: Mapping[str, Group]) -> Iterable[Test]:
    """Times and success rates, where neither the machine nor another load may be why they differ."""
    if now.noisy or before.noisy:
        return
    alike = {probe: group for probe, group in groups.items() if not _other_load(*group)}
    if not (now.partial or before.partial or _on_time_differs(now, before)):
        yield from rate_tests(alike)
    yield from time_tests(alike, machine(now, before), held_back(now, before))


def _other_load(now: Sequence[RunStream], before: Sequence[RunStream]) -> bool:
    few, many = sorted((len(now), len(before)))
    return many > _OTHER_LOAD * few


def _on_time_differs(now: Run, before: Run) -> bool:
    known = [(run.event_deadline, run.deadline_from) for run in (now, before) if run.event_deadline is not None]
    return len(known) == 2 and known[0] != known[1]


def _verdict(now: Run, before: Run) -> Iterable[Change]:
    """The verdict rests on the criteria, near which it falls on either side by chance: it is told, and is no regression by itself."""
    if now.verdict != before.verdict:
        new, old = visible(now.verdict, 40), visible(before.verdict, 40)
        yield Change(
            probe="",
            figure="verdict",
            name="verdict",
            before=old,
            after=new,
            direction=_VERDICTS.get((before.verdict, now.verdict), "changed"),
            confidence="certain",
            detail=f"the verdict is {new} instead of {old}",
        )


def _way(now: Run, before: Run) -> Iterable[Change]:
    """What stands on the way, and the protocol that is spoken over it."""
    new, old = ({hop.name for hop in run.hops} for run in (now, before))
    for hop in sorted(new ^ old):
        came, name = hop in new, visible(hop, 60)
        yield _other("", "hop", "hop", None if came else name, name if came else None, f"{name} {'came' if came else 'went'} on the way")
    protocols = [_protocols(run) for run in (now, before)]
    for probe in protocols[0].keys() & protocols[1].keys():
        after, instead = (", ".join(sorted(found[probe])) for found in protocols)
        if after != instead:
            yield _other(probe, "protocol", "protocol", instead, after, f"{after} instead of {instead}")


def _other(probe: str, figure: str, name: str, before: str | None, after: str | None, detail: str) -> Change:
    return Change(
        probe=probe, figure=figure, name=name, before=before, after=after, direction="changed", confidence="certain", detail=detail
    )


def _protocols(run: Run) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for stream in run.test_results:
        if stream.protocol:
            found.setdefault(stream.probe, set()).add(visible(stream.protocol, 20))
    return found


def _different(now: Run, before: Run) -> Iterable[str]:
    """Where the two runs did not ask the same, or one of them cannot carry an answer."""
    if now.target_url != before.target_url:
        yield f"The earlier run asked {quoted(before.target_url)}, this one {quoted(now.target_url)}: changes may be differences between the two."
    for run, which in ((before, "The earlier run"), (now, "This run")):
        if run.noisy:
            yield f"{which} was measured by a machine that was too late to judge: times, success rates and faults are not compared."
        if run.partial:
            how = "interrupted" if run.interrupted else "ended early, as its verdict was certain"
            yield f"{which} was {how}: success rates{' and faults' if run is before else ''} are not compared."
        elif run.verdict == "inconclusive" and not run.noisy:
            yield f"{which} was inconclusive: what it shows may be incomplete."
    limits = [{(c.probe, c.criterion): c.limit for c in run.criteria if c.criterion != "streams"} for run in (now, before)]
    if any(limits[0][key] != limits[1][key] for key in limits[0].keys() & limits[1].keys()):
        yield "The two runs had other criteria: the verdicts are not to be compared."
    if _on_time_differs(now, before):
        deadlines = (
            f"{format_duration(run.event_deadline or 0.0)} from {visible(run.deadline_from or 'request', 20)}" for run in (now, before)
        )
        yield f"Events were on time within {' now, and '.join(deadlines)} before: success rates are not compared."


def _only_one(now: Run, before: Run) -> Iterable[str]:
    new, old = ({s.probe for s in run.test_results} for run in (now, before))
    for which, probes in (("this", new - old), ("the earlier", old - new)):
        if probes:
            yield f"Only {which} run has {listed(probes)}."


def _otherwise(now: Run, before: Run, moved: Collection[str]) -> Iterable[str]:
    if moved:
        yield f"The earlier run asked for another path with {listed(moved)}: that is not compared."
    if known := _differ(now, before, _judged_by):
        yield f"The scenario says something else of {listed(known)} than before: a fault that is new may only be one that is seen now."


def _loads(groups: Mapping[str, Group]) -> Iterable[str]:
    for probe, (now, before) in groups.items():
        if _other_load(now, before):
            yield f"{quoted(probe)} had {len(now):,} streams instead of {len(before):,}: under another load its figures are not compared."


def _alone(groups: Mapping[str, Group]) -> Iterable[str]:
    alone = [probe for probe, group in groups.items() if min(map(len, group)) < 2 and not _other_load(*group)]
    if alone:
        yield (
            f"One stream of {listed(alone)} does not show how much it varies: its times are named only where they differ threefold, "
            "and are never a regression. Three streams or more would tell."
        )
