"""Events over time as one line of characters: a stream is an even line, a buffer a single mark at its end."""

from collections.abc import Sequence
from typing import Final

WIDTH: Final = 40
_LEVELS: Final = "·▁▂▃▄▅▆▇█"


def strip(at: Sequence[float], end: float, width: int = WIDTH) -> str:
    """`width` characters for the time from 0 to `end` (seconds), each as high as its share of the events.

    >>> strip([0.5, 1.5, 2.5, 3.5], 4.0, 4)
    '████'
    >>> strip([3.9, 3.9, 3.9, 3.9], 4.0, 4)
    '···█'
    """
    if end <= 0:
        return "·" * width
    counts = [0] * width
    for time in at:
        counts[min(width - 1, max(0, int(time / end * width)))] += 1
    most = max(counts) or 1
    return "".join(_LEVELS[-(-count * (len(_LEVELS) - 1) // most)] for count in counts)
