"""From figures to findings: each rule asked of each stream, what explains what, and the findings in order."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from sse_check.diagnosis.advice import cures, documented, hops_of, limit_in_words
from sse_check.diagnosis.finding import BUFFERING, SEVERITIES, Confidence, Finding, Fix, by_stream
from sse_check.diagnosis.followup import FollowUp, follow_ups
from sse_check.diagnosis.holding import held_back
from sse_check.diagnosis.limit_findings import limit_findings, open_sizes, with_measured
from sse_check.diagnosis.limits import Bound, Limits, find_limits
from sse_check.diagnosis.localhost import of_place
from sse_check.diagnosis.noise import lateness_proves, noise_limit, not_opened, proof_against_noise, runner_noise
from sse_check.diagnosis.opening import company_of
from sse_check.diagnosis.own import own_limits
from sse_check.diagnosis.platforms import Hop, idle_limit
from sse_check.diagnosis.resuming import Resume, find_resumes, resume_findings
from sse_check.diagnosis.rules import RULES
from sse_check.diagnosis.sign import Rule, Sign, View
from sse_check.metrics import StreamMetrics
from sse_check.precision import MeasurementError
from sse_check.recording import Environment, Factor
from sse_check.scenario import Criteria

__all__ = [
    "BUFFERING",
    "CODES",
    "FAULTS",
    "SEVERITIES",
    "Bound",
    "Finding",
    "Fix",
    "FollowUp",
    "Hop",
    "Limits",
    "Resume",
    "by_stream",
    "diagnose",
    "find_limits",
    "find_resumes",
    "follow_ups",
    "hops_of",
    "lateness_proves",
    "limit_in_words",
    "noise_limit",
    "open_sizes",
    "proof_against_noise",
]

# What one stream, or the streams of one probe, can show; then what is the measuring machine's and sse-check's own, and what takes two
# runs.
FAULTS: Final = tuple(rule.code for rule in RULES)
CODES: Final = (*FAULTS, "runner-noise", "own-limit", "regression")

_CONFIDENCE_ORDER: Final[dict[Confidence, int]] = {"certain": 0, "likely": 1, "possible": 2}


def diagnose(
    metrics: Sequence[StreamMetrics],
    criteria: Criteria,
    environment: Environment,
    limits: Sequence[Limits] = (),
    resumes: Sequence[Resume] = (),
    error: MeasurementError | None = None,
) -> tuple[Finding, ...]:
    """All findings of a run: errors before warnings before notes, and among them the cause before its consequences.

    One finding for each probe and code; the streams that show it are listed, and its evidence is the clearest of them.
    `limits` are what a search for them has found, `resumes` what reconnects on purpose have shown, `error`
    how exactly the events are timed, where that is known.
    """
    signs: dict[tuple[str, str], list[tuple[StreamMetrics, Sign]]] = {}
    for view in _views(metrics, criteria, limits):
        for rule, sign in _signs(view):
            signs.setdefault((rule.code, view.m.stream.probe), []).append((view.m, sign))
    rules = {rule.code: rule for rule in RULES}
    findings = [_finding(rules[code], probe, seen, environment) for (code, probe), seen in signs.items()]
    hops = tuple({hop.name: hop for m in metrics for hop in hops_of(m)}.values())
    findings = with_measured(findings, limit_findings(limits, hops), hops)
    findings += [msgspec.structs.replace(f, fixes=f.fixes or cures(f.code, hops)) for f in resume_findings(resumes)]
    findings += [*own_limits(metrics), *runner_noise(criteria, environment, error), *not_opened(metrics)]
    order = {code: number for number, code in enumerate(CODES)}
    return tuple(sorted(findings, key=lambda f: (SEVERITIES.index(f.severity), order[f.code])))


def _views(metrics: Sequence[StreamMetrics], criteria: Criteria, limits: Sequence[Limits]) -> Iterable[View]:
    """Each stream that the scenario asked for, beside those that were opened with it and the follow-ups of its probe."""
    measured = {found.probe: found.idle for found in limits if found.way == "target"}
    by_probe: dict[str, list[StreamMetrics]] = {}
    for m in metrics:
        by_probe.setdefault(m.stream.probe, []).append(m)
    for streams in by_probe.values():
        peers = [m for m in streams if m.stream.factor is None]
        company = company_of(peers)
        twins: dict[Factor, tuple[StreamMetrics, ...]] = {}
        for m in streams:
            if m.stream.factor is not None:
                twins[m.stream.factor] = (*twins.get(m.stream.factor, ()), m)
        for m in peers:
            # What was measured goes before what is documented.
            idle = measured.get(m.stream.probe, Bound())
            limit = idle.seconds or idle_limit(hops_of(m))
            yield View(m=m, criteria=criteria, company=company, twins=twins, idle_limit=limit, survived=idle.survived, held=held_back(m))


def _signs(view: View) -> Iterable[tuple[Rule, Sign]]:
    """What the rules say of one stream, without what is only a consequence."""
    explained: set[str] = set()
    ended = False
    for rule in RULES:
        # A warning stands beside its error: a redirect may be why the answer is no stream.
        if rule.code in explained or (ended and rule.severity == "error"):
            continue
        sign = rule.sign(view)
        if sign is not None:
            explained |= rule.explains
            ended = ended or rule.ends
            yield rule, sign


def _finding(rule: Rule, probe: str, seen: list[tuple[StreamMetrics, Sign]], environment: Environment) -> Finding:
    m, clearest = min(seen, key=lambda pair: (SEVERITIES.index(pair[1].severity or rule.severity), _CONFIDENCE_ORDER[pair[1].confidence]))
    hops = hops_of(m)
    here, cures_here = of_place(rule.code, m, environment)
    return Finding(
        code=rule.code,
        severity=clearest.severity or rule.severity,
        confidence=clearest.confidence,
        probe=probe,
        streams=tuple(m.stream.stream for m, _ in seen),
        evidence=clearest.evidence,
        message=clearest.message + here + documented(rule.code, hops),
        fixes=cures_here or clearest.fixes or cures(rule.code, hops, _observed_idle(clearest), status=clearest.evidence.get("status")),
    )


def _observed_idle(sign: Sign) -> float | None:
    """The limit on silence that a stream ran into, or could run into, in seconds."""
    limit = sign.evidence.get("idle_timeout", sign.evidence.get("limit"))
    return limit if isinstance(limit, float) else None
