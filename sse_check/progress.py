"""What is happening now: a live table on a terminal, plain lines elsewhere. It only looks; it never touches a stream."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TextIO

from sse_check.escape import log_lines, visible
from sse_check.pipeline import Audience
from sse_check.probe import LiveStream
from sse_check.report.names import which
from sse_check.units import format_duration

if TYPE_CHECKING:
    from rich.table import Table

# Seldom enough that drawing does not delay the reads that are being timed.
_INTERVAL: Final = 0.5
_MAX_ROWS: Final = 12


class Progress(Audience):
    """Shows what it is told of, until `show` is cancelled. `begin` and `end` fold each stage of the run in a log."""

    def __init__(
        self, out: TextIO, *, live: bool, begin: Callable[[str], None] | None = None, end: Callable[[], None] | None = None
    ) -> None:
        self._out = out
        self._live = live
        self._begin, self._end = begin, end
        self._open = False
        self._stage, self._said = "", ""
        self._streams: list[tuple[str, LiveStream]] = []
        self._told: set[int] = set()

    def stage(self, title: str) -> None:
        """Show under which heading what follows belongs."""
        self._stage, self._said = title, ""
        self.finish()
        if self._begin is not None:
            self._begin(title)
            self._open = True

    def finish(self) -> None:
        """Show what has not been shown, and end the fold of the last stage."""
        if not self._live:
            self._tell()
        if self._open and self._end is not None:
            self._open = False
            self._end()

    def tell(self, line: str) -> None:
        """Show a line: at once, or under the live table."""
        self._said = line
        if not self._live:
            self._print(line)

    def watch(self, probe: str, stream: LiveStream) -> None:
        """Show this stream from now on."""
        self._streams.append((probe, stream))

    async def show(self) -> None:
        """Redraw, or print a line for each stream that has ended, until cancelled."""
        if not self._live:
            try:
                while True:
                    await asyncio.sleep(_INTERVAL)
                    self._tell()
            finally:
                self._tell()
        # Imported here: without a terminal rich is not needed, and it costs a tenth of a second.
        from rich.console import Console
        from rich.live import Live

        with Live(console=Console(file=self._out), auto_refresh=False, transient=True) as view:
            while True:
                view.update(self._table(), refresh=True)
                await asyncio.sleep(_INTERVAL)

    def _tell(self) -> None:
        for number, (name, stream) in enumerate(self._streams):
            if stream.finished and number not in self._told:
                self._told.add(number)
                self._print(_line(name, stream))

    def _print(self, line: str) -> None:
        """One line, in one piece: two threads print."""
        with suppress(OSError):  # whoever read this has gone; the run goes on
            self._out.write(log_lines([line]) + "\n")
            self._out.flush()

    def _table(self) -> "Table":
        from rich.table import Table
        from rich.text import Text

        table = Table(
            box=None,
            pad_edge=False,
            title=Text(visible(self._stage)),
            caption=Text(visible(self._said)),
            title_justify="left",
            caption_justify="left",
        )
        for heading in ("stream", "state", "events", "last"):
            table.add_column(heading)
        rows = sorted(self._streams, key=lambda row: row[1].finished)[:_MAX_ROWS]
        for name, stream in rows:
            table.add_row(*(Text(cell) for cell in _cells(name, stream)))
        if len(self._streams) > len(rows):
            table.add_row(f"and {len(self._streams) - len(rows)} more")
        return table


def _cells(probe: str, stream: LiveStream) -> tuple[str, str, str, str]:
    name = visible(probe, 40) + which(stream.plan.stream, stream.plan.phase, stream.plan.factor, stream.plan.arm)
    if stream.finished:
        state = "ended"
    elif stream.head_seen is None:
        state = "waiting for the head"
    else:
        state = f"status {stream.head_seen.status}"
    since = (time.monotonic_ns() - stream.events_ns[-1]) / 1e9 if stream.events_ns else None
    last = "" if since is None or stream.finished else f"{since:.1f} s ago"
    return name, state, str(len(stream.events_ns)), last


def _line(probe: str, stream: LiveStream) -> str:
    name, *_ = _cells(probe, stream)
    status = f"status {stream.head_seen.status}" if stream.head_seen else "no answer"
    events = f"{len(stream.events_ns)} events in {len(stream.reads_ns)} reads"
    span = (stream.events_ns[-1] - stream.events_ns[0]) / 1e9 if stream.events_ns else 0.0
    return f"{name}: {status}, {events}" + (f" over {format_duration(span)}" if span else "")
