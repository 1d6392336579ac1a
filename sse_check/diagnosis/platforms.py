"""The hops that a response's headers show, and what is known of each: limits, buffering, and the cures it owns.

The knowledge is data, platforms.yml, with a source and a date for every entry; here it is read, checked and asked. How
hops are recognised:

* A hop is seen by what it writes itself: `Server`, its own fields, the name of a cookie, its member of `Via`.
* `Via` grows at its end on the way to the client (RFC 9110, section 7.6.3), so its last member is the nearest hop. Hops
  that did not write themselves into it are ordered by what they are: a content delivery network stands before a
  platform, a proxy before the application server.
* Nothing seen is no proof of nothing there: many proxies leave no mark.
"""

import datetime
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Annotated, Final, Literal

import msgspec
import yaml
from msgspec import Meta, Struct

from sse_check.diagnosis.finding import Fix
from sse_check.escape import visible
from sse_check.recording import Head
from sse_check.units import format_duration

Kind = Literal["cdn", "load-balancer", "platform", "proxy", "application-server"]
Text = Annotated[str, Meta(min_length=1)]
# Seconds; "unknown" where no source was found, None where there is no such limit.
Limit = Annotated[float, Meta(gt=0)] | Literal["unknown"] | None

# From the client inwards, where Via does not tell.
_NEAREST_FIRST: Final[tuple[Kind, ...]] = ("cdn", "load-balancer", "platform", "proxy", "application-server")
# A stranger wrote the headers: more than this is not looked at. Real ones stay far below.
_MOST_TEXT: Final = 1_000
_MOST_VALUES: Final = 50
_EVIDENCE_CHARS: Final = 100
# Of heartbeats, in seconds.
_INTERVALS: Final = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 60.0, 90.0, 120.0, 300.0)
# The HTML Standard, "Authoring notes": "a comment line every 15 seconds or so".
_USUAL_HEARTBEAT_S: Final = 15.0
# libyaml is ten times as fast where PyYAML was built with it; both are the safe loader.
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Fingerprint(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A response header that shows a hop; with a pattern, if that is found in one of its values (case-insensitive)."""

    header: Annotated[str, Meta(pattern="^[a-z0-9-]+$")]
    pattern: Text | None = None

    def __post_init__(self) -> None:
        if self.pattern is not None:
            try:
                re.compile(self.pattern)
            except re.error as error:
                raise ValueError(f"{self.pattern!r} is not a pattern: {error}") from None


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long a hop waits by default, in seconds: for the first byte, for the next byte, and for the whole response.

    Only `idle` is cured by a heartbeat. `note` says what the numbers hold for.
    """

    first_byte: Limit
    idle: Limit
    total: Limit
    note: str = ""


class Platform(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An entry of platforms.yml; the head of that file explains its fields."""

    name: Text
    kind: Kind
    fingerprints: tuple[Fingerprint, ...]
    poses_as: tuple[str, ...] = ()
    limits: Limits
    buffering: Text
    compression: Text
    strips: Text
    cures: dict[str, Annotated[tuple[Text, ...], Meta(min_length=1)]]
    source: Annotated[str, Meta(pattern="^(https://|measured with )")]
    checked_on: datetime.date
    confidence: Literal["documented", "reported", "measured"]


class Hop(Struct, frozen=True, kw_only=True):
    """A hop that a response showed. `evidence` is the header that gave it away; of a cookie it is the name only."""

    name: str
    kind: Kind
    evidence: str
    limits: Limits
    buffering: str
    compression: str
    source: str
    checked_on: datetime.date


@cache
def platforms() -> tuple[Platform, ...]:
    """Everything known, in the order of the file.

    Raises msgspec.ValidationError or ValueError where an entry is wrong.
    """
    return read(resources.files("sse_check.diagnosis").joinpath("platforms.yml").read_text("utf-8"))


def read(text: str) -> tuple[Platform, ...]:
    """Entries as platforms.yml has them.

    Raises msgspec.ValidationError or ValueError where an entry is wrong.
    """
    entries = msgspec.convert(yaml.load(text, Loader=_LOADER), tuple[Platform, ...])
    names = [entry.name for entry in entries]
    if len(set(names)) < len(names):
        raise ValueError(f"named twice: {sorted({name for name in names if names.count(name) > 1})}")
    if strange := {name for entry in entries for name in entry.poses_as} - set(names):
        raise ValueError(f"poses_as names no entry: {sorted(strange)}")
    return entries


def recognise(head: Head) -> tuple[Hop, ...]:
    """The hops that a response's headers show, each once, the one nearest to the client first."""
    values = _values(head)
    seen = {entry.name: (entry, marks) for entry in platforms() if (marks := _marks(entry, values))}
    posed = {name for entry, _ in seen.values() for name in entry.poses_as}
    found = [pair for name, pair in seen.items() if name not in posed]
    # Server is the origin's word (RFC 9110, section 10.2.4): among equals who stands in Via is nearer.
    found.sort(key=lambda pair: (_NEAREST_FIRST.index(pair[0].kind), _via_place(pair[1]) is None))
    # Those that wrote themselves into Via change places among each other until they stand as Via says.
    in_via = [number for number, (_, marks) in enumerate(found) if _via_place(marks) is not None]
    by_via = sorted((found[number] for number in in_via), key=lambda pair: _via_place(pair[1]) or 0, reverse=True)
    for number, pair in zip(in_via, by_via, strict=True):
        found[number] = pair
    return tuple(_hop(entry, marks[0]) for entry, marks in found)


def cures_of(hops: Sequence[Hop], code: str, idle: float | None = None) -> tuple[Fix, ...]:
    """What the hops themselves can be told to do about a fault, in the order of the hops.

    `idle` is the limit on silence that was observed, in seconds: heartbeats are sized by it, not by a documented default.
    """
    known = {entry.name: entry for entry in platforms()}
    entries = [known[hop.name] for hop in hops if hop.name in known]
    return tuple(
        Fix(where=entry.name, text=text.replace("{interval}", heartbeat_every(idle or entry.limits.idle)), source=entry.source)
        for entry in entries
        for text in entry.cures.get(code, ())
    )


def heartbeat_interval(limit: Limit) -> float:
    """How often to send a heartbeat under a limit on silence, in seconds: half of it, as a number that people choose.

    >>> heartbeat_interval(60.0), heartbeat_interval(2.1), heartbeat_interval("unknown")
    (30.0, 1.0, 15.0)
    """
    if not isinstance(limit, float):
        return _USUAL_HEARTBEAT_S
    return max((every for every in _INTERVALS if every <= limit / 2), default=round(limit / 2, 2))


def heartbeat_every(limit: Limit) -> str:
    """The same, in words."""
    return format_duration(heartbeat_interval(limit))


def idle_limit(hops: Sequence[Hop]) -> float | None:
    """The smallest idle limit, in seconds, that is known of the hops; None if none is known."""
    return min((hop.limits.idle for hop in hops if isinstance(hop.limits.idle, float)), default=None)


class _Mark(Struct, frozen=True, kw_only=True):
    """One header value that shows a hop; `place` counts the values of that header in their order."""

    header: str
    value: str
    place: int


def _values(head: Head) -> dict[str, list[str]]:
    """The values of each header by its lower-case name, in their order; of Via its members."""
    values: dict[str, list[str]] = {}
    for name, value in head.headers:
        name = name.lower()
        parts = value[-_MOST_TEXT:].split(",") if name == "via" else [value[:_MOST_TEXT]]
        values.setdefault(name, []).extend(part.strip() for part in parts)
    return {name: texts[-_MOST_VALUES:] for name, texts in values.items()}


def _marks(entry: Platform, values: Mapping[str, Sequence[str]]) -> list[_Mark]:
    return [
        _Mark(header=mark.header, value=value, place=place)
        for mark in entry.fingerprints
        for place, value in enumerate(values.get(mark.header, ()))
        if mark.pattern is None or re.search(mark.pattern, value, re.IGNORECASE)
    ]


def _via_place(marks: Sequence[_Mark]) -> int | None:
    return max((mark.place for mark in marks if mark.header == "via"), default=None)


def _hop(entry: Platform, mark: _Mark) -> Hop:
    # A cookie's value can be somebody's session; its name says enough.
    value = mark.value.partition("=")[0] if mark.header == "set-cookie" else mark.value
    return Hop(
        name=entry.name,
        kind=entry.kind,
        evidence=visible(f"{mark.header}: {value}", _EVIDENCE_CHARS),
        limits=entry.limits,
        buffering=entry.buffering,
        compression=entry.compression,
        source=entry.source,
        checked_on=entry.checked_on,
    )
