"""The result of a run: what report.json holds, and what every other report is rendered from.

Keys may be added, none renamed. Times are in seconds, on one clock, from the moment the request was sent.
"""

import zlib
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from sse_check.alternatives import footing
from sse_check.baseline import Comparison, Run, beyond, compare, regressions
from sse_check.columns import Seconds
from sse_check.diagnosis import BUFFERING, CODES, SEVERITIES, Finding, Hop, Limits, Resume, by_stream, hops_of
from sse_check.escape import json_text
from sse_check.metrics import StreamMetrics, percent
from sse_check.precision import MeasurementError
from sse_check.recording import Calibration, Ended, Factor, FallbackRecording, Phase, Recording, ServiceRecording
from sse_check.report.strip import strip
from sse_check.report.way import InstanceResult, LimitRow, instance_results, limit_rows
from sse_check.scenario import Probe
from sse_check.verdict import CriterionResult, Outcome, Verdict, stream_passed

SCHEMA_VERSION: Final = 1


class StreamResult(Struct, frozen=True, kw_only=True):
    """One stream. `timings` are the phases of its connection, `strip` its events over time as one line of characters.

    `tokens` is how many of its events brought generated text, or a call's progress, where its probe has a preset; the times
    of those are `first_token_time` and the gaps between them. `negotiated` is a protocol that was agreed on within HTTP.
    `judged_by` is a digest of the scenario's hints, by which faults are known.

    An event may have arrived before its stamp, never after it: the first by `first_event_error`, 99 of 100 by `error_p99` at
    most. Counted from the earliest moments, `maybe_on_time_events` were on time. Null where the error is not known.
    """

    probe: str
    stream: int
    phase: Phase
    factor: Factor | None
    passed: bool
    status: int | None
    total_events: int
    expected_events: int
    on_time_events: int
    maybe_on_time_events: int
    success_rate: float
    connection_time: float | None
    first_event_time: float | None
    first_event_error: float | None
    last_event_time: float | None
    median_gap: float | None
    longest_gap: float | None
    delay_p99: float | None
    error_p99: float | None
    tokens: int
    first_token_time: float | None
    token_gap_median: float | None
    token_gap_p99: float | None
    end_time: float
    ended: Ended
    protocol: str | None
    negotiated: str | None
    url: str
    reads: int
    bytes: int
    comments: int
    oversized: int
    timings: dict[str, float | None]
    judged_by: str
    codes: tuple[str, ...]
    error: str | None
    strip: str


class Summary(Struct, frozen=True, kw_only=True):
    """The run in a line: averages over its streams, and how many of those at once succeeded."""

    connection_time: float | None
    avg_first_event_time: float | None
    concurrent_success: str | None
    proxy_buffering: bool


class ReportEnvironment(Struct, frozen=True, kw_only=True):
    """The measuring machine and its own error, in seconds. `clock` is who stamped the reads.

    `measurement_error` is over all events, `calibration` what the machine could resolve before the run; null: not known.
    """

    version: str
    python: str
    platform: str
    loop_lag_p50: float
    loop_lag_p99: float
    loop_lag_max: float
    clock: str
    measurement_error: MeasurementError | None
    calibration: Calibration | None
    tls_verified: bool
    proxies: tuple[str, ...]


class HopResult(Struct, frozen=True, kw_only=True):
    """A hop that response headers showed, and what is documented of its defaults: seconds, `unknown`, or null for none."""

    name: str
    kind: str
    evidence: str
    first_byte: float | str | None
    idle: float | str | None
    total: float | str | None
    buffering: str
    compression: str
    source: str
    checked_on: str


class Result(Struct, frozen=True, kw_only=True):
    """The whole of report.json. `footing` is what the recommendation lacks to rest on, where it lacks anything.

    An event is on time within `event_deadline` seconds, counted from `deadline_from`. `baseline` is what differs from an
    earlier run, where there is one to compare with. `decided` is what made the verdict certain, where the run was ended for it.
    """

    schema_version: int
    name: str
    test_timestamp: str
    target_url: str
    verdict: Verdict
    exit_criteria_met: bool
    streaming_enabled: bool
    overall_success_rate: float
    event_deadline: float
    deadline_from: str
    recommendation: str
    footing: str | None
    reasons: tuple[str, ...]
    test_results: tuple[StreamResult, ...]
    follow_ups: tuple[StreamResult, ...]
    criteria: tuple[CriterionResult, ...]
    findings: tuple[Finding, ...]
    fallbacks: tuple[FallbackRecording, ...]
    services: tuple[ServiceRecording, ...]
    hops: tuple[HopResult, ...]
    limits: tuple[Limits, ...]
    limit_table: tuple[LimitRow, ...]
    resumes: tuple[Resume, ...]
    instances: tuple[InstanceResult, ...]
    summary: Summary
    environment: ReportEnvironment
    interrupted: str | None
    decided: str | None = None
    baseline: Comparison | None = None


