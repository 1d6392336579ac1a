"""SIGINT and SIGTERM from first to last: the first one asks for an orderly end, further ones change nothing.

As process 1 of a container a signal without a handler is ignored (SIGTERM) or ends the program wherever it is (SIGINT);
GitHub's runner sends one after the other, 7.5 s apart (actions/runner, ProcessInvoker.cs). So both are taken from the
start of the program to its end, while reports are being written too, and the second never breaks off what the first
one began.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, Self

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Takes the signals while its context lasts. `by` is the first that came. Works in the main thread only."""

    def __init__(self) -> None:
        self.by: signal.Signals | None = None
        self._ask: Callable[[str], None] | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._came) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            # Once asked to end, the program is on its way out: its exit status is to be the first signal's.
            signal.signal(number, signal.SIG_IGN if self.by else handler)

    @contextmanager
    def asking(self, ask: Callable[[str], None]) -> Iterator[None]:
        """While the context lasts, call `ask` with the signal's name when it comes; at once if it has come already."""
        self._ask = ask
        try:
            if self.by is not None:
                ask(self.by.name)
            yield
        finally:
            self._ask = None

    def _came(self, number: int, _: FrameType | None) -> None:
        if self.by is None:
            self.by = signal.Signals(number)
            if self._ask is not None:
                self._ask(self.by.name)
