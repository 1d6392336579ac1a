"""Several recordings as one: the shards of one run, or runs of one scenario from several places."""

from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest

import msgspec

from sse_check.escape import quoted
from sse_check.recording import Environment, FallbackRecording, Phase, Recording, RecordingError, Shard, StreamRecording
from sse_check.units import format_duration

# The order in which one machine would have observed them.
_PHASES: tuple[Phase, ...] = ("connect", "stream", "concurrency", "follow-up", "resume", "limits")


def merge(recordings: Sequence[Recording]) -> Recording:
    """Several recordings of one scenario as one run. Shards give what one machine with all the streams would have recorded.

    Raises RecordingError where their scenarios differ, and where they are not the shards of one run, each of them once.
    """
    first = recordings[0]
    for other in recordings[1:]:
        if other.scenario != first.scenario:
            raise RecordingError("the recordings are of different scenarios; only parts of one run can be judged as one.")
    shards = [r.shard for r in recordings if r.shard is not None]
    if shards:
        _check_complete(shards, len(recordings))
        recordings = sorted(recordings, key=lambda r: r.shard.index if r.shard else 0)
    return Recording(
        started_at=min(r.started_at for r in recordings),
        scenario=first.scenario,
        environment=_worst([r.environment for r in recordings]),
        streams=_in_order(recordings) if shards else _told_apart(recordings),
        fallbacks=_by_all(recordings) if shards else tuple(fallback for r in recordings for fallback in r.fallbacks),
        services=tuple(service for r in recordings for service in r.services),
        interrupted=next((r.interrupted for r in recordings if r.interrupted), None),
        decided=next((r.decided for r in recordings if r.decided), None),
        apart=_apart(recordings) if shards else (),
    )


def _check_complete(shards: Sequence[Shard], recordings: int) -> None:
    """See that these are the shards of one run, all of them, each once."""
    if len(shards) < recordings:
        raise RecordingError("some of the recordings are shards of a run, and some are not. Give the shards of one run, and nothing else.")
    numbers = sorted({s.of for s in shards})
    if len(numbers) > 1:
        raise RecordingError(
            f"the recordings are of different runs: one of {_listed(numbers)} shards each. Give the shards of one run, and nothing else."
        )
    of = numbers[0]
    counted = Counter(s.index for s in shards)
    twice = [index for index in sorted(counted) if counted[index] > 1]
    if twice:
        raise RecordingError(
            f"{_named(twice)} of {of} {'is' if len(twice) == 1 else 'are'} there more than once. Give each shard of one run once."
        )
    instants = sorted({s.start_at or "no common instant" for s in shards})
    if len(instants) > 1:
        raise RecordingError(
            f"the shards are of different runs: they were to begin at {' and '.join(instants)}. Give the shards of one run, and nothing else."
        )
    missing = [index for index in range(1, of + 1) if index not in counted]
    if missing:
        raise RecordingError(
            f"{_named(missing)} of {of} {'is' if len(missing) == 1 else 'are'} missing: what was not observed cannot be judged. "
            f"Give the recording.ndjson of each of the {of} shards."
        )


def _named(indexes: Sequence[int]) -> str:
    return f"shard {indexes[0]}" if len(indexes) == 1 else f"shards {_listed(indexes)}"


def _listed(numbers: Sequence[int]) -> str:
    return " and ".join(part for part in (", ".join(map(str, numbers[:-1])), str(numbers[-1])) if part)


def _worst(environments: Sequence[Environment]) -> Environment:
    """The machine that was the latest, and of every figure of the error the worst of all."""
    return msgspec.structs.replace(
        max(environments, key=lambda e: e.loop_lag_p99),
        loop_lag_p50=max(e.loop_lag_p50 for e in environments),
        loop_lag_max=max(e.loop_lag_max for e in environments),
        loop_lag_samples=sum(e.loop_lag_samples for e in environments),
        cpu_seconds=sum(e.cpu_seconds for e in environments),
        open_seconds=max(e.open_seconds for e in environments),
        calibration=max((e.calibration for e in environments if e.calibration), key=lambda c: c.error_p99, default=None),
    )


def _in_order(shards: Sequence[Recording]) -> tuple[StreamRecording, ...]:
    """The streams of all shards, in the order in which one machine would have observed them."""
    probes = {probe.name: number for number, probe in enumerate(shards[0].scenario.probes)}

    def place(stream: StreamRecording) -> tuple[int, int, int]:
        counted = stream.phase in ("stream", "concurrency")
        return _PHASES.index(stream.phase), probes.get(stream.probe, len(probes)) if counted else 0, stream.stream if counted else 0

    return tuple(sorted((stream for r in shards for stream in r.streams), key=place))


def _by_all(shards: Sequence[Recording]) -> tuple[FallbackRecording, ...]:
    """Each fallback once; one that failed for any shard has failed. A shard tries them in the scenario's order, up to the first that works."""
    tried = zip_longest(*(r.fallbacks for r in shards))
    return tuple(min((fallback for fallback in same if fallback is not None), key=lambda fallback: fallback.worked) for same in tried)


def _told_apart(recordings: Sequence[Recording]) -> tuple[StreamRecording, ...]:
    """Their streams; where two recordings number the streams of a probe alike, the later ones are counted on."""
    taken: dict[str, set[int]] = {}
    together: list[StreamRecording] = []
    for r in recordings:
        mine: dict[str, set[int]] = {}
        for s in r.streams:
            if s.phase in ("stream", "concurrency"):
                mine.setdefault(s.probe, set()).add(s.stream)
        shift = {probe: max(taken[probe]) for probe, numbers in mine.items() if taken.get(probe, set()) & numbers}
        for s in r.streams:
            by = shift.get(s.probe, 0) if s.phase in ("stream", "concurrency") else 0
            together.append(msgspec.structs.replace(s, stream=s.stream + by) if by else s)
        for probe, numbers in mine.items():
            taken[probe] = taken.get(probe, set()) | {n + shift.get(probe, 0) for n in numbers}
    return tuple(together)


def _apart(recordings: Sequence[Recording]) -> tuple[str, ...]:
    """A sentence for each probe whose streams were to be open at once, and were not: one shard's were over before another's began.

    By the wall clocks of the machines, which may differ.
    """
    said = []
    for probe in recordings[0].scenario.probes:
        times: list[tuple[float, float, int]] = []
        for r in recordings:
            mine = [s for s in r.streams if s.phase == "concurrency" and s.probe == probe.name]
            if mine and r.shard is not None:
                times.append((min(s.sent_at for s in mine), max(s.sent_at + s.times.ended_ns / 1e9 for s in mine), r.shard.index))
        if len(times) < 2:
            continue
        over, first = min((end, index) for _, end, index in times)
        begun, last = max((begin, index) for begin, _, index in times)
        if begun > over:
            said.append(
                f"{quoted(probe.name)}: its streams were not open at once: those of shard {last} began {format_duration(begun - over)} after "
                f"those of shard {first} were over, by the machines' clocks. Start all shards with one --start-at."
            )
    return tuple(said)
