"""Criteria and findings into one verdict: viable, not viable, or not known."""

import math
from collections.abc import Sequence
from typing import Final, Literal

import msgspec
from msgspec import Struct

from sse_check.confidence import more_events, rate_met, wilson
from sse_check.decision import first_event_missed, rate_lost
from sse_check.diagnosis import (
    Finding,
    Limits,
    Resume,
    by_stream,
    diagnose,
    find_limits,
    find_resumes,
    lateness_proves,
    noise_limit,
    proof_against_noise,
)
from sse_check.diagnosis.doubt import doubts
from sse_check.diagnosis.holding import came_at_once
from sse_check.diagnosis.landing import with_instances
from sse_check.diagnosis.own import left_open
from sse_check.diagnosis.variants import with_variants
from sse_check.escape import quoted
from sse_check.metrics import StreamMetrics, may_still_be_due, measure, percent
from sse_check.precision import MeasurementError, measurement_error
from sse_check.recording import CUT_SHORT, ENDED_EARLY, FallbackRecording, Recording
from sse_check.scenario import Criteria, Probe, Scenario
from sse_check.units import format_duration, format_measured

Verdict = Literal["viable", "not-viable", "inconclusive"]

# So many heartbeats in reads of their own show that small pieces pass.
MIN_HEARTBEATS: Final = 3

PROCEED: Final = "PROCEED with SSE"
PUNT_WEBSOCKET: Final = "PUNT to WebSocket"
PUNT_BATCH: Final = "PUNT to batch API"
BLOCKED: Final = "BLOCKED: no fallback works"
MEASURE_AGAIN: Final = "MEASURE AGAIN"


class CriterionResult(Struct, frozen=True, kw_only=True):
    """One criterion of one probe. `passed` is None where nothing could be observed to judge it by, or too little to be sure.

    With a confidence the success rate lies between `low` and `high`, in percent; where that does not tell whether it reaches
    the limit, `more_events` is about how many more would, at this rate.
    """

    probe: str
    criterion: Literal["success_rate", "first_event", "streams"]
    passed: bool | None
    observed: float | None
    limit: float
    detail: str
    low: float | None = None
    high: float | None = None
    more_events: int | None = None


class Outcome(Struct, frozen=True, kw_only=True):
    """What a recording comes to. `reasons` are the sentences that the verdict rests on, the weightiest first.

    `metrics` are the streams that the scenario asked for, which alone meet or miss the criteria, and `passed` says of each
    whether it is good by itself, None where it showed nothing to judge by. The others explain:
    `follow_ups`, the `searches` for the `limits`, and `reconnects` on purpose with what they have shown (`resumes`). `error`
    is how exactly the events are timed; None where that is not known.
    """

    verdict: Verdict
    recommendation: str
    reasons: tuple[str, ...]
    criteria: tuple[CriterionResult, ...]
    findings: tuple[Finding, ...]
    metrics: tuple[StreamMetrics, ...]
    passed: tuple[bool | None, ...]
    follow_ups: tuple[StreamMetrics, ...] = ()
    searches: tuple[StreamMetrics, ...] = ()
    reconnects: tuple[StreamMetrics, ...] = ()
    limits: tuple[Limits, ...] = ()
    resumes: tuple[Resume, ...] = ()
    error: MeasurementError | None = None

    @property
    def streaming_enabled(self) -> bool:
        """Whether streaming may be switched on: only a proven yes counts."""
        return self.verdict == "viable"


