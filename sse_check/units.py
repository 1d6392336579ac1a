"""Times and shares as people write them: 250ms, 25s, 2m; 90% or 90."""

import math
import re
from typing import Final

DURATION_PATTERN: Final = r"^[0-9]+(\.[0-9]+)?(ms|s|m|h)$"
EVENTS_PATTERN: Final = r"^[0-9]+( events?)?$"
PERCENT_PATTERN: Final = r"^[0-9]+(\.[0-9]+)?%?$"

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_LONGEST_DURATION_S: Final = 24 * 3600.0


class Unreadable(ValueError):
    """A text that is not what it should be. `wrong` says so, `right` what would be; both are whole sentences."""

    def __init__(self, wrong: str, right: str) -> None:
        super().__init__(f"{wrong} {right}")
        self.wrong, self.right = wrong, right


def parse_duration(text: str) -> float:
    """Seconds of a duration such as `250ms`, `25s`, `1.5m`.

    Raises Unreadable.
    """
    match = re.fullmatch(DURATION_PATTERN, text.strip())
    if match is None:
        number = re.match(r"[0-9]+(\.[0-9]+)?", text.strip())
        example = f"{number[0]}s or {number[0]}ms" if number else "25s, 250ms or 2m"
        raise Unreadable(f'"{text}" is not a duration.', f"Write {example}.")
    unit = match[2]
    seconds = float(text.strip().removesuffix(unit)) * _SECONDS[unit]
    if seconds > _LONGEST_DURATION_S:
        raise Unreadable(f'"{text}" is too long.', "The longest duration is 24h.")
    return seconds


def parse_percent(text: str) -> float:
    """The number of a percentage such as `90%` or `90`, from 0 to 100.

    Raises Unreadable.
    """
    if re.fullmatch(PERCENT_PATTERN, text.strip()) is None:
        raise Unreadable(f'"{text}" is not a percentage.', "Write 90% or 90.")
    percent = float(text.strip().removesuffix("%"))
    if percent > 100:
        raise Unreadable(f'"{text}" is more than all.', "Write a percentage from 0% to 100%.")
    return percent


def format_duration(seconds: float) -> str:
    """A duration as a person would write it: 0.25 -> 250ms, 25.0 -> 25s, 0.0004 -> 0.4ms."""
    if abs(seconds) < 1:
        return f"{float(f'{seconds * 1000:.3g}'):g}ms"
    if abs(seconds) < 120:
        return f"{float(f'{seconds:.3f}' if abs(seconds) < 10 else f'{seconds:.1f}'):g}s"
    return f"{float(f'{seconds / 60:.3g}'):g}m"


def format_within(seconds: float, error: float | None) -> str:
    """A measured duration, no more exact than its error allows: 0.3127 to within 0.04 -> 310ms. The error is None where it is not known."""
    step = 10.0 ** math.floor(math.log10(error)) if error else 0.0
    return format_duration(round(seconds / step) * step if step else seconds)


def format_measured(seconds: float, error: float | None) -> str:
    """A measured duration with its error, where that is known: 0.3127, 0.0001 -> 313ms ± 0.1ms; 0.3127, 0.04 -> 310ms ± 40ms."""
    return format_within(seconds, error) + (f" ± {format_duration(error)}" if error else "")
