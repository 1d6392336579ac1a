"""The recording while the run lasts: what is in it is what was observed, however it breaks off, and it holds no secret."""

import asyncio
import errno
import json
import os
import shutil
import threading
import time
from pathlib import Path

import msgspec
import pytest

from sse_check.journal import Journal
from sse_check.live import LiveStream
from sse_check.pipeline import check
from sse_check.plan import StreamPlan
from sse_check.recording import Environment, Head, Recording, RecordingError, StreamRecording, from_lines
from sse_check.redaction import Redactor
from sse_check.reportdir import RECORDING, GrowingFile, ReportDir, ReportDirError
from sse_check.scenario import LimitSearch, Probe, Resume, Scenario, Target, Until
from sse_check.transport import End, Request, Trace
from sse_check.transport.arrival import Stamp
from sse_check.verdict import judge
from tests.support.streams import scenario

SECRET = "s3cr3t-value-of-9"
T0 = 10**15


def read(directory: Path) -> Recording:
    """The recording in a report directory, as far as it goes."""
    with (directory / RECORDING).open("rb") as lines:
        return from_lines(lines, file=RECORDING)


def live_stream(number: int = 1) -> LiveStream:
    """A stream that was answered just now."""
    request = Request(method="GET", url="https://app.example.test/events", headers=())
    live = LiveStream(StreamPlan(probe="wallet", stream=number, phase="stream", request=request, until=Until(), timeout=60.0))
    live.traces.append(Trace(started_ns=T0 - 5, sent_ns=T0, head_ns=T0 + 5))
    live.head(T0 + 5, Head(status=200, reason="OK", protocol="http/1.1", headers=(("Content-Type", "text/event-stream"),)))
    return live


def feed(live: LiveStream, text: str, at: int, *, kernel: bool = True) -> None:
    live.body(Stamp(ns=T0 + at, error_ns=7, kernel=kernel, exact=True), len(text), text.encode())


def end(live: LiveStream, at: int) -> StreamRecording:
    live.finished, live.end = True, End(ended="eof", at_ns=T0 + at)
    return live.freeze(live.end, redactor=Redactor([SECRET]), run_started_ns=T0 - 10)


