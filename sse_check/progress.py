"""What is happening now: a live table on a terminal, plain lines elsewhere. It only looks; it never touches a stream.

Colours are rich's: none where NO_COLOR is set, or the terminal has none.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TextIO

from sse_check.escape import Safe, log_lines, put, visible
from sse_check.pipeline import Audience
from sse_check.report.names import which
from sse_check.report.strip import strip
from sse_check.units import format_duration

if TYPE_CHECKING:
    from rich.table import Table

    from sse_check.live import LiveStream  # what observes takes longer to import than the judging, which shows its result here too
    from sse_check.recording import Arm, Factor, Phase

# Seldom enough that drawing does not delay the reads that are being timed.
_INTERVAL: Final = 0.5
_MAX_ROWS: Final = 12
_STRIP_WIDTH: Final = 24


@dataclass(slots=True)
class _Watched:
    """A stream that is being shown, since when, and until when where it has ended; by the clock of its events."""

    name: str
    stream: "LiveStream"
    since_ns: int = field(default_factory=time.monotonic_ns)
    until_ns: int | None = None
    told: bool = False


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
        self._streams: list[_Watched] = []

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

    def watch(self, probe: str, stream: "LiveStream") -> None:
        """Show this stream from now on."""
        self._streams.append(_Watched(visible(probe, 40) + which(*_of_plan(stream)), stream))

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
        for watched in self._streams:
            if watched.stream.finished and not watched.told:
                watched.told = True
                self._print(_line(watched))

    def _print(self, line: str) -> None:
        """One line."""
        with suppress(OSError):  # whoever read this has gone; the run goes on
            put(log_lines([line]), self._out)

    def _table(self) -> "Table":
        from rich.table import Table
        from rich.text import Text

        now = time.monotonic_ns()
        table = Table(
            box=None,
            pad_edge=False,
            title=Text(log_lines([self._stage]), style="bold"),
            caption=Text(log_lines([self._said])),
            title_justify="left",
            caption_justify="left",
        )
        for heading in ("stream", "events over time", "state", "events", "last gap", "silent for"):
            table.add_column(heading, header_style="dim", no_wrap=True, overflow="ellipsis")
        rows = sorted(self._streams, key=lambda watched: watched.stream.finished)[:_MAX_ROWS]
        for watched in rows:
            state, style = _state(watched.stream)
            gap, silence = _gaps(watched, now)
            table.add_row(
                Text(log_lines([watched.name])),
                _strip(watched, now),
                Text(state, style=style),
                str(len(watched.stream.events_ns)),
                gap,
                silence,
            )
        if len(self._streams) > len(rows):
            table.add_row(f"and {len(self._streams) - len(rows)} more")
        return table


def _of_plan(stream: "LiveStream") -> "tuple[int, Phase, Factor | None, Arm | None]":
    plan = stream.plan
    return plan.stream, plan.phase, plan.factor, plan.arm


def _strip(watched: _Watched, now: int) -> str:
    """Its events since it was opened, as one line of characters."""
    if watched.stream.finished and watched.until_ns is None:
        watched.until_ns = now
    return strip(watched.stream.events_ns, watched.until_ns or now, _STRIP_WIDTH, start=watched.since_ns)


def _state(stream: "LiveStream") -> tuple[str, str]:
    """What a stream is doing, and in which style to say so."""
    if stream.finished:
        return ("done", "green") if stream.planned_end else ("ended", "yellow")
    if stream.head_seen is None:
        return "waiting for the head", "yellow"
    if stream.head_seen.status != 200:
        return f"status {stream.head_seen.status}", "red"
    return ("streaming", "green") if stream.events_ns else ("waiting for an event", "yellow")


def _gaps(watched: _Watched, now: int) -> tuple[str, str]:
    """The time between the last two events, and how long ago the last was."""
    at = watched.stream.events_ns
    gap = format_duration((at[-1] - at[-2]) / 1e9) if len(at) > 1 else ""
    return gap, "" if watched.stream.finished or not at else f"{(now - at[-1]) / 1e9:.1f}s"


def _line(watched: _Watched) -> str:
    """One line for a stream that has ended."""
    stream = watched.stream
    status = f"status {stream.head_seen.status}" if stream.head_seen else "no answer"
    events = f"{_counted(len(stream.events_ns), 'event')} in {_counted(len(stream.reads_ns), 'read')}"
    span = (stream.events_ns[-1] - stream.events_ns[0]) / 1e9 if stream.events_ns else 0.0
    return f"{watched.name}: {status}, {events}" + (f" over {format_duration(span)}" if span else "")


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")


# What a line of the result begins with, and how it looks then.
_STYLES: Final = (
    ("✔", "bold green"),
    ("✘", "bold red"),
    ("?", "bold yellow"),
    ("  error:", "red"),
    ("  warning:", "yellow"),
    ("  ✔", "green"),
    ("  ✘", "red"),
    ("    ->", "cyan"),
)


def show_result(text: Safe, out: TextIO) -> None:
    """Print the result, in colours where `out` is a terminal that has them; its lines stay as they are."""
    if not out.isatty():
        put(text, out)
        return
    from rich.console import Console
    from rich.text import Text

    styled = Text()
    for line in text.split("\n"):
        styled.append(line + "\n", style=next((style for start, style in _STYLES if line.startswith(start)), ""))
    Console(file=out).print(styled, end="", soft_wrap=True)
