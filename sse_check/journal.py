"""The recording while the run lasts: what is new goes into the report directory, about once a second.

So a run that is killed leaves what it has measured. Once written, it is the operating system's, which keeps it whatever becomes of
the process; it is not forced onto the disk (fsync), as that would guard against a machine that loses its power and nothing else.

It stays out of the way of what is measured. What is new is taken in the loop, between its turns, where nothing grows meanwhile: a
millisecond at a time, and no more than a twentieth of the time. Where more comes than that suffices for, the file falls behind and catches up
when less comes. A thread does nothing but hand the text to the operating system, which may take as long as it likes.
"""

import asyncio
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from sse_check.daemon import in_thread
from sse_check.live import LiveStream
from sse_check.recording import Environment, Recording, Rows, beat_line, opened_line, rows_line, to_lines
from sse_check.recording.unfinished import as_bytes
from sse_check.redaction import Redactor
from sse_check.reportdir import RECORDING, GrowingFile, ReportDir, VanishedError
from sse_check.transport import Clock, End

_BEAT_S: Final = 1.0
_TURN_S: Final = 0.001  # as long as a turn of the loop may be made longer
_SHARE: Final = 0.05  # of the time, while streams are open
_ROWS: Final = 1024  # taken at once, of one stream or of several: what a reader holds as objects, and what a turn has time for
_WRITE_BYTES: Final = 1024 * 1024  # handed to the thread at once
_PATIENCE_S: Final = 5.0  # with a disk, at the end of the run

_UNTOLD: Final = -1.0  # less than any lag
_BROKEN_OFF: Final = "the recording breaks off here"


class _Kept:
    """One stream, and how much of it is written."""

    __slots__ = ("comments", "events", "live", "number", "reads", "state")

    def __init__(self, number: int, live: LiveStream) -> None:
        self.number, self.live = number, live
        self.begin_anew()

    def begin_anew(self) -> None:
        """Nothing is written."""
        self.reads = self.events = self.comments = 0
        self.state: tuple[Any, ...] = ()

    def description(self, end: End | None, at_ns: int, redactor: Redactor, run_started_ns: int) -> bytes:
        """Its description as a line, where that has changed; else nothing."""
        live = self.live
        parser, trace = live.parser, live.traces[-1]
        shown = 0 if live.events_ns else len(live.body_start)  # a stream that shows events needs none of it
        state = (
            end, len(live.traces), trace.resolved_ns, trace.connected_ns, trace.tls_ns, trace.sent_ns, trace.head_ns, trace.max_streams,
            parser.retry, parser.unknown_lines, parser.oversized, shown, live.negotiated,
        )  # fmt: skip
        if state == self.state:
            return b""
        self.state = state
        taken = end or End(ended="timeout", at_ns=at_ns, reason="interrupted", error=_BROKEN_OFF)
        described = live.described(taken, redactor=redactor, run_started_ns=run_started_ns)
        return opened_line(described, number=self.number, zero_ns=live.zero_ns, over=end is not None)

    def news(self, redactor: Redactor) -> Iterator[tuple[int, Rows]]:
        """What has come since the last time and up to now, in parts of bounded size, with their sizes."""
        live = self.live
        reads, events, comments = len(live.reads_ns), len(live.events_ns), len(live.comments_ns)
        while self.reads < reads or self.events < events or self.comments < comments:
            r, e, c = self.reads, self.events, self.comments
            self.reads = min(r + _ROWS, reads)
            # No event without the read that brought it.
            self.events = bisect_left(live.event_reads, self.reads, e, min(e + _ROWS, events))
            self.comments = min(c + _ROWS, comments)
            yield (
                self.reads - r + self.events - e + self.comments - c,
                _rows(self, slice(r, self.reads), slice(e, self.events), slice(c, self.comments), redactor),
            )


def _rows(kept: _Kept, reads: slice, events: slice, comments: slice, redactor: Redactor) -> Rows:
    live = kept.live
    types, ids = _few(live.event_types[events]), _few(live.event_ids[events])
    numbers = {name: column[events] for name, column in live.numbers.items()} if events.stop > events.start else {}
    if redactor.has_secrets:
        types, ids = list(map(redactor.text, types)), list(map(redactor.text, ids))
        numbers = {redactor.text(name): list(redactor.numbers(column)) for name, column in numbers.items()}
    return Rows(
        number=kept.number,
        kernel_reads=live.kernel_reads,
        reads_ns=as_bytes(live.reads_ns[reads]),
        errors_ns=as_bytes(live.errors_ns[reads]),
        wire_bytes=as_bytes(live.wire_bytes[reads]),
        body_bytes=as_bytes(live.body_bytes[reads]),
        mid_event=as_bytes(live.mid_event[reads]),
        exact=as_bytes(live.exact[reads]),
        events_ns=as_bytes(live.events_ns[events]),
        event_reads=as_bytes(live.event_reads[events]),
        event_sizes=as_bytes(live.event_sizes[events]),
        event_types=types,
        event_ids=ids,
        numbers=numbers,
        tokens=as_bytes(live.tokens[events]),
        comments_ns=as_bytes(live.comments_ns[comments]),
    )


def _few(texts: list[str]) -> list[str]:
    """One text for all of them where they are the same."""
    return texts[:1] if len(texts) > 1 and texts.count(texts[0]) == len(texts) else texts


