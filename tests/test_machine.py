"""What is kept out of the way while streams are open, and what is noted of the machine meanwhile."""

import asyncio
import gc
import socket
import time

from sse_check.machine import Machine
from sse_check.planning import Planner
from sse_check.probe import Stop
from sse_check.redaction import Redactor
from sse_check.scenario import load
from sse_check.schedule import MOST_OPENING, Run, Session


async def test_nothing_is_collected_while_streams_are_open():
    """
    A collection takes 50 ms and more with thousands of streams; afterwards the collector works as before.
    """
    assert gc.isenabled()
    async with Machine().watched():
        assert not gc.isenabled()
        assert gc.get_freeze_count() > 0
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


async def test_lateness_and_load_are_noted():
    """
    A loop that stands still for 0.2 s was late by as much, and a core was taken for as long.
    """
    machine = Machine()
    async with machine.watched():
        await asyncio.sleep(0.05)
        until = time.monotonic() + 0.2
        while time.monotonic() < until:
            pass
        await asyncio.sleep(0.05)
    noted = machine.environment(Redactor(), None)
    assert noted.loop_lag_max >= 0.15
    assert round(machine.lag_max, 6) == noted.loop_lag_max
    assert noted.open_seconds >= 0.3
    assert 0 < noted.cpu_seconds <= noted.open_seconds + 0.1


async def test_no_more_connections_are_made_at_a_time_than_a_server_queues():
    """
    Of half again as many streams, over TLS to a server that never answers, so many have come when the run is over.
    """
    streams = MOST_OPENING + MOST_OPENING // 2
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as server:
        server.setblocking(False)
        text = f"""
            version: 1
            budget: 1s
            probes: [{{name: p, url: 'https://127.0.0.1:{server.getsockname()[1]}/', streams: {streams}}}]
        """
        scenario, stop = load(text.encode(), file="test.yml"), Stop()
        session = Session(scenario, Run(redactor=Redactor(), stop=stop))
        await session.observe(Planner(scenario).groups())
        session.close()
        came = 0
        while came <= streams:
            try:
                server.accept()[0].close()
            except BlockingIOError:
                break
            came += 1
    assert came == MOST_OPENING
    recording = session.recording()
    assert len(recording.streams) == streams
    assert {stream.reason for stream in recording.streams} == {"budget"}
