"""Events over time as one line of characters: a stream is an even line, a buffer a single mark at its end."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

WIDTH: Final = 40
_LEVELS: Final = "·▁▂▃▄▅▆▇█"


def strip(at: Sequence[float], end: float, width: int = WIDTH, *, start: float = 0.0) -> str:
    """`width` characters for the time from `start` to `end`, each as high as its share of the events; any unit of time.

    >>> strip([0.5, 1.5, 2.5, 3.5], 4.0, 4)
    '████'
    >>> strip([3.9, 3.9, 3.9, 3.9], 4.0, 4)
    '···█'
    """
    if end <= start:
        return "·" * width
    ordered = sorted(at)  # of a live stream they are in order already, so this is quick, and so is what follows
    share = (end - start) / width
    before = [0, *(bisect_left(ordered, start + number * share) for number in range(1, width)), len(ordered)]
    counts = [later - earlier for earlier, later in pairwise(before)]
    most = max(counts) or 1
    return "".join(_LEVELS[-(-count * (len(_LEVELS) - 1) // most)] for count in counts)