def judge(recording: Recording, scenario: Scenario | None = None) -> Outcome:
    """The verdict on a recording, by its own scenario's criteria or by another's. Pure: the same input, the same verdict.

    Streams of probes that the scenario does not have are left out.
    """
    scenario = scenario or recording.scenario
    probes = {probe.name: probe for probe in scenario.probes}
    health = Probe(name="health", path=scenario.target.health)
    metrics, checks = [], []
    calibration = recording.environment.calibration
    for stream in recording.streams:
        if stream.phase == "connect":
            checks.append(measure(stream, health, scenario.criteria, calibration))
        elif stream.probe in probes:
            metrics.append(measure(stream, probes[stream.probe], scenario.criteria, calibration))
    by_phase: dict[str, list[StreamMetrics]] = {}
    for m in metrics:
        if m.stream.reason == "machine" and m.stream.phase not in ("stream", "concurrency"):
            continue  # it explains nothing
        by_phase.setdefault(m.stream.phase, []).append(m)
    asked = [m for m in metrics if m.stream.phase in ("stream", "concurrency")]
    follow_ups, searches, reconnects = (tuple(by_phase.get(phase, ())) for phase in ("follow-up", "limits", "resume"))
    limits, resumes = find_limits(searches, asked), find_resumes(reconnects, asked)
    error = measurement_error((m.stream for m in asked), calibration)
    findings = diagnose([*asked, *follow_ups], scenario.criteria, recording.environment, limits, resumes, error)
    findings = with_instances(with_variants(findings, asked, scenario), asked)
    findings = (*_health_findings(checks, scenario.criteria, recording), *findings)
    found = by_stream(findings)
    passed = [stream_passed(m, scenario.criteria, found.get((m.stream.probe, m.stream.stream), ())) for m in asked]
    by_probe: dict[str, list[tuple[StreamMetrics, bool | None]]] = {}
    for m, good in zip(asked, passed, strict=True):
        if m.stream.reason == "machine":
            continue
        by_probe.setdefault(m.stream.probe, []).append((m, good))
    failed = {f.probe for f in findings if f.severity == "error" and f.streams}
    criteria = tuple(
        result
        for probe in scenario.probes
        if probe.name in by_probe
        for result in _criteria(probe, by_probe[probe.name], scenario.criteria, failed=probe.name in failed)
    )
    verdict, reasons = _verdict(recording, criteria, findings, scenario, asked)
    return Outcome(
        verdict=verdict,
        recommendation=_recommendation(verdict, recording.fallbacks, scenario),
        reasons=reasons,
        criteria=criteria,
        findings=findings,
        metrics=tuple(asked),
        passed=tuple(passed),
        follow_ups=follow_ups,
        searches=searches,
        reconnects=reconnects,
        limits=limits,
        resumes=resumes,
        error=error,
    )


def _health_findings(checks: Sequence[StreamMetrics], criteria: Criteria, recording: Recording) -> tuple[Finding, ...]:
    """Of the health check only whether it was answered with 200: it is no stream."""
    findings = diagnose(checks, criteria, recording.environment)
    answered = {m.stream.head.status for m in checks if m.stream.head is not None}
    codes = {"refused", "http-error"} | ({"not-sse", "stalled"} if answered != {200} else set())
    # Of no stream: a probe of the same name has streams of the same numbers.
    return tuple(msgspec.structs.replace(f, streams=()) for f in findings if f.code in codes or (f.code == "runner-noise" and f.probe))


def _criteria(
    probe: Probe, streams: Sequence[tuple[StreamMetrics, bool | None]], criteria: Criteria, *, failed: bool
) -> list[CriterionResult]:
    """The founding criteria for one probe, over its streams, each with whether it is good; `failed` where one has a fault."""
    mine = [m for m, _ in streams]
    quiet = not failed and all(not m.expected and _heartbeats_flow(m) and m.stream.reason not in ENDED_EARLY for m in mine)
    results = [
        _success_rate(probe, mine, criteria, failed=failed, quiet=quiet),
        _first_event(probe, mine, criteria, failed=failed, quiet=quiet),
    ]
    if probe.stream_count > 1:
        answers = [good for _, good in streams]
        good = answers.count(True)
        # A recording may hold a part of the streams (a shard) or several runs: one that failed decides, and so do all
        # of them together; some that are good prove nothing of the others.
        together = False if False in answers else (True if good == len(mine) >= probe.stream_count else None)
        of = max(len(mine), probe.stream_count)
        results.append(
            CriterionResult(
                probe=probe.name,
                criterion="streams",
                passed=together,
                observed=good,
                limit=of,
                detail=f"{good} of {of} streams at once met the criteria.",
            )
        )
    return results