class Kept:
    """A journal whose rounds a test makes itself, of streams that it feeds."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.told = directory, list[str]()
        self.now = T0
        self.report_dir = ReportDir(directory).__enter__()
        self.journal = Journal(self.report_dir, redactor=Redactor([SECRET]), tell=self.told.append, clock=lambda: self.now)
        run = Recording(started_at="2026-01-15T10:30:00Z", scenario=scenario(), environment=Environment(version="", python="", platform=""))
        self.lag = 0.0
        self.journal.begin(run, T0 - 10, lag_max=lambda: self.lag, machine=self.machine)

    def machine(self) -> Environment:
        return Environment(version="1", python="3", platform="x", loop_lag_max=self.lag)

    def watch(self, live: LiveStream) -> LiveStream:
        self.journal.watch(live)
        return live

    async def beat(self, at: int) -> Recording:
        """One round at this time; what a reader finds then."""
        self.now = T0 + at
        await self.journal._beat(share=1.0)
        return read(self.directory)

    async def close(self) -> None:
        await self.journal.close()
        self.report_dir.__exit__()


@pytest.fixture
async def kept(tmp_path):
    kept = Kept(tmp_path / "r")
    yield kept
    await kept.close()


async def test_the_machines_lateness_is_there_too(kept):
    """
    What it must not blame the deployment for is known of a run that was killed: how long it stood still, as soon as it did.
    """
    kept.watch(live_stream())
    assert (await kept.beat(100)).environment == Environment(version="1", python="3", platform="x", loop_lag_max=0.0)
    kept.lag = 0.75
    assert (await kept.beat(200)).environment.loop_lag_max == 0.75
    assert (await kept.beat(300)).environment.loop_lag_max == 0.75
    assert (kept.directory / RECORDING).read_text().count('"machine"') == 2


async def test_an_open_stream_is_there_up_to_the_last_round(kept):
    """
    What came since the last round is added; the stream ends where the file does, and the verdict stays open.
    """
    live = kept.watch(live_stream())
    feed(live, 'id: 1\ndata: {"seq": 1}\n\n', 100)
    first = await kept.beat(200)
    feed(live, 'id: 2\ndata: {"seq": 2, "x": 0.5}\n\n: comment\n', 300)
    feed(live, "event: other\ndata:\n\ndata: [DONE]\n\n", 400, kernel=False)
    second = await kept.beat(500)

    assert [(len(r.streams[0].events), r.streams[0].times.ended_ns) for r in (first, second)] == [(1, 200), (4, 500)]
    [stream] = second.streams
    assert (stream.ended, stream.reason, stream.clock) == ("timeout", "interrupted", "mixed")
    assert list(stream.events.id) == ["1", "2", "2", "2"]
    assert list(stream.events.type) == ["message", "message", "other", "message"]
    assert stream.events.numbers == {"seq": [1, 2, None, None], "x": [None, 0.5, None, None]}
    assert second.interrupted == "the recording is not complete"
    assert judge(second).verdict == "inconclusive"


async def test_a_stream_that_is_over_is_what_the_final_recording_has(kept):
    """
    Written in parts while it ran, it comes back equal to the frozen stream, with nothing of the secret.
    """
    live = kept.watch(live_stream())
    for number in range(5):
        feed(live, f'id: {SECRET}{number}\nevent: {SECRET}\nretry: 7\ndata: {{"{SECRET}": {number}, "n{number}": 2}}\n\n: x\n', 10 * number)
        if number % 2:
            await kept.beat(10 * number + 5)
    frozen = end(live, 100)
    found = await kept.beat(200)

    assert found.streams == (frozen,)
    assert SECRET not in (kept.directory / RECORDING).read_text()


async def test_no_event_stands_without_its_read_wherever_the_file_breaks_off(kept):
    """
    Cut at any byte behind its header, the file is read, and every stream in it makes sense: what it tells grows with the file.
    """
    lives = [kept.watch(live_stream(number)) for number in (1, 2)]
    for number in range(2000):
        feed(lives[0], ": reads without events, which are ahead of them\n", number)
    for number in range(3000):
        feed(lives[0], f"id: {number}\ndata: x\n\n", 2000 + number)
    feed(lives[1], "data: y\n\n" * 3000, 5)
    end(lives[0], 5000)
    await kept.beat(5001)
    whole = (kept.directory / RECORDING).read_bytes()
    counts = []
    for cut in range(whole.index(b"\n") + 1, len(whole), len(whole) // 60):
        streams = from_lines(whole[:cut].splitlines(keepends=True), file="x").streams
        assert all(max(s.events.read, default=-1) < len(s.reads.at_ns) for s in streams)
        assert not any(s.ended == "eof" and len(s.events) < 3000 for s in streams)
        counts.append(sum(len(s.events) for s in streams))

    assert counts == sorted(counts)
    assert sum(len(s.events) for s in read(kept.directory).streams) == 6000


async def test_a_directory_that_vanishes_is_made_again_with_all_there_was(kept):
    """
    The next round notices, the one after it writes everything anew.
    """
    live = kept.watch(live_stream())
    feed(live, "data: 1\n\n", 100)
    await kept.beat(200)
    shutil.rmtree(kept.directory)
    await kept.journal._beat(share=1.0)
    feed(live, "data: 2\n\n", 300)

    assert len((await kept.beat(400)).streams[0].events) == 2


async def test_what_a_full_disk_did_not_take_follows_when_there_is_room(kept, monkeypatch):
    """
    Half a text is written, and then nothing; it is told once; later the file goes on behind the half, and nothing is missing.
    """
    live = kept.watch(live_stream())
    feed(live, "data: 1\n\n", 100)
    await kept.beat(200)
    real, room = os.write, [50]

    def write(descriptor: int, text: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = real(descriptor, text[: room[0]])
        room[0] -= taken
        return taken

    monkeypatch.setattr("sse_check.reportdir.os.write", write)
    for at in (300, 400):
        feed(live, "data: 2\n\n", at)
        assert len((await kept.beat(at)).streams[0].events) == 1
    room[0] = 1_000_000

    assert len((await kept.beat(500)).streams[0].events) == 3
    assert [line.partition(": ")[2] for line in kept.told] == ["No space left on device. The run goes on."]


async def test_a_disk_that_does_not_answer_holds_nothing_up(kept, monkeypatch):
    """
    While a write hangs the loop turns, and the end of the run does not wait for it.
    """
    monkeypatch.setattr("sse_check.journal._PATIENCE_S", 0.1)
    answers = threading.Event()
    monkeypatch.setattr(GrowingFile, "append", lambda *_: answers.wait(20))
    feed(kept.watch(live_stream()), "data: 1\n\n", 100)
    began = time.monotonic()
    await kept.journal.close()
    took = time.monotonic() - began
    answers.set()

    assert took < 10
    assert any("the disk does not answer" in line for line in kept.told)


async def test_all_phases_of_a_run_are_in_it(server, tmp_path):
    """
    A run with its health check, streams alone and at once, a resume and a search for limits: the file of its last moment, before the
    final one takes its place, has all of its streams as they are in that.
    """
    url = f"{server}/events?count=4&every=100ms&retry=100"
    plan = Scenario(
        version=1,
        name="all phases",
        target=Target(url=server, health="/health"),
        probes=(
            Probe(name="one", url=url, until=Until(event="complete"), resume=Resume(after=2), limits=LimitSearch(until=1.0)),
            Probe(name="two", url=url, until=Until(event="complete"), streams=2),
        ),
    )
    with ReportDir(tmp_path) as directory:
        checked = await check(plan, directory=directory)
        left = read(tmp_path)

    assert {stream.phase for stream in left.streams} >= {"connect", "stream", "concurrency", "resume", "limits"}
    key = ("phase", "probe", "stream", "arm")
    ordered = [sorted(r.streams, key=lambda s: str([getattr(s, name) for name in key])) for r in (left, checked.recording)]
    assert ordered[0] == ordered[1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: [*rows[:2], "AAA=", *rows[3:]], "rows of stream 0"),
        (lambda rows: [*rows[:3], "", *rows[4:]], "columns of reads have different lengths"),
        (lambda rows: [*rows[:11], ["a", "b"], *rows[12:]], "columns of events have different lengths"),
        (lambda rows: [*rows[:9], "CQAAAA==", *rows[10:]], "a read that is not there"),
        (lambda rows: [*rows[:2], "no base64", *rows[3:]], "not a line of a recording: Invalid base64"),
        (lambda rows: rows[:5], "not a line of a recording: Expected `array`"),
    ],
)
async def test_rows_that_make_no_sense_are_an_error_with_their_line(kept, change, said):
    """
    A file that was tampered with is refused by file and line, not read as something else, and not a crash.
    """
    feed(kept.watch(live_stream()), "data: 1\n\n", 100)
    await kept.beat(200)
    lines = (kept.directory / RECORDING).read_bytes().splitlines(keepends=True)
    [at] = [number for number, line in enumerate(lines) if b'"record":"rows"' in line]
    value = json.loads(lines[at])
    value["rows"] = [change(value["rows"][0])]
    lines[at] = json.dumps(value).encode() + b"\n"

    with pytest.raises(RecordingError, match=rf"^x:{at + 1}: .*{said}"):
        from_lines(lines, file="x")


async def test_times_that_no_clock_shows_are_an_error(kept):
    """
    Each number is one that a clock may show, and the times since the stream's zero are not.
    """
    feed(kept.watch(live_stream()), "data: 1\n\n", 100)
    await kept.beat(200)
    text = (kept.directory / RECORDING).read_bytes()

    with pytest.raises(RecordingError, match="times that no clock shows"):
        from_lines(text.replace(f'"zero_ns":{T0}'.encode(), f'"zero_ns":{-5 * 10**17}'.encode()).splitlines(keepends=True), file="x")


def test_a_directory_is_one_runs_at_a_time(tmp_path):
    """
    A second run is refused while the first has the directory, and let in when that is over.
    """
    with ReportDir(tmp_path / "r"), pytest.raises(ReportDirError, match="another run of sse-check"), ReportDir(tmp_path / "r"):
        pass
    with ReportDir(tmp_path / "r"):
        assert list((tmp_path / "r").iterdir()) == []  # the lock is no file


async def test_it_takes_a_turn_of_bounded_length(kept):
    """
    Hundreds of streams with events: between any two of its turns others get theirs, and none of its lines is large.
    """
    for number in range(300):
        live = kept.watch(live_stream(number))
        feed(live, "data: 1\n\n" * 100, 100)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.ensure_future(others())
    found = await kept.beat(200)
    counting.cancel()

    assert sum(len(s.events) for s in found.streams) == 30_000
    assert turns > 10
    lines = (kept.directory / RECORDING).read_bytes().splitlines()
    rows = [msgspec.json.decode(line)["rows"] for line in lines if b'"record":"rows"' in line]
    assert max(map(len, lines)) < 300_000
    assert len(rows) > 10
