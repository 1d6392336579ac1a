"""Whether this machine can carry a run: said before anything is sent, and not found out by wrong results.

What cannot be had (open files, local ports, memory) ends the run before it begins. What is only an estimate, the
processor's time, is told: too much of it does not make a run fail, but late, and the report states by how much.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sse_check.errors import UsageError
from sse_check.plan import StreamPlan
from sse_check.resources import Resources, allow_files, read_resources
from sse_check.scenario import Probe, Scenario
from sse_check.transport import origin_of

# Open files beside the connections: the event loop, the resolver's threads, the reports.
SPARE_FILES: Final = 64
# Bytes that a stream takes while it is open, plain and over TLS, and an event until it is judged.
STREAM_BYTES: Final = 16 * 1024
TLS_STREAM_BYTES: Final = 60 * 1024
EVENT_BYTES: Final = 60
# Seconds of a core: an event that comes in a read of its own (1,000 streams, 10 events a second each), and one of many that
# share a read (one stream at full rate). Measured in Python 3.11 on a server's core of the 2020s.
EVENT_S: Final = 25e-6
SHARED_EVENT_S: Final = 2e-6
# Events a second of one stream beyond which they share reads.
_OWN_READS: Final = 1000.0
_PRESETS_WITH_A_SECOND_CONNECTION: Final = frozenset({"mcp", "mcp-sse"})  # messages are posted beside the stream

_ELSEWHERE: Final = "open fewer streams, or share them out over several machines (--shard)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What a run asks for: of streams and connections the most at once; `to_one` connections of them have one address.

    `memory` is in bytes, with all of the recording; `rate` are the events a second that are known to come at once, `events`
    those of the whole run, and `cores` what the rate takes of a processor.
    """

    streams: int = 0
    connections: int = 0
    to_one: int = 0
    memory: int = 0
    events: int = 0
    rate: float = 0.0
    cores: float = 0.0


def prepare(scenario: Scenario, groups: Sequence[Sequence[StreamPlan]]) -> tuple[str, ...]:
    """See that this machine can carry the groups of streams, which follow each other, and raise its limit of open files as far as needed.

    What is said is what it will not carry well. Raises UsageError where it cannot carry them at all.
    """
    wanted, there = demand(scenario, groups), read_resources()
    if lacks := lacking(there, wanted):
        raise UsageError(*lacks)
    files = wanted.connections + SPARE_FILES + there.open_files
    if (why := allow_files(files)) is not None:
        raise UsageError(_too_few_files(files, wanted, f"the limit cannot be raised so far: {why}"))
    return overloaded(there, wanted)


def demand(scenario: Scenario, groups: Sequence[Sequence[StreamPlan]]) -> Demand:
    """What the groups ask for: of each thing as much as the group that needs most of it. The recording is that of all groups."""
    probes = {probe.name: probe for probe in scenario.probes}
    parts = [_of_group(group, probes) for group in groups] or [Demand()]
    events = sum(part.events for part in parts)
    return Demand(
        streams=max(part.streams for part in parts),
        connections=max(part.connections for part in parts),
        to_one=max(part.to_one for part in parts),
        memory=max(part.memory for part in parts) + events * EVENT_BYTES,
        events=events,
        rate=max(part.rate for part in parts),
        cores=max(part.cores for part in parts),
    )


def _of_group(group: Sequence[StreamPlan], probes: Mapping[str, Probe]) -> Demand:
    """What the streams of one group ask for, without its recording."""
    connections = _connections(group)
    # The health check is no probe, and a search for limits sends what it is told to: a few events in all.
    asked = [probe for plan in group if plan.arm is None and (probe := probes.get(plan.probe)) is not None]
    rates = [_rate(probe) for probe in asked]
    return Demand(
        streams=len(group),
        connections=connections.total(),
        to_one=max(connections.values(), default=0),
        memory=sum(TLS_STREAM_BYTES if plan.request.url.startswith("https:") else STREAM_BYTES for plan in group),
        events=sum(map(_events, asked)),
        rate=sum(rates),
        cores=sum(map(_cores, rates)),
    )


def lacking(there: Resources, wanted: Demand) -> list[str]:
    """What the machine does not have enough of: how much is needed, how much there is, and what to do. Whole sentences."""
    lacks = []
    files = wanted.connections + SPARE_FILES + there.open_files
    if there.most_files is not None and files > there.most_files:
        lacks.append(_too_few_files(files, wanted, f"this process may have {there.most_files:,}"))
    if there.ports is not None and wanted.to_one > there.ports:
        lacks.append(
            f"local ports: {wanted.to_one:,} connections to one address need as many, and this machine has {there.ports:,}. "
            f'Widen them (sysctl -w net.ipv4.ip_local_port_range="1024 65535"), {_ELSEWHERE}.'
        )
    if there.memory is not None and wanted.memory > there.memory:
        recorded = f" and {wanted.events:,} expected events" if wanted.events else ""
        lacks.append(
            f"memory: {wanted.streams:,} streams at once{recorded} take about {_mebibytes(wanted.memory)}, and "
            f"{_mebibytes(there.memory)} are free here. Give the container more (docker run --memory=…), {_ELSEWHERE}."
        )
    return lacks


def overloaded(there: Resources, wanted: Demand) -> tuple[str, ...]:
    """What the machine will be too slow for, by an estimate, in a sentence each."""
    cores = min(1.0, there.cores or 1.0)  # one process, one event loop: more cores do not help it
    if wanted.cores <= cores:
        return ()
    core = "one core" if cores == 1.0 else f"the {cores:g} cores that this container may use"
    return (
        f"about {wanted.rate:,.0f} events a second are expected, for which {core} may be too slow (about {wanted.cores:.1f} are needed): "
        f"times get less exact, and the report says by how much. To be exact, {_ELSEWHERE}",
    )


def _too_few_files(files: int, wanted: Demand, but: str) -> str:
    return (
        f"open files: {wanted.connections:,} connections at once need {files:,}, and {but}. "
        f"Raise the limit (as root: ulimit -n {files}; docker run --ulimit nofile={files}:{files}), {_ELSEWHERE}."
    )


def _connections(group: Sequence[StreamPlan]) -> Counter[tuple[str, str | None, int]]:
    """How many connections lead to each origin; streams over HTTP/2 share one, but for those past the proxies and of a search."""
    found: Counter[tuple[str, str | None, int]] = Counter()
    for plan in group:
        origin = origin_of(plan.request.url)
        if plan.http2 and plan.factor != "direct" and plan.arm is None:
            found[origin] = max(found[origin], 1)
        else:
            found[origin] += 2 if plan.preset in _PRESETS_WITH_A_SECOND_CONNECTION else 1
    return found


def _rate(probe: Probe) -> float:
    """Events a second of a stream, where the scenario tells; else 0."""
    if probe.expect.every:
        return 1 / probe.expect.every
    return probe.expect.events / probe.until.duration if probe.expect.events and probe.until.duration else 0.0


def _events(probe: Probe) -> int:
    """Events of a stream, where the scenario tells; else 0."""
    return probe.expect.events or probe.until.events or int((probe.until.duration or 0.0) * _rate(probe))


def _cores(rate: float) -> float:
    """What the events of one stream take of a core: 1,000 of them a second 0.025, 10,000 a second 0.043."""
    return min(rate, _OWN_READS) * EVENT_S + max(0.0, rate - _OWN_READS) * SHARED_EVENT_S


def _mebibytes(number: int) -> str:
    return f"{number / 1024**2:,.0f} MiB"
