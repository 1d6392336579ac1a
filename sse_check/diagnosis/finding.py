"""A finding: one fault, with its evidence in figures, how sure it is, and what would cure it."""

import re
from collections.abc import Iterable
from typing import Final, Literal

from msgspec import Struct

Severity = Literal["error", "warning", "note"]
# In these events wait on the way, and come together.
BUFFERING: Final = frozenset({"buffered-full", "buffered-block", "buffered-time", "one-behind", "compressed-buffered"})
SEVERITIES: Final[tuple[Severity, ...]] = ("error", "warning", "note")  # the gravest first
Confidence = Literal["certain", "likely", "possible"]


class Fix(Struct, frozen=True, kw_only=True):
    """One change that cures a fault: where it is made, what it is, and who says so."""

    where: str
    text: str
    source: str


class Finding(Struct, frozen=True, kw_only=True):
    """One fault of one probe. `streams` are the numbers of its streams that show it; evidence is in seconds and counts."""

    code: str
    severity: Severity
    confidence: Confidence
    probe: str
    streams: tuple[int, ...]
    evidence: dict[str, float | int | str]
    message: str
    fixes: tuple[Fix, ...] = ()


def by_stream(findings: Iterable[Finding]) -> dict[tuple[str, int], list[Finding]]:
    """The findings of each stream, by its probe and number, in their order."""
    found: dict[tuple[str, int], list[Finding]] = {}
    for finding in findings:
        for number in finding.streams:
            found.setdefault((finding.probe, number), []).append(finding)
    return found


# What is to be copied stands at the beginning of a cure, behind a colon, or is the header to be sent, in code spans that
# "and" joins; what parentheses hold are examples.
_SPANS: Final = r"`[^`]+`(?: and `[^`]+`)*"
_TO_COPY: Final = re.compile(rf"(?:^|: )({_SPANS})|[Ss]end (?:the response header |exactly )?(?=`[A-Z][A-Za-z-]*: )({_SPANS})")
_EXAMPLES: Final = re.compile(r" \((?:[^()`]|`[^`]*`)*\)")


def ready_to_copy(fix: Fix) -> str | None:
    r"""The lines that a fix wants written, as they can be pasted; None where it wants something else done.

    >>> ready_to_copy(Fix(where="nginx", text="In the location of the stream: `gzip off; proxy_buffering off;`", source=""))
    'gzip off;\nproxy_buffering off;'
    """
    found = _TO_COPY.search(_EXAMPLES.sub("", fix.text))
    if found is None:
        return None
    lines = re.findall(r"`([^`]+)`", found[1] or found[2])
    return "\n".join(line.replace("; ", ";\n") if line.endswith(";") else line for line in lines)
