"""The same stream over two protocols, or two versions of IP: what one shows and the other does not, said where it was found."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from sse_check.diagnosis.finding import Finding
from sse_check.diagnosis.shape import HELD_S
from sse_check.metrics import StreamMetrics
from sse_check.recording import CUT_SHORT
from sse_check.scenario import Probe, Scenario, variants_of
from sse_check.units import format_duration

_CALLED: Final = {"http/1.1": "Over HTTP/1.1", "h2": "Over HTTP/2", "v4": "Over IPv4", "v6": "Over IPv6"}
# Streams wait for each other where they are late by so many times what they are on connections of their own, and by
# more than what is no delay at all (HELD_S).
_CLEARLY: Final = 2.0


def with_variants(findings: Sequence[Finding], metrics: Sequence[StreamMetrics], scenario: Scenario) -> tuple[Finding, ...]:
    """The findings, with what the other variants of their probes showed; where they showed the same, nothing is added."""
    if len({(p.protocol, p.ip) for p in scenario.probes}) < 2:
        return tuple(findings)
    probes = {probe.name: probe for probe in scenario.probes}
    twins = variants_of(scenario)
    streams: dict[str, list[StreamMetrics]] = {}
    for m in metrics:
        streams.setdefault(m.stream.probe, []).append(m)
    errors: dict[str, list[Finding]] = {}
    for finding in findings:
        if finding.severity == "error":
            errors.setdefault(finding.probe, []).append(finding)
    result = []
    for finding in findings:
        said = []
        if finding.severity == "error" and (probe := probes.get(finding.probe)) is not None:
            for twin in twins[finding.probe]:
                said += _compared(finding, probe, twin, errors, streams)
        result.append(msgspec.structs.replace(finding, message=" ".join([finding.message, *said])))
    return tuple(result)


def _compared(
    finding: Finding, probe: Probe, twin: Probe, errors: Mapping[str, Sequence[Finding]], streams: Mapping[str, Sequence[StreamMetrics]]
) -> list[str]:
    """What a twin showed where a probe had this finding, in sentences."""
    how, theirs = _difference(probe, twin), streams.get(twin.name, ())
    # A stream that was not watched to its end proves the absence of nothing.
    if how is None or not theirs or any(m.stream.reason in CUT_SHORT for m in theirs):
        return []
    codes = list(dict.fromkeys(f.code for f in errors.get(twin.name, ())))
    said = []
    if not codes:
        said.append(f"{how} the same stream shows no such fault.")
    elif finding.code not in codes:
        said.append(f"{how} the same stream shows another fault ({', '.join(codes)}).")
    if finding is errors[probe.name][0]:
        said += _waiting_for_each_other(probe, twin, streams.get(probe.name, ()), theirs)
    return said


def _difference(probe: Probe, twin: Probe) -> str | None:
    """How the twin was asked, if it differs in one thing only."""
    differing = [theirs for mine, theirs in ((probe.protocol, twin.protocol), (probe.ip, twin.ip)) if mine != theirs]
    return _CALLED.get(differing[0]) if len(differing) == 1 else None


def _waiting_for_each_other(probe: Probe, twin: Probe, mine: Sequence[StreamMetrics], theirs: Sequence[StreamMetrics]) -> list[str]:
    """Head-of-line blocking: streams on one HTTP/2 connection that are later than the same on connections of their own."""
    if (probe.protocol, twin.protocol) != ("h2", "http/1.1") or probe.stream_count < 2:
        return []
    shared, apart = _latest(mine), _latest(theirs)
    if shared is None or apart is None or shared < apart * _CLEARLY or shared - apart < HELD_S:
        return []
    return [
        f"Together on one HTTP/2 connection events were up to {format_duration(shared)} late, on connections of their own "
        f"{format_duration(apart)}: the streams wait for each other."
    ]


def _latest(streams: Sequence[StreamMetrics]) -> float | None:
    """The longest delay of the middle one of several streams, in seconds: by the server's stamps, else its longest gap."""
    stamped = all(m.stamps is not None for m in streams)
    each = sorted(
        max(m.stamps.delays(), default=0.0) if stamped and m.stamps is not None else m.longest_gap or 0.0 for m in streams if m.total
    )
    return each[len(each) // 2] if each else None
