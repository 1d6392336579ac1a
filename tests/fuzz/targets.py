"""The targets by their names, and what holds for every input of each: an answer within bounded time."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from tests.fuzz import asked, judging, transports
from tests.fuzz.broken import Broken

Target = Callable[[bytes], None]

TARGETS: Final[dict[str, Target]] = {
    "parser": transports.parser,
    "decoding": transports.decoding,
    "http1": transports.http1,
    "http2": transports.http2,
    "scenario": asked.scenario,
    "recording": judging.recording_file,
    "verdict": judging.verdict,
    "baseline": judging.baseline,
    "inputs": asked.inputs,
    "texts": asked.texts,
}
CORPUS: Final = Path(__file__).parent / "corpus"
RECORDINGS: Final = Path(__file__).parents[1] / "recordings"  # of real streams, which other tests judge

_MOST_SECONDS: Final = 2.0  # of processor time for one input of some kilobytes; a hundredth of it is usual


def tried(name: str, data: bytes) -> float:
    """Give an input to a target; the seconds of processor time that it took. Raises whatever a broken promise makes it raise."""
    began = time.process_time()
    TARGETS[name](data)
    took = time.process_time() - began
    if took > _MOST_SECONDS:
        raise Broken(f"{len(data):,} bytes took {took:.1f} s, where {_MOST_SECONDS:g} s are allowed")
    return took


def corpus(name: str) -> Iterator[Path]:
    """The inputs of a target that are kept, what was found among them."""
    return (path for path in sorted((CORPUS / name).glob("*")) if path.is_file())
