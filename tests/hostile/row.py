"""What was tried, and what happened: a line of the table."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One attempt. `held` says whether what is promised was kept; `seen` is a short sentence with the measured figures."""

    part: str
    attempt: str
    seen: str
    held: bool
