"""What is made of the measurements: medians, ratios, what is wanted of them, the table, and the comparison with an earlier run.

Pure: nothing here measures, reads or writes.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

TOOL: Final = "sse-check"
# A ratio that grew by more than this since the run that was kept last is named.
_WORSE: Final = 1.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure, of every client that was measured: one value for each round.

    `against` is the client, or the other command, that the tool's ratio is over. `wanted` is the most that may be: of that
    ratio where `ratio` is true, else of the figure itself. Of figures that count losses the worst round counts.
    """

    group: str
    name: str
    unit: str
    values: Mapping[str, Sequence[float]]
    against: str | None = None
    wanted: float | None = None
    ratio: bool = False
    worst: bool = False

    @property
    def key(self) -> str:
        """How the row is called where it is kept."""
        return f"{self.group}: {self.name}"

    def figure(self, client: str) -> float | None:
        """The median of a client's rounds, or its worst; None: not measured."""
        values = self.values.get(client)
        if not values:
            return None
        return max(values) if self.worst else statistics.median(values)

    @property
    def over(self) -> float | None:
        """The tool's figure over the one it is held against; None where one of them is missing or nothing."""
        mine, other = self.figure(TOOL), self.against and self.figure(self.against)
        return mine / other if mine is not None and other else None

    @property
    def met(self) -> bool | None:
        """Whether the figure is as wanted; None: nothing is wanted, or nothing was measured."""
        value = self.over if self.ratio else self.figure(TOOL)
        return None if self.wanted is None or value is None else value <= self.wanted


@dataclass(slots=True)
class Rounds:
    """Values as they come in, by row and client."""

    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def add(self, row: str, client: str, value: float) -> None:
        """One more round."""
        self.values.setdefault(row, {}).setdefault(client, []).append(value)


def percentile(ordered: Sequence[int], share: float) -> int:
    """The nearest rank of ordered values: of 1 to 100, 0.99 is 99. An empty sequence has none and raises IndexError."""
    return ordered[max(0, -int(-len(ordered) * share // 1) - 1)]


def table(rows: Sequence[Row]) -> str:
    """The rows as text: by group, a column for each client, the ratio, what is wanted, and whether it is met."""
    lines = []
    for group in dict.fromkeys(row.group for row in rows):
        of = [row for row in rows if row.group == group]
        clients = list(dict.fromkeys(client for row in of for client in row.values))
        head = [group, *clients, "ratio", "wanted", ""]
        cells = [head, *([row.name + ", " + row.unit, *(_number(row.figure(c)) for c in clients), *_judged(row)] for row in of)]
        widths = [max(len(line[i]) for line in cells) for i in range(len(head))]
        lines += [
            "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))) for line in cells
        ]
        lines.append("")
    return "\n".join(line.rstrip() for line in lines)


def _judged(row: Row) -> list[str]:
    over = f"{_number(row.over)} x {row.against}" if row.over is not None else ""
    wanted = "" if row.wanted is None else f"<= {row.wanted:g}" + (" x" if row.ratio else "")
    return [over, wanted, {True: "met", False: "MISSED", None: "" if row.wanted is None else "not measured"}[row.met]]


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def kept(rows: Iterable[Row], machine: Mapping[str, Any], version: str) -> dict[str, Any]:
    """What a run leaves behind: the medians and the ratios, and what the machine is like."""
    return {
        "version": version,
        "machine": dict(machine),
        "figures": {row.key: {"unit": row.unit, **{client: _rounded(row.figure(client)) for client in row.values}} for row in rows},
        "ratios": {row.key: {"against": row.against, "ratio": _rounded(row.over)} for row in rows if row.over is not None},
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def worse(now: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    """A sentence for each ratio that got worse by more than a fifth since an earlier run."""
    found = []
    for key, ratio in now["ratios"].items():
        old = before["ratios"].get(key)
        if old and old["against"] == ratio["against"] and old["ratio"] and ratio["ratio"] > old["ratio"] * _WORSE:
            found.append(f"{key}: {ratio['ratio']:g} x {ratio['against']}, in {before['version']} it was {old['ratio']:g} x")
    return found
