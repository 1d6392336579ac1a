"""The result for a terminal: the verdict, the cause, what to change, then a line a stream."""

from typing import Final

from sse_check.escape import Safe, log_lines, quoted
from sse_check.report.exactness import exactness
from sse_check.report.names import in_words, stream_name
from sse_check.report.result import Result, StreamResult, ended_early, grouped_findings, missed_criteria
from sse_check.units import format_duration

_SIGNS: Final = {"viable": "✔", "not-viable": "✘", "inconclusive": "?"}
_MAX_STREAMS: Final = 40
_MAX_FINDINGS: Final = 20
_LOG_LINES: Final = 20  # of a service that never got ready


def terminal_text(result: Result, *, report_dir: str | None = None) -> Safe:
    """Plain text, harmless in a terminal and in a workflow's log whatever the server sent."""
    lines = [f"{_SIGNS[result.verdict]} {result.verdict}: {result.recommendation}", ""]
    groups = grouped_findings(result)
    told = {finding.message for finding in result.findings}
    untold = [f"  {reason}" for reason in result.reasons if reason not in told][:_MAX_FINDINGS]
    faulty = any(group.first.severity == "error" for group in groups)
    # The cause first; what else the answer rests on comes behind it.
    lines += [] if faulty else untold
    early = ended_early(result)
    lines += [] if early is None else [f"  {early}"]
    if not result.environment.tls_verified:
        lines.append("  TLS certificates were not verified (target.tls.verify: false).")
    for group in groups[:_MAX_FINDINGS]:
        finding = group.first
        lines.append(
            f"  {finding.severity}: {finding.code} ({finding.confidence})" + (f" in {_names(group.probes)}" if group.probes else "")
        )
        lines.append(f"    {finding.message}")
        lines += [f"    -> {fix.where}: {fix.text}" for fix in finding.fixes]
        lines.append("")
    lines += untold if faulty else []
    reasons = set(result.reasons)
    missed = [c for c in missed_criteria(result) if f"{quoted(c.probe)}: {c.detail}" not in reasons]
    lines += [f"  {c.probe[:40]}: {c.detail}" for c in missed[:_MAX_FINDINGS]]
    if result.footing is not None:
        lines += ["", f"  {result.recommendation}: {result.footing}"]
    lines.append("")
    shown = sorted(result.test_results, key=lambda s: s.passed)[:_MAX_STREAMS]
    width = max((len(_name(s)) for s in shown), default=0)
    lines += [f"  {'✔' if s.passed else '✘'} {_name(s):{width}}  {s.strip}  {in_words(s)}" for s in shown]
    if len(result.test_results) > len(shown):
        lines.append(f"  … and {len(result.test_results) - len(shown)} more")
    lines += [f"  {r.limit}, {r.way}: {r.measured}" for r in result.limit_table[:_MAX_FINDINGS]]
    lines += [f"  resume of {r.probe[:40]}: {r.detail}" for r in result.resumes[:_MAX_FINDINGS]]
    lines += [f"  instance {i.name}: {i.passed} of {i.streams} streams good" for i in result.instances[:_MAX_FINDINGS]]
    for service in result.services:
        ready = f"ready after {format_duration(service.seconds)}" if service.seconds is not None else "never ready"
        lines.append(f"  service {service.name} ({service.image}): {ready}, {service.state or 'not started'}")
        lines += [f"    | {line}" for line in service.log.splitlines()[-_LOG_LINES:]] if service.error else []
    lines += [f"  fallback {f.kind}: {'works' if f.worked else 'does not work'} ({f.detail})" for f in result.fallbacks]
    lines += _comparison(result)
    lines += ["", f"  {exactness(result.environment)}"]
    if report_dir:
        lines.append(f"  reports: {report_dir} (open {report_dir}/report.html)")
    return log_lines(lines)


def _comparison(result: Result) -> list[str]:
    """What changed since the run it is compared with."""
    if result.baseline is None:
        return []
    sure = [change for change in result.baseline.changes if change.confidence != "possible"]
    chance = len(result.baseline.changes) - len(sure)
    lines = [
        "",
        f"  compared with the run of {result.baseline.test_timestamp}:" + ("" if sure else " nothing changed beyond what two runs vary by"),
    ]
    lines += [f"    {c.direction}: {c.probe[:40] + ': ' if c.probe else ''}{c.detail}" for c in sure[:_MAX_FINDINGS]]
    if len(sure) > _MAX_FINDINGS:
        lines.append(f"    … and {len(sure) - _MAX_FINDINGS} more")
    if chance:
        lines.append(f"    {chance} more may be chance; the reports have them")
    return lines + [f"    {sentence}" for sentence in result.baseline.not_compared[:_MAX_FINDINGS]]


def _names(probes: tuple[str, ...]) -> str:
    shown = ", ".join(probe[:40] for probe in probes[:3])
    return shown + (f" and {len(probes) - 3} more" if len(probes) > 3 else "")


def _name(stream: StreamResult) -> str:
    return stream_name(stream.probe[:40], stream.stream, stream.phase)
