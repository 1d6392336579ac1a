"""What a target raises, and how it draws what its input leaves open."""

import random
import zlib
from itertools import pairwise


class Broken(Exception):
    """A promise was not kept; the message says which."""


def hold(kept: bool, promise: str) -> None:
    """Raise Broken, with the promise that was not kept. An `assert` would be gone under `python -O`."""
    if not kept:
        raise Broken(promise)


def dice(data: bytes) -> random.Random:
    """Chance that is the same whenever the input is: what a finding needs to be found again."""
    return random.Random(zlib.crc32(data))


def cut_by_chance(data: bytes, chance: random.Random) -> list[bytes]:
    """The bytes in up to nine pieces, some of which may be empty."""
    edges = [0, *sorted(chance.randint(0, len(data)) for _ in range(chance.randint(0, 8))), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]