class Journal:
    """Keeps the file of one run up to date. `tell` is told once where that cannot be done; it changes nothing for the run."""

    def __init__(self, directory: ReportDir, *, redactor: Redactor, tell: Callable[[str], None], clock: Clock = time.monotonic_ns) -> None:
        self._path = directory.path / RECORDING
        self._file = GrowingFile(directory, RECORDING)
        self._redactor, self._tell, self._clock = redactor, tell, clock
        self._streams: list[_Kept] = []
        self._open: list[_Kept] = []
        self._header, self._began_ns = b"", 0
        self._lag_max: Callable[[], float] = float
        self._machine: Callable[[], Environment] = lambda: Environment(version="", python="", platform="")
        self._lag_told = _UNTOLD
        # Taken from the streams and not yet handed on: what a beat still makes of them, its text, and what a thread is writing.
        self._lines: Iterator[bytes] | None = None
        self._text = bytearray()
        self._writing: asyncio.Future[None] | None = None
        self._headed = self._told = False
        self._keeping: asyncio.Task[None] | None = None

    def begin(self, recording: Recording, began_ns: int, *, lag_max: Callable[[], float], machine: Callable[[], Environment]) -> None:
        """Write from now on. `recording` is the run without streams, `began_ns` its beginning. Needs a running event loop.

        The `machine` is asked for whenever its longest lag has grown, in seconds: what it is blamed for must not be the deployment's fault.
        """
        self._header, self._began_ns = next(to_lines(recording)), began_ns
        self._lag_max, self._machine = lag_max, machine
        self._keeping = asyncio.ensure_future(self._keep())

    def watch(self, live: LiveStream) -> None:
        """Keep this stream too."""
        self._streams.append(_Kept(len(self._streams), live))
        self._open.append(self._streams[-1])

    async def close(self) -> None:
        """Write what is left, without regard for what is measured, as nothing is any more. A disk that does not answer is not waited for."""
        if self._keeping is None:
            return
        self._keeping.cancel()
        await asyncio.gather(self._keeping, return_exceptions=True)
        if self._lines is not None:
            await self._beat(share=1.0, patience=_PATIENCE_S)  # it was broken off
        await self._beat(share=1.0, patience=_PATIENCE_S)
        if self._writing is None:  # else a thread is still in it
            self._file.close()

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(_BEAT_S)
            await self._beat(share=_SHARE)

    async def _beat(self, *, share: float, patience: float | None = None) -> None:
        """Write what is new of all streams, taking up no more than this share of the time. Where it is broken off, the next goes on with it."""
        if not await self._flush(patience):
            return
        if not self._headed:
            self._text += self._header
            self._headed = True
        lines = self._lines = self._lines or self._news()
        while self._lines is lines:
            began = time.perf_counter()
            for line in lines:
                self._text += line
                if time.perf_counter() - began > _TURN_S:
                    break
            else:
                self._lines = None
            worked = time.perf_counter() - began
            if (self._lines is None or len(self._text) > _WRITE_BYTES) and not await self._flush(patience):
                return
            await asyncio.sleep(worked * (1 / share - 1))

    def _news(self) -> Iterator[bytes]:
        """What is new of all streams up to now, as lines, each of which takes little time to make."""
        at_ns = self._clock()
        rows: list[Rows] = []
        size = 0
        over: list[_Kept] = []
        for kept in self._open:
            if not kept.live.traces:
                continue
            if kept.live.end is not None:
                over.append(kept)
            elif described := kept.description(None, at_ns, self._redactor, self._began_ns):
                yield described
            for count, part in kept.news(self._redactor):
                rows.append(part)
                size += count
                if size >= _ROWS:
                    yield rows_line(rows)
                    rows, size = [], 0
            yield b""  # a look at the clock
        if rows:
            yield rows_line(rows)
        # That a stream is over stands behind the last of it.
        for kept in over:
            yield kept.description(kept.live.end, at_ns, self._redactor, self._began_ns)
        lag = self._lag_max()
        yield beat_line(at_ns, self._machine() if lag > self._lag_told else None)
        self._lag_told = lag
        gone = {kept.number for kept in over}
        self._open = [kept for kept in self._open if kept.number not in gone]

    async def _flush(self, patience: float | None) -> bool:
        """Hand the text to the operating system; whether it took all of it. What it did not take goes first the next time."""
        while self._text or self._writing is not None or self._file.behind:
            if self._writing is None:
                text, self._text = bytes(self._text), bytearray()
                self._writing = in_thread(partial(self._file.append, text))
            try:
                async with asyncio.timeout(patience):
                    await asyncio.shield(self._writing)
            except TimeoutError:
                self._say("the disk does not answer")
                return False
            except VanishedError:
                self._begin_anew()
                return False
            except OSError as error:
                self._writing = None
                self._say(error.strerror or str(error))
                return False
            self._writing = None
        return True

    def _begin_anew(self) -> None:
        """The file is not in its place: the next beat writes all of it again."""
        self._lines, self._text, self._writing = None, bytearray(), None
        self._headed, self._lag_told = False, _UNTOLD
        self._open = list(self._streams)
        for kept in self._streams:
            kept.begin_anew()

    def _say(self, why: str) -> None:
        if not self._told:
            self._told = True
            self._tell(f"{self._path} is not kept up to date: {why}. The run goes on.")
