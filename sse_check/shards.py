"""More than one machine: which streams are whose, and when each group of them begins.

No machine knows of the others. Each works out the same from the scenario, its own number and one instant:

- Stream k of a probe of several belongs to shard (k - 1) mod N + 1, and keeps its number: of ten streams, shard 1 of 4
  opens 1, 5 and 9. The i-th probe of one stream belongs to shard (i - 1) mod N + 1.
- A search for limits and a resume are made by the shard that has the probe's first stream.
- A follow-up is asked by each shard that sees the fault, and the health check is made by every shard: neither counts in
  a criterion.
- With a common instant the groups of the scenario begin by a timetable, so that a stream is alone, and streams are open
  together, across all machines: each group has the time after which its streams are given up.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol, TypeVar

from sse_check.errors import UsageError
from sse_check.recording import Shard
from sse_check.scenario import Probe, Scenario, stream_timeout
from sse_check.units import format_duration

# Where Kubernetes tells a pod of an Indexed Job which one it is, from 0.
COMPLETION_INDEX: Final = "JOB_COMPLETION_INDEX"

_SHARD: Final = re.compile(r"([0-9]{1,4}|job)/([0-9]{1,4})")
# RFC 3339, section 5.6.
_INSTANT: Final = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})")

# Of streams that last for half a minute, a start so late still leaves most of the time together.
_LATEST_S: Final = 5.0
# Further ahead than any machine takes to start: a wrong hour or zone, and nobody wants to wait for it.
_EARLIEST_S: Final = 3600.0
# Between two groups: what closes the streams of the first, and notices that they are closed.
_BETWEEN_S: Final = 1.0


class Numbered(Protocol):
    """A stream, as far as sharing it out needs to know it."""

    @property
    def phase(self) -> str: ...
    @property
    def stream(self) -> int: ...


class Planned(Numbered, Protocol):
    """A stream to be opened: how long after the first of its group, and after how long it is given up; both in seconds."""

    @property
    def opens_after(self) -> float: ...
    @property
    def timeout(self) -> float: ...


_N = TypeVar("_N", bound=Numbered)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A machine's part in a run: shard `index` of `of`, from 1. `start_at` is when all begin, in seconds since the epoch."""

    index: int = 1
    of: int = 1
    start_at: float | None = None

    @property
    def shard(self) -> Shard | None:
        """What the recording says of it; None where it is the whole."""
        if self.of == 1:
            return None
        return Shard(index=self.index, of=self.of, start_at=None if self.start_at is None else instant_text(self.start_at))

    def has_first(self, scenario: Scenario, probe: Probe) -> bool:
        """Whether the first stream of this probe is one of this part's."""
        if probe.stream_count > 1:
            return self.index == 1
        alone = [other.name for other in scenario.probes if other.stream_count == 1]
        return self.has(alone.index(probe.name))

    def has(self, number: int) -> bool:
        """Whether one of a row of equals, from 0, is this part's."""
        return number % self.of == self.index - 1


WHOLE: Final = Part()


def read_part(shard: str, start_at: str, environ: Mapping[str, str], *, names: tuple[str, str]) -> Part:
    """A machine's part, from texts that may be empty: `2/4` or `job/4`, and an instant of RFC 3339.

    `names` is how whoever gave them calls the two. Raises UsageError.
    """
    index, of = _read_shard(shard.strip(), environ, names[0]) if shard.strip() else (1, 1)
    return Part(index=index, of=of, start_at=_read_instant(start_at.strip(), names[1]) if start_at.strip() else None)


def _read_shard(text: str, environ: Mapping[str, str], name: str) -> tuple[int, int]:
    match = _SHARD.fullmatch(text)
    if match is None:
        raise UsageError(f'{name}: "{text}" is no shard. Write 2/4 for the second of four, or job/4 in an Indexed Job of Kubernetes.')
    of = int(match[2])
    if match[1] != "job":
        index = int(match[1])
        if not 1 <= index <= of:
            raise UsageError(f"{name}: there is no shard {text}. Shards count from 1: write 1/{max(of, 1)} to {max(of, 1)}/{max(of, 1)}.")
        return index, of
    completion = environ.get(COMPLETION_INDEX, "")
    if re.fullmatch(r"[0-9]{1,6}", completion) is None:
        raise UsageError(
            f"{name}: {text} needs {COMPLETION_INDEX}, which the pods of an Indexed Job have. Set completionMode: Indexed, or write 2/4."
        )
    if int(completion) >= of:
        raise UsageError(
            f"{name}: {text}, but this is the pod with {COMPLETION_INDEX}={completion}. Write the Job's completions after job/."
        )
    return int(completion) + 1, of


