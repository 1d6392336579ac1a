"""libFuzzer, by atheris, let loose on one target: `python -m tests.fuzz.engine TARGET SECONDS`, as `python -m tests.fuzz` does."""

import random
import sys
from pathlib import Path
from typing import Final

import atheris

# What guides it: sse-check's own code, and what of its libraries is Python. So they are imported here for the first time.
with atheris.instrument_imports(include=["sse_check", "h2", "hpack", "hyperframe", "yaml"]):
    from tests.fuzz.mutation import FITTING, mutated
    from tests.fuzz.targets import CORPUS, RECORDINGS, tried

GATHERED: Final = Path(".fuzz")  # inputs that reached something new, a directory for each target
FOUND: Final = GATHERED / "found"
_MOST_BYTES: Final = 8 * 1024  # of an input: what is longer finds little more, and takes longer
_HANGING_S: Final = 20  # of wall-clock time; what is only slow the target finds by itself, by processor time
_MEMORY_MB: Final = 2048


def main(name: str, seconds: int) -> None:
    """Fuzz until the time is over or something is found. Ends the process."""
    gathered = GATHERED / name
    for directory in (gathered, FOUND):
        directory.mkdir(parents=True, exist_ok=True)

    def one(data: bytes) -> None:
        tried(name, data)

    def mutator(data: bytes, most: int, seed: int) -> bytes:
        chance = random.Random(seed)
        if name not in FITTING or chance.random() < 0.2:
            changed: bytes = atheris.Mutate(data, most)
            return changed
        return mutated(name, data, chance)[:most]

    begin_with = [gathered, CORPUS / name, *([RECORDINGS] if name == "recording" else [])]
    options = [
        *(f"-max_total_time={seconds}", f"-max_len={_MOST_BYTES}", f"-timeout={_HANGING_S}", f"-rss_limit_mb={_MEMORY_MB}"),
        *(f"-artifact_prefix={FOUND}/{name}-", "-print_final_stats=1"),
    ]
    atheris.Setup([sys.argv[0], *options, *(str(directory) for directory in begin_with if directory.is_dir())], one, custom_mutator=mutator)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
