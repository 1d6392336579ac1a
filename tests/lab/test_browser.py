"""A browser reads the same streams as sse-check at the same time, and both see the same, at the same moment.

Chromium's EventSource is what users have; whatever sse-check says of a stream must be true of what it saw.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from sse_check.eventstream import Columns, Event, EventStreamParser
from sse_check.live import LiveStream
from sse_check.planning import Planner
from sse_check.probe import Stop, observe
from sse_check.recording import StreamRecording
from sse_check.redaction import Redactor
from sse_check.scenario import load
from tests.lab.broadcast import END, STREAMS, Broadcast, broadcasting

pytestmark = pytest.mark.lab

TOLERANCE_S: Final = 0.05
ATTEMPTS: Final = 3  # each takes 3 s; a machine that is busy elsewhere delays one of the readers
_START_S: Final = 60.0  # Chromium's first start on a slow machine
_FLAGS: Final = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
)


class Keeping(EventStreamParser):
    """sse-check's parser, which also keeps what it made: a recording has no data."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Event] = []

    def feed_columns(self, data: bytes) -> Columns:
        made = super().feed_columns(data)
        self.events += map(Event._make, zip(*made, strict=True))
        return made


@contextmanager
def chromium(page: str, directory: Path) -> Iterator[None]:
    """A browser without a window, with a profile of its own, that shows this page while the context lasts."""
    program = shutil.which("chromium")
    assert program is not None, "chromium is not installed: run .ci/install-lab"
    environment = {**os.environ, "HOME": str(directory), "XDG_CONFIG_HOME": str(directory), "XDG_CACHE_HOME": str(directory)}
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, *_FLAGS, f"--user-data-dir={directory / 'profile'}", page],
            env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        try:
            yield
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            # What is left of the session that we began: Chromium's own helpers end a moment after it.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@dataclass(frozen=True, slots=True)
class Seen:
    """One event as a reader saw it; `at` is its wall-clock time in seconds."""

    type: str
    id: str
    data: str
    at: float

    @property
    def what(self) -> tuple[str, str, str]:
        """All but the time."""
        return self.type, self.id, self.data


async def read(server: Broadcast) -> dict[str, list[Seen]]:
    """sse-check's view of all streams, opened together."""
    probes = ", ".join(
        f"{{name: {name}, url: 'http://127.0.0.1:{port}/stream', until: {{event: {END}}}, timeout: 60s}}"
        for name, port in server.ports.items()
    )
    scenario = load(f"version: 1\nprobes: [{probes}]\n".encode(), file="test.yml")
    parsers = {name: Keeping() for name in server.ports}
    lives = [LiveStream(p, parser=parsers[p.probe]) for group in Planner(scenario).groups() for p in group]
    stop, redactor = Stop(), Redactor()
    recordings = await asyncio.gather(
        *(observe(live.plan, clock=time.monotonic_ns, redactor=redactor, run_started_ns=0, stop=stop, live=live) for live in lives)
    )
    return {r.probe: list(_seen(r, parsers[r.probe].events)) for r in recordings}


def _seen(recording: StreamRecording, events: list[Event]) -> Iterator[Seen]:
    columns = recording.events
    assert recording.planned_end == "event", recording.error
    for kind, event_id, size, at, event in zip(columns.type, columns.id, columns.size, columns.at_ns, events, strict=True):
        assert (kind, event_id, size) == (event.type, event.last_event_id, len(event.data))
        yield Seen(kind, event_id, event.data, recording.sent_at + at / 1e9)


async def both(directory: Path) -> tuple[dict[str, list[Seen]], dict[str, list[Seen]]]:
    """What the browser and sse-check saw of one broadcast."""
    async with broadcasting() as server:
        with chromium(server.page, directory):
            await asyncio.wait_for(server.browser_is_there.wait(), _START_S)
            ours = await read(server)
            theirs = await asyncio.wait_for(server.seen, 30)
    return {name: [Seen(**event) for event in events] for name, events in theirs.items()}, ours


@pytest.mark.alone
async def test_a_browser_and_sse_check_see_the_same_at_the_same_time(tmp_path):
    """
    Ten streams at once: the same events in the same order, with the same id, type and data, and each within 50 ms.
    """
    for attempt in range(ATTEMPTS):
        (directory := tmp_path / str(attempt)).mkdir()
        theirs, ours = await both(directory)
        assert list(theirs) == list(ours) == list(STREAMS)
        apart = {}
        assert sum(map(len, ours.values())) > 250
        for name in STREAMS:
            assert ours[name][-1].type == END
            assert [event.what for event in ours[name]] == [event.what for event in theirs[name]], name
            apart[name] = [round(mine.at - its.at, 4) for mine, its in zip(ours[name], theirs[name], strict=True)]
        if all(abs(seconds) <= TOLERANCE_S for column in apart.values() for seconds in column):
            return
    pytest.fail(f"sse-check's stamps less the browser's, in seconds: {apart}")
