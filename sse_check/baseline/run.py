"""What is compared of a run: the part of its report.json that two runs can be held against each other by.

A report is read leniently, since an older or newer release may have written it: keys that are not compared are passed
over, keys that it lacks have a default. What is read is held to its type and range: the file may come from anywhere.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import force_setattr

from sse_check.escape import quoted, visible
from sse_check.quantities import MOST_SECONDS, Count, Seconds

# report.json as it is written today; a later version may mean other things by the same keys.
SCHEMA_VERSION: Final = 1
# A stream takes 1.5 kB of a report: this is a run of 60,000.
MOST_BYTES: Final = 100_000_000

_TIMES: Final = ("connection_time", "first_event_time", "first_token_time", "median_gap", "token_gap_median", "delay_p99", "end_time")


class BaselineError(Exception):
    """A file that cannot be compared with. The message says which, what is wrong, and what would be right."""


class RunStream(Struct, frozen=True, kw_only=True):
    """One stream. `delay_p99` is the time that 99 of 100 events took longer than the fastest, by the server's stamps."""

    probe: str
    stream: Count = 1
    phase: str = "stream"
    expected_events: Count = 0
    on_time_events: Count = 0
    connection_time: Seconds | None = None
    first_event_time: Seconds | None = None
    first_token_time: Seconds | None = None
    median_gap: Seconds | None = None
    token_gap_median: Seconds | None = None
    delay_p99: float | None = None
    end_time: Seconds | None = None
    protocol: str | None = None
    url: str | None = None
    judged_by: str | None = None

    def __post_init__(self) -> None:
        # By the server's stamps, which may be any numbers: a report that says so is one all the same.
        if self.delay_p99 is not None and not 0 <= self.delay_p99 <= MOST_SECONDS:
            force_setattr(self, "delay_p99", None)


def beyond(stream: object) -> list[str]:
    """The times of a stream that no run has: a server may stamp its events with any number."""
    return [key for key in _TIMES if (value := getattr(stream, key)) is not None and not 0 <= value <= MOST_SECONDS]


class Evidence(Struct, frozen=True, kw_only=True):
    """The figures of a finding that are limits, in seconds."""

    idle_timeout: Seconds | None = None
    max_duration: Seconds | None = None


class RunFinding(Struct, frozen=True, kw_only=True):
    """A fault, and the streams of its probe that show it; none where it was found in another way."""

    code: str
    probe: str = ""
    confidence: str = "certain"
    streams: tuple[Count, ...] = ()
    evidence: Evidence = Evidence()


class RunCriterion(Struct, frozen=True, kw_only=True):
    """What a probe had to meet."""

    probe: str
    criterion: str
    limit: Seconds


class RunHop(Struct, frozen=True, kw_only=True):
    """A hop that response headers showed."""

    name: str


class RunBound(Struct, frozen=True, kw_only=True):
    """One limit, in seconds, as `diagnosis.limits.Bound` has it."""

    seconds: Seconds | None = None
    survived: Seconds = 0.0
    cuts: Count = 0
    earliest: Seconds | None = None
    latest: Seconds | None = None


class RunHeartbeat(Struct, frozen=True, kw_only=True):
    """What a heartbeat had to be like: bytes that passed and that were swallowed, and the interval in seconds."""

    passed: Count | None = None
    swallowed: Count | None = None
    every: Seconds | None = None


class RunLimits(Struct, frozen=True, kw_only=True):
    """What a search for limits found on one way, as `diagnosis.limits.Limits` has it."""

    probe: str
    way: str = "target"
    first_byte: RunBound = RunBound()
    idle: RunBound = RunBound()
    total: RunBound = RunBound()
    heartbeat: RunHeartbeat = RunHeartbeat()
    undecided: str | None = None
    either: Seconds | None = None


class RunError(Struct, frozen=True, kw_only=True):
    """The error that a run states for 99 of 100 of its events, in seconds."""

    p99: Seconds


class RunEnvironment(Struct, frozen=True, kw_only=True):
    """The measuring machine's own error, in seconds: the one that it states, and how late its event loop was."""

    version: str = ""
    measurement_error: RunError | None = None
    loop_lag_p99: Seconds = 0.0
    loop_lag_max: Seconds = 0.0

    @property
    def usual_error(self) -> float:
        """What a time of the run may usually be wrong by; without a stated error the loop's lag."""
        return self.loop_lag_p99 if self.measurement_error is None else self.measurement_error.p99


class Run(Struct, frozen=True, kw_only=True):
    """One run, as far as it is compared. `msgspec.convert(result, Run, from_attributes=True)` makes one of the present result.

    `event_deadline` (seconds) and `deadline_from` are what "on time" means; None where the report does not say.
    """

    schema_version: int
    test_timestamp: str = ""
    target_url: str = ""
    verdict: str = ""
    event_deadline: Seconds | None = None
    deadline_from: str | None = None
    test_results: tuple[RunStream, ...]
    criteria: tuple[RunCriterion, ...] = ()
    findings: Annotated[tuple[RunFinding, ...], Meta(max_length=10_000)] = ()
    hops: Annotated[tuple[RunHop, ...], Meta(max_length=100)] = ()
    limits: Annotated[tuple[RunLimits, ...], Meta(max_length=1_000)] = ()
    environment: RunEnvironment = RunEnvironment()
    interrupted: str | None = None
    decided: str | None = None

    @property
    def partial(self) -> bool:
        """Whether its streams were not watched to their ends."""
        return self.interrupted is not None or self.decided is not None

    @property
    def noisy(self) -> bool:
        """Whether the measuring machine was too late to judge."""
        return any(f.code == "runner-noise" for f in self.findings)


class _Kind(Struct):
    """What tells a report of sse-check from other JSON."""

    schema_version: int
    test_results: msgspec.Raw
    verdict: str


def read_run(raw: bytes, file: str) -> Run:
    """The run that a report.json holds; `file` is its name for the message.

    Raises BaselineError.
    """
    right = "Name the report.json of an earlier run."
    if len(raw) > MOST_BYTES:
        raise BaselineError(f"{quoted(file)} has {len(raw):,} bytes, more than any report. {right}")
    try:
        kind = msgspec.json.decode(raw, type=_Kind)
        if kind.schema_version != SCHEMA_VERSION:
            raise BaselineError(
                f"{quoted(file)} has the schema_version {kind.schema_version}; this release compares with version {SCHEMA_VERSION}."
                " Compare with a report of this release, or judge that run's recording with it: `sse-check judge recording.ndjson`."
            )
        return msgspec.json.decode(raw, type=Run)
    except msgspec.ValidationError as error:
        raise BaselineError(f"{quoted(file)} is no report of sse-check: {visible(str(error))}. {right}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BaselineError(f"{quoted(file)} is not JSON: {visible(str(error))}. {right}") from error
    except RecursionError as error:
        raise BaselineError(f"{quoted(file)} is no report of sse-check: it is nested too deeply. {right}") from error
