"""Output that may be lost: a pipe whose reader has gone, a disk that is full, a stream that was closed from the start.

That something cannot be said is no reason to stop measuring, and none for another exit status.
"""

import os
import sys
from contextlib import suppress
from io import TextIOWrapper
from typing import Any, TextIO, cast


class _Sturdy:
    """A text stream whose writing never fails; `lost` is why it did, the first time."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.lost: OSError | None = None

    def write(self, text: str) -> int:
        """Write text, if it can be."""
        try:
            return self._stream.write(text)
        except OSError as error:
            self._lose(error)
            return len(text)

    def flush(self) -> None:
        """Hand on what was written, if it can be."""
        try:
            self._stream.flush()
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError) -> None:
        self.lost = self.lost or error
        # The interpreter flushes what is left once more when it ends, and fails where that fails (exit status 120).
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def make_output_sturdy() -> None:
    """From now on stdout and stderr never fail. Doing it twice does no harm."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # where a locale has no ✔, that is no reason to end without a verdict
        if stream is None:  # closed before the program began
            stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123  # for as long as the program runs
        if not isinstance(stream, _Sturdy):
            setattr(sys, name, cast(TextIO, _Sturdy(stream)))


def lost_output() -> OSError | None:
    """Why stdout could not be written; None where it could, or nobody wanted to read on (EPIPE)."""
    if not isinstance(sys.stdout, _Sturdy):
        return None
    sys.stdout.flush()
    return None if isinstance(sys.stdout.lost, BrokenPipeError) else sys.stdout.lost