def _read_instant(text: str, name: str) -> float:
    try:
        if _INSTANT.fullmatch(text) is None:
            raise ValueError
        return datetime.fromisoformat(text.upper()).timestamp()
    except ValueError:
        raise UsageError(
            f'{name}: "{text}" is no instant. Write date, time and zone (RFC 3339), for example 2026-01-15T10:30:00Z.'
        ) from None


def instant_text(seconds: float) -> str:
    """An instant as people write it: 2026-01-15T10:30:00Z."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def check_part(scenario: Scenario, part: Part, now: float) -> None:
    """See that a part can be played, before anything is sent. `now` is in seconds since the epoch.

    Raises UsageError where the scenario cannot be shared out, and where the instant is over or too far away.
    """
    if part.of > 1:
        _check_share(scenario, part)
    if part.start_at is None:
        return
    at, left = instant_text(part.start_at), part.start_at - now
    if left < -_LATEST_S:
        raise UsageError(
            f"start at {at}: by this machine's clock that was {format_duration(-left)} ago, and the others have begun without it. "
            "Choose an instant by which every machine has started, and start all of them again."
        )
    if left > _EARLIEST_S:
        raise UsageError(
            f"start at {at}: by this machine's clock that is {format_duration(left)} away. "
            f"Choose an instant within the next {format_duration(_EARLIEST_S)}; Z is UTC, +02:00 is ahead of it by two hours."
        )
    lasts = sum((probe.ramp or 0.0) + stream_timeout(scenario, probe) + _BETWEEN_S for probe in scenario.probes)
    if lasts > scenario.budget:
        raise UsageError(
            f"start at {at}: each probe begins when the timeout of the one before is over, which takes {format_duration(lasts)} in all, and "
            f"the budget is {format_duration(scenario.budget)}. Raise budget, or set timeout where the probes need less."
        )


def _check_share(scenario: Scenario, part: Part) -> None:
    which = f"shard {part.index}/{part.of}"
    if scenario.services:
        raise UsageError(
            f"{which}: the scenario starts services, and each machine would start its own and ask only them. "
            "Name a deployment that all machines reach in target.url, and leave services out."
        )
    counts = [probe.stream_count for probe in scenario.probes]
    most = max(counts.count(1), *(count for count in counts if count > 1), 1)
    if part.of > most:
        raise UsageError(f"{which}: some of {part.of} shards would have no stream to open. This scenario has streams for {most} at most.")


def share(groups: Sequence[Sequence[_N]], part: Part) -> list[list[_N]]:
    """Of groups of streams those that are this part's; a group may be left empty."""
    alone = 0
    mine = []
    for group in groups:
        if group[0].phase == "connect":
            mine.append(list(group))
        elif group[0].phase == "stream":
            mine.append(list(group) if part.has(alone) else [])
            alone += 1
        else:
            mine.append([plan for plan in group if part.has(plan.stream - 1)])
    return mine


def timetable(groups: Sequence[Sequence[Planned]], part: Part) -> list[float | None]:
    """When each group begins, in seconds since the epoch, and last when all are over; None: as soon as the one before is over.

    The health check comes before the common instant, so that the streams begin at it.
    """
    if part.start_at is None:
        return [None] * (len(groups) + 1)
    before = sum(plan.timeout for group in groups for plan in group if plan.phase == "connect")
    at = part.start_at - before
    begins: list[float | None] = [at]
    for group in groups:
        at += max(plan.opens_after + plan.timeout for plan in group) + (0.0 if group[0].phase == "connect" else _BETWEEN_S)
        begins.append(at)
    return begins