def build_result(recording: Recording, outcome: Outcome) -> Result:
    """The values of all reports, of this run alone."""
    scenario, environment = recording.scenario, recording.environment
    found = by_stream(outcome.findings)
    codes = [tuple(f.code for f in found.get((m.stream.probe, m.stream.stream), ())) for m in outcome.metrics]
    streams = tuple(map(_stream_result, outcome.metrics, outcome.passed, codes))
    hops = {hop.name: hop for m in (*outcome.metrics, *outcome.searches) for hop in hops_of(m)}
    clocks = {m.stream.clock for m in outcome.metrics if m.stream.reads.at_ns}  # of none, nobody
    return Result(
        schema_version=SCHEMA_VERSION,
        name=scenario.name,
        test_timestamp=recording.started_at,
        target_url=scenario.base_url,
        verdict=outcome.verdict,
        # The founding criteria let a response pass that was held back whole; a streaming fault fails them here.
        exit_criteria_met=outcome.streaming_enabled,
        streaming_enabled=outcome.streaming_enabled,
        overall_success_rate=percent(sum(m.on_time for m in outcome.metrics), sum(m.expected for m in outcome.metrics)),
        event_deadline=scenario.criteria.event_deadline,
        deadline_from=scenario.criteria.deadline_from,
        recommendation=outcome.recommendation,
        footing=footing(outcome.verdict, outcome.findings, recording.fallbacks, scenario),
        reasons=outcome.reasons,
        test_results=streams,
        follow_ups=tuple(
            _stream_result(m, stream_passed(m, scenario.criteria, found.get((m.stream.probe, m.stream.stream), ())), ())
            for m in outcome.follow_ups
        ),
        criteria=outcome.criteria,
        findings=outcome.findings,
        fallbacks=recording.fallbacks,
        services=recording.services,
        hops=tuple(map(_hop, hops.values())),
        limits=outcome.limits,
        limit_table=limit_rows(outcome.limits, tuple(hops.values())),
        resumes=outcome.resumes,
        instances=instance_results(outcome.metrics, [stream.passed for stream in streams]),
        summary=_summary(outcome),
        environment=ReportEnvironment(
            version=environment.version,
            python=environment.python,
            platform=environment.platform,
            loop_lag_p50=environment.loop_lag_p50,
            loop_lag_p99=environment.loop_lag_p99,
            loop_lag_max=environment.loop_lag_max,
            clock=", ".join(sorted(clocks)) or "none",
            measurement_error=outcome.error,
            calibration=environment.calibration,
            tls_verified=scenario.target.tls.verify,
            proxies=environment.proxies,
        ),
        interrupted=recording.interrupted,
        decided=recording.decided,
    )


def against(result: Result, before: Run) -> Result:
    """The result beside an earlier run: what got worse is a finding too, behind those that are as grave."""
    comparison = compare(as_run(result), before)
    findings = sorted((*result.findings, *regressions(comparison)), key=lambda f: SEVERITIES.index(f.severity))
    return msgspec.structs.replace(result, baseline=comparison, findings=tuple(findings))


def as_run(result: Result) -> Run:
    """What of a result another is compared with."""
    streams = tuple(msgspec.structs.replace(s, **dict.fromkeys(beyond(s), None)) for s in result.test_results)
    return msgspec.convert(msgspec.structs.replace(result, test_results=streams), Run, from_attributes=True)


def _hop(hop: Hop) -> HopResult:
    return HopResult(
        name=hop.name,
        kind=hop.kind,
        evidence=hop.evidence,
        first_byte=hop.limits.first_byte,
        idle=hop.limits.idle,
        total=hop.limits.total,
        buffering=hop.buffering,
        compression=hop.compression,
        source=hop.source,
        checked_on=hop.checked_on.isoformat(),
    )