def _success_rate(probe: Probe, mine: Sequence[StreamMetrics], criteria: Criteria, *, failed: bool, quiet: bool) -> CriterionResult:
    on_time, expected = sum(m.on_time for m in mine), sum(m.expected for m in mine)
    limit, confidence = criteria.success_rate, criteria.confidence
    detail = _rate_detail(mine, on_time, expected, criteria, failed=failed)
    maybe = sum(m.maybe_on_time for m in mine)
    passed = (False if failed else True if quiet else None) if not expected else _enough(on_time, maybe, expected, limit, confidence)
    if expected and any(m.stream.reason in ENDED_EARLY for m in mine):
        # What was not due yet may have been on time: only what was out of reach is known.
        passed, confidence = (False if rate_lost((m.reach for m in mine), limit, confidence) else None), None
        detail += " It was ended before any others were due." if passed is None else " What else may have come would not have been enough."
    observed = percent(on_time, expected) if expected else None
    plain = CriterionResult(probe=probe.name, criterion="success_rate", passed=passed, observed=observed, limit=limit, detail=detail)
    if confidence is None or not expected:
        return plain
    low, high = wilson(on_time, expected, confidence)
    more = more_events(on_time, expected, limit, confidence) if passed is None else None
    sure = _sure(low, high, more, passed, criteria)
    return msgspec.structs.replace(plain, low=round(low, 6), high=round(high, 6), more_events=more, detail=f"{detail} {sure}")


def _sure(low: float, high: float, more: int | None, passed: bool | None, criteria: Criteria) -> str:
    """How sure the rate is, in a sentence. Both ends are shown cut off, not rounded: so what is decided looks so, and what is not, not."""
    places = max(1, len(f"{criteria.success_rate:g}".partition(".")[2]))
    shown = [f"{math.floor(end * 10**places) / 10**places:.{places}f} %" for end in (low, high)]
    text = f"With {criteria.confidence:g} % confidence the rate is between {shown[0]} and {shown[1]}"
    if passed is not None:
        return f"{text}."
    text = f"{text}, so {criteria.success_rate:g} % is not decided"
    if more is not None:
        return f"{text}; about {more:,} more events at this rate would."
    return f"{text}, nor would any number of events at this rate."


def _enough(on_time: int, maybe: int, expected: int, limit: float, confidence: float | None = None) -> bool | None:
    """Whether enough events were on time; None where that is not sure, or hangs on how exactly they are timed."""
    met = rate_met(on_time, expected, limit, confidence)
    return None if met is False and rate_met(maybe, expected, limit, confidence) is not False else met


def _soon(m: StreamMetrics, criteria: Criteria) -> bool | None:
    """Whether the first event came within its limit; None where that hangs on how exactly it is timed."""
    if m.first_event is None:
        return False
    late = m.first_event - criteria.first_event
    return True if late <= 0 else None if late <= (m.first_event_error or 0.0) else False


def _rate_detail(mine: Sequence[StreamMetrics], on_time: int, expected: int, criteria: Criteria, *, failed: bool) -> str:
    if not expected:
        beats = sum(len(m.stream.comments_ns) for m in mine)
        yet = " yet when it was ended early" if any(m.stream.reason in ENDED_EARLY for m in mine) else ""
        return f"No event came, and none was known to be due{yet}" + (f"; {beats} heartbeats came through." if beats else ".")
    since = {"request": "the request", "previous": "the event before", "sent": "its sending"}[criteria.deadline_from]
    if criteria.deadline_from == "sent" and all(m.stamps is None for m in mine):
        since = "the request (no time stamps of the server were found)"
    text = f"{on_time} of {expected} events within {format_duration(criteria.event_deadline)} of {since}."
    unsure = sum(m.maybe_on_time for m in mine) - on_time
    if unsure:
        text += f" {unsure} more may have been: they were read so late that it cannot be told."
    if percent(on_time, expected) < criteria.success_rate and not failed and only_age(mine, criteria):
        text += (
            " The stream is healthy and only lasts longer than the deadline: no event came later than that after the one before it."
            " Set criteria.deadline_from: previous, or a longer criteria.event_deadline."
        )
    return text


