"""A finding: one fault, with its evidence in figures, how sure it is, and what would cure it."""

from typing import Literal

from msgspec import Struct

Severity = Literal["error", "warning", "note"]
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