def _stream_result(m: StreamMetrics, passed: bool | None, codes: tuple[str, ...]) -> StreamResult:
    stream, times = m.stream, m.stream.times
    return StreamResult(
        probe=stream.probe,
        stream=stream.stream,
        phase=stream.phase,
        factor=stream.factor,
        passed=passed is True,
        status=stream.head.status if stream.head else None,
        total_events=m.total,
        expected_events=m.expected,
        on_time_events=m.on_time,
        maybe_on_time_events=m.maybe_on_time,
        success_rate=m.success_rate,
        connection_time=_rounded(m.connection),
        first_event_time=_rounded(m.first_event),
        first_event_error=_rounded(m.first_event_error),
        last_event_time=_rounded(m.last_event),
        median_gap=_rounded(m.median_gap),
        longest_gap=_rounded(m.longest_gap),
        delay_p99=_rounded(m.delay_p99),
        error_p99=_rounded(m.error_p99),
        tokens=len(m.token_times),
        first_token_time=_rounded(min(m.token_times, default=None)),
        token_gap_median=_rounded(m.token_gap_median),
        token_gap_p99=_rounded(m.token_gap_p99),
        end_time=round(m.ended, 6),
        ended=stream.ended,
        protocol=stream.head.protocol if stream.head else None,
        negotiated=stream.negotiated,
        url=stream.url,
        reads=len(stream.reads.at_ns),
        bytes=sum(stream.reads.body_bytes),
        comments=len(stream.comments_ns),
        oversized=stream.oversized,
        timings={
            "started": _seconds(times.started_ns),
            "resolved": _seconds(times.resolved_ns),
            "connected": _seconds(times.connected_ns),
            "tls": _seconds(times.tls_ns),
            "head": _seconds(times.head_ns),
            "first_byte": _seconds(stream.reads.at_ns[0]) if stream.reads.at_ns else None,
        },
        judged_by=_hints(m.probe),
        codes=codes,
        error=stream.error,
        strip=strip(Seconds(stream.events.at_ns), m.ended),
    )


def _hints(probe: Probe) -> str:
    """A digest of what the scenario says of a probe's streams: by other hints, other faults are known."""
    return f"{zlib.crc32(msgspec.json.encode((probe.expect, probe.timestamps, probe.compare is not None))):08x}"


def _summary(outcome: Outcome) -> Summary:
    together = [c for c in outcome.criteria if c.criterion == "streams"]
    good, of = sum(int(c.observed or 0) for c in together), sum(int(c.limit) for c in together)
    return Summary(
        connection_time=_average([m.connection for m in outcome.metrics]),
        avg_first_event_time=_average([m.first_event for m in outcome.metrics]),
        concurrent_success=f"{good}/{of}" if together else None,
        proxy_buffering=any(f.code in BUFFERING for f in outcome.findings),
    )


class FindingGroup(Struct, frozen=True, kw_only=True):
    """One fault as it is shown: once, with all the probes that have it."""

    first: Finding
    probes: tuple[str, ...]


def grouped_findings(result: Result) -> tuple[FindingGroup, ...]:
    """The findings by code, in their order: several probes with one fault have one cause and one cure. What got worse is each its own."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in result.findings:
        groups.setdefault((finding.code, finding.probe if finding.code == "regression" else ""), []).append(finding)
    return tuple(FindingGroup(first=found[0], probes=tuple(f.probe for f in found if f.probe)) for found in groups.values())


def leading(result: Result) -> FindingGroup | None:
    """The fault that the answer rests on: the first error; where the machine was too late to tell, that."""
    groups = grouped_findings(result)
    if result.verdict == "inconclusive":
        return next((g for g in groups if g.first.message == result.reasons[0]), None)
    return next((g for g in groups if g.first.severity == "error"), None)


def missed_criteria(result: Result) -> tuple[CriterionResult, ...]:
    """The criteria that were not met, or could not be judged."""
    return tuple(c for c in result.criteria if c.passed is not True)


def ended_early(result: Result) -> str | None:
    """That the run was ended before its streams were, and why, in a sentence; None where it was not."""
    if result.decided is None:
        return None
    rest = ", and nothing that was still to come could change that" if result.verdict == "not-viable" else ""
    return f"The run was ended early{rest}: {result.decided}"


ENDINGS: Final = {
    "until": "as planned",
    "eof": "by the server",
    "truncated": "broken off",
    "reset": "reset",
    "timeout": "given up",
    "error": "failed",
}


def _average(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known), 6) if known else None


def _seconds(ns: int | None) -> float | None:
    return None if ns is None else round(ns / 1e9, 6)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def report_json(result: Result) -> bytes:
    """The result as report.json holds it."""
    return json_text(msgspec.json.format(msgspec.json.encode(result), indent=2)) + b"\n"


def report_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of report.json, from the structs that write it; later versions may add keys."""
    schema = msgspec.json.schema(Result)
    schema["$defs"]["Finding"]["properties"]["code"]["enum"] = list(CODES)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "sse-check report.json, version 1", **schema}