def only_age(mine: Sequence[StreamMetrics], criteria: Criteria) -> bool:
    """Whether events are late only because the stream is old: none is missing, and each followed soon on the one before."""
    return criteria.deadline_from == "request" and all(
        (m.total >= m.expected or may_still_be_due(m))
        and m.first_event is not None
        and max(m.first_event, m.longest_gap or 0.0) <= criteria.event_deadline
        for m in mine
    )


def _heartbeats_flow(m: StreamMetrics) -> bool:
    """Whether a stream without events showed that it streams: heartbeats that came one by one, up to its end."""
    return not m.total and len(set(m.stream.comments_ns)) >= MIN_HEARTBEATS and m.silence <= max(m.pause * 3, 1.0)


def _first_event(probe: Probe, mine: Sequence[StreamMetrics], criteria: Criteria, *, failed: bool, quiet: bool) -> CriterionResult:
    times = [m.first_event for m in mine if m.first_event is not None]
    slowest = max(times, default=None)
    late = slowest is not None and slowest > criteria.first_event
    # Of those that were ended early, the ones whose first event was not due yet.
    waiting = sum(m.first_event is None and m.stream.reason in ENDED_EARLY and not _owed(m, criteria) for m in mine)
    silent = len(mine) - len(times) - waiting
    passed: bool | None
    if silent and not late:
        owed = failed or any(_owed(m, criteria) for m in mine if m.first_event is None)
        passed, detail = (False if owed else True if quiet else None), f"No first event in {silent} of {len(mine)} streams."
    elif waiting and not late:
        passed, detail = None, f"No first event yet in {waiting} of {len(mine)} streams when they were ended early."
    else:
        soon = [_soon(m, criteria) for m in mine if m.first_event is not None or m.stream.reason not in ENDED_EARLY]
        passed = False if False in soon else None if None in soon else True
        last = max(mine, key=lambda m: m.first_event or 0.0)
        detail = f"First event after {format_measured(max(times), last.first_event_error)}, limit {format_duration(criteria.first_event)}."
        if passed is None:
            detail += " It was read so late that it cannot be told whether it came in time."
        if passed is False and not failed and all(map(came_at_once, mine)):
            detail += " All events came in one moment: held back, or made so late, which `compare`, `expect` or time stamps in the events would tell."
    return CriterionResult(
        probe=probe.name,
        criterion="first_event",
        passed=passed,
        observed=None if slowest is None else round(slowest, 6),
        limit=criteria.first_event,
        detail=detail,
    )


def _owed(m: StreamMetrics, criteria: Criteria) -> bool:
    """Whether a stream without an event should have had one."""
    return first_event_missed(None, m.ended, m.probe, criteria) if m.stream.reason in ENDED_EARLY else bool(m.expected)


def stream_passed(m: StreamMetrics, criteria: Criteria, findings: Sequence[Finding]) -> bool | None:
    """Whether one stream by itself, with its findings, is good; None where it showed nothing to judge by."""
    if any(f.severity == "error" for f in findings):
        return False
    if m.stream.reason in ENDED_EARLY:
        return (
            False
            if first_event_missed(m.first_event, m.ended, m.probe, criteria, m.first_event_error or 0.0)
            or rate_lost([m.reach], criteria.success_rate)
            else None
        )
    if m.stream.reason in CUT_SHORT or m.stream.reason == "machine":
        return None
    if not m.expected:
        return True if _heartbeats_flow(m) else None
    answers = (_enough(m.on_time, m.maybe_on_time, m.expected, criteria.success_rate), _soon(m, criteria))
    return False if False in answers else None if None in answers else True


