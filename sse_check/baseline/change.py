"""What differs between two runs, as data."""

from collections.abc import Iterable
from typing import Final, Literal

from msgspec import Struct

from sse_check.diagnosis.finding import Confidence
from sse_check.escape import quoted

Direction = Literal["worse", "better", "changed"]


class Change(Struct, frozen=True, kw_only=True):
    """One figure that differs, or a fault, a limit or a hop that came or went. `probe` is empty where it is the whole run's.

    `figure` is its key, `name` the same in words. `before`, `after` and `noise` are in `unit`: `s`, `%`, `streams`, `bytes`,
    or empty for text. `noise` is what the streams of the two runs vary by themselves; None where that is not known.
    `confidence` is `possible` where it may be no change of the deployment: more than the streams' own noise, but not more
    than runs at different times differ; or one stream alone showed it.
    """

    probe: str
    figure: str
    name: str
    before: float | str | None
    after: float | str | None
    noise: float | None = None
    unit: str = ""
    direction: Direction
    confidence: Confidence
    detail: str


class Comparison(Struct, frozen=True, kw_only=True):
    """A run against an earlier one: when that was, what it came to, by which release; what changed, the worst first.

    `not_compared` are sentences that say what could not be compared, and why.
    """

    test_timestamp: str
    verdict: str
    version: str
    changes: tuple[Change, ...]
    not_compared: tuple[str, ...] = ()


_DIRECTIONS: Final = ("worse", "changed", "better")
_CONFIDENCES: Final = ("certain", "likely", "possible")


def worst_first(changes: Iterable[Change]) -> tuple[Change, ...]:
    """What got worse, the surest first, then what else changed, then what got better; else in the order given."""
    return tuple(sorted(changes, key=lambda c: (_DIRECTIONS.index(c.direction), _CONFIDENCES.index(c.confidence))))


def listed(names: Iterable[str], most: int = 5) -> str:
    """Some names, and how many more there are."""
    known = sorted(names)
    more = f" and {len(known) - most:,} more" if len(known) > most else ""
    return ", ".join(map(quoted, known[:most])) + more
