"""Places in a scenario's file, and what is wrong at them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_MAX_MISTAKES: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where something stands in a file. Lines and columns count from 1."""

    file: str
    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """One mistake of a scenario: where it is, what is wrong, what would be right. Lines and columns count from 1."""

    file: str
    line: int
    column: int
    path: str
    wrong: str
    right: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}: "
        return where + (f"{self.path}: " if self.path else "") + f"{self.wrong} {self.right}".rstrip()


class ScenarioError(Exception):
    """A scenario cannot be run. `mistakes` has what is wrong with it, in the order of the file, up to fifty."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = tuple(sorted(mistakes, key=lambda m: (m.line, m.column))[:_MAX_MISTAKES])
        super().__init__("\n".join(map(str, self.mistakes)))