def _verdict(
    recording: Recording,
    criteria: Sequence[CriterionResult],
    findings: Sequence[Finding],
    scenario: Scenario,
    asked: Sequence[StreamMetrics],
) -> tuple[Verdict, tuple[str, ...]]:
    errors = [f for f in findings if f.severity == "error"]
    noise = [f for f in findings if f.code == "runner-noise" and not f.probe]  # of a probe: what could not be opened
    not_opened = tuple(f.message for f in findings if f.code == "runner-noise" and f.probe)
    missed = [c for c in criteria if c.passed is False]
    unknown = [c for c in criteria if c.passed is None]
    not_ready = tuple(s.error for s in recording.services if s.error)
    if not_ready:
        return "inconclusive", not_ready
    if recording.interrupted:
        return "inconclusive", (f"The run was not completed ({quoted(recording.interrupted)}).", *(f.message for f in errors))
    frozen = recording.environment.loop_lag_max
    proven = any(proof_against_noise(f, frozen) for f in errors)
    if noise and not proven:
        return "inconclusive", (*(f.message for f in noise), *(f.message for f in errors))
    well_above = any(lateness_proves(f, frozen) for f in errors)
    if (errors or missed) and not (proven or well_above) and frozen > noise_limit(scenario.criteria):
        # Too rare for a percentile, but one freeze delays all that comes meanwhile, and then hands it over at once.
        reason = f"The measuring machine stood still for {format_duration(frozen)}: what looks late or held back may have been the machine."
        return "inconclusive", (reason, *(f.message for f in errors))
    if not errors and (own := left_open(findings, {c.probe for c in missed})):
        return "inconclusive", (*(f.message for f in own), *(f"{quoted(c.probe)}: {c.detail}" for c in (*missed, *unknown)))
    if errors or missed:
        died = (f"The service {quoted(s.name)} {s.state} while it was asked." for s in recording.services if s.state.startswith("exited"))
        return "not-viable", (*(f.message for f in errors), *(f"{quoted(c.probe)}: {c.detail}" for c in missed), *died)
    if recording.apart or not_opened:
        return "inconclusive", (*recording.apart, *not_opened)
    if recording.shard is not None:
        part = f"This is shard {recording.shard.index} of {recording.shard.of}. Its own streams show no fault; the answer is in the recordings of all shards, judged together."
        return "inconclusive", (part, *(f"{quoted(c.probe)}: {c.detail}" for c in unknown))
    if recording.decided:
        # Judged by other criteria, or with what other runs have shown.
        reason = (
            f"The run was ended early for what does not decide here ({recording.decided.rstrip('.')}), and the rest of it is not known."
        )
        return "inconclusive", (reason, *(f"{quoted(c.probe)}: {c.detail}" for c in unknown))
    if unknown:
        return "inconclusive", tuple(f"{quoted(c.probe)}: {c.detail}" for c in unknown)
    if unsure := doubts(asked, scenario.criteria, frozen):
        return "inconclusive", unsure
    unfinished = [f for f in findings if f.code == "stalled"]
    if unfinished:
        return "inconclusive", tuple(f.message for f in unfinished)
    observed = {c.probe for c in criteria}
    unasked = [probe.name for probe in scenario.probes if probe.name not in observed]
    if unasked:
        return "inconclusive", (f"Not observed: {', '.join(map(quoted, unasked))}.",)
    return "viable", ("Every criterion is met and no streaming fault was found.",)


def _recommendation(verdict: Verdict, fallbacks: Sequence[FallbackRecording], scenario: Scenario) -> str:
    if verdict == "viable":
        return PROCEED
    if verdict == "inconclusive":
        return MEASURE_AGAIN
    for tried in fallbacks:
        if tried.worked:
            return PUNT_WEBSOCKET if tried.kind == "websocket" else PUNT_BATCH
    return BLOCKED if fallbacks or scenario.fallbacks else PUNT_WEBSOCKET
