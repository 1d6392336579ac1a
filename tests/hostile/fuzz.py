"""Any bytes at every door: each fuzz target with the inputs that are kept for it, and with some made of these."""

import random
from collections.abc import Iterator

from tests.fuzz.mutation import mutated
from tests.fuzz.targets import TARGETS, corpus, tried
from tests.hostile.row import Row

_MUTATIONS = 300  # of each target


def rows() -> Iterator[Row]:
    """A row for each target that has a corpus: how many inputs it answered as is promised, and the longest that one took."""
    for name in TARGETS:
        if kept := [path.read_bytes() for path in corpus(name)]:
            yield _row(name, kept)


def _row(name: str, kept: list[bytes]) -> Row:
    chance = random.Random(name)
    inputs = [*kept, *(mutated(name, chance.choice(kept), chance) for _ in range(_MUTATIONS))]
    attempt = f"{name}: {len(kept)} kept inputs and {_MUTATIONS} made of them"
    slowest = 0.0
    for number, data in enumerate(inputs):
        try:
            slowest = max(slowest, tried(name, data))
        except Exception as error:  # noqa: BLE001  # whatever it is, it is what the row is about
            return Row(part="fuzz", attempt=attempt, seen=f"input {number}: {type(error).__name__}", held=False)
    return Row(part="fuzz", attempt=attempt, seen=f"all answered; the slowest took {slowest * 1000:.0f} ms of processor time", held=True)
