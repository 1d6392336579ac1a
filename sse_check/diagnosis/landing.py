"""Which instance of the application shows a fault, where only some of them do: said where the fault was found."""

from collections.abc import Sequence
from typing import Final

import msgspec

from sse_check.diagnosis.finding import Finding
from sse_check.escape import quoted
from sse_check.instances import instance_of, told_apart
from sse_check.metrics import StreamMetrics

_MOST: Final = 5  # instances that are named


def with_instances(findings: Sequence[Finding], metrics: Sequence[StreamMetrics]) -> tuple[Finding, ...]:
    """The findings; where the streams that show one all landed on instances that no healthy stream landed on, it says so."""
    names: dict[tuple[str, int], str | None] = {}
    for m in metrics:
        stream, name = (m.stream.probe, m.stream.stream), instance_of(m.stream.head, m.probe.instance)
        # Several runs that are judged as one have streams of one number: which of them a finding means is not known.
        names[stream] = name if names.get(stream, name) == name else None
    if not told_apart(names.values()) and not any(m.probe.instance for m in metrics):
        return tuple(findings)
    ill = {(f.probe, number) for f in findings if f.severity == "error" for number in f.streams}
    healthy = {name for stream, name in names.items() if name is not None and stream not in ill}
    return tuple(_landed(finding, names, healthy) for finding in findings)


def _landed(finding: Finding, names: dict[tuple[str, int], str | None], healthy: set[str]) -> Finding:
    landed = {names.get((finding.probe, number)) for number in finding.streams}
    ill = {name for name in landed if name is not None}
    if finding.severity != "error" or not ill or None in landed or not healthy or ill & healthy:
        return finding
    return msgspec.structs.replace(
        finding,
        message=(
            f"{finding.message} Only on {_named(ill)}; {_named(healthy)} answered healthy streams, so it is not what stands before them all."
        ),
        evidence={**finding.evidence, "instances": ", ".join(sorted(ill)[:_MOST])},
    )


def _named(names: set[str]) -> str:
    shown = ", ".join(quoted(name) for name in sorted(names)[:_MOST])
    return f"the {'instance' if len(names) == 1 else 'instances'} {shown}"
