"""The result for a terminal: the verdict, the cause, what to change, then a line a stream."""

from typing import Final

from sse_check.escape import log_lines
from sse_check.report.result import ENDINGS, Result, StreamResult, grouped_findings, missed_criteria
from sse_check.units import format_duration

_SIGNS: Final = {"viable": "✔", "not-viable": "✘", "inconclusive": "?"}
_MAX_STREAMS: Final = 40
_MAX_FINDINGS: Final = 20
_LOG_LINES: Final = 20  # of a service that never got ready


def terminal_text(result: Result, *, report_dir: str | None = None) -> str:
    """Plain text, harmless in a terminal and in a workflow's log whatever the server sent."""
    lines = [f"{_SIGNS[result.verdict]} {result.verdict}: {result.recommendation}", ""]
    if result.footing is not None:
        lines += [f"  {result.footing}", ""]
    groups = grouped_findings(result)
    if not any(group.first.severity == "error" for group in groups):
        lines += [f"  {reason}" for reason in result.reasons[:_MAX_FINDINGS]]
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
    if groups:
        lines += [f"  {c.probe[:40]}: {c.detail}" for c in missed_criteria(result)[:_MAX_FINDINGS]]
    lines.append("")
    shown = sorted(result.test_results, key=lambda s: s.passed)[:_MAX_STREAMS]
    width = max((len(_name(s)) for s in shown), default=0)
    lines += [f"  {'✔' if s.passed else '✘'} {_name(s):{width}}  {s.strip}  {_figures(s)}" for s in shown]
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
    lines += ["", f"  measured with an error of up to {format_duration(result.environment.loop_lag_p99)} (event loop lag, 99th percentile)"]
    if report_dir:
        lines.append(f"  reports: {report_dir}")
    return log_lines(lines)


def _names(probes: tuple[str, ...]) -> str:
    shown = ", ".join(probe[:40] for probe in probes[:3])
    return shown + (f" and {len(probes) - 3} more" if len(probes) > 3 else "")


def _name(stream: StreamResult) -> str:
    return f"{stream.probe[:40]} #{stream.stream}" if stream.phase == "concurrency" else stream.probe[:40]


def _figures(stream: StreamResult) -> str:
    first = "no event" if stream.first_event_time is None else f"first after {format_duration(stream.first_event_time)}"
    ended = f"{ENDINGS[stream.ended]} after {format_duration(stream.end_time)}"
    return f"{stream.total_events}/{stream.expected_events} events, {first}, {_tokens(stream)}{ended}"


def _tokens(stream: StreamResult) -> str:
    if stream.first_token_time is None:
        return ""
    gaps = "" if stream.token_gap_median is None else f", then {format_duration(stream.token_gap_median)} apart (median)"
    what = "tokens" if stream.negotiated is None else "reports of progress"
    return f"{stream.tokens} {what} from {format_duration(stream.first_token_time)} on{gaps}, "
