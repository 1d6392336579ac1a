"""Which streams run when: phases, the budget, the health check, and an orderly end."""

import asyncio

from sse_check.probe import Stop
from sse_check.redaction import Redactor
from sse_check.scenario import load
from sse_check.schedule import Run, run
from tests.support.servers import SSE_HEAD, answering, chunk, raw_server


async def _run(text: str, stop: Stop | None = None):
    return await run(load(text.encode(), file="test.yml"), Run(redactor=Redactor(), stop=stop or Stop()))


class Gauge:
    """A server that counts how many streams are open at once."""

    def __init__(self) -> None:
        self.open = 0
        self.most: dict[str, int] = {}

    async def __call__(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        path = request.split(b" ")[1].decode()
        self.open += 1
        self.most[path] = max(self.most.get(path, 0), self.open)
        writer.write(SSE_HEAD + chunk(b"data: 1\n\n"))
        await writer.drain()
        await asyncio.sleep(0.2)
        writer.write(chunk(b""))
        self.open -= 1


async def test_single_probes_run_alone_and_in_order_then_the_concurrent_ones_together():
    """
    Probes of one stream follow each other; a concurrent probe has all of its streams open at once, three by default.
    """
    gauge = Gauge()
    async with raw_server(gauge) as base:
        recording = await _run(
            f"version: 1\ntarget: {{url: '{base}'}}\nprobes:\n"
            "- {name: five, path: /five, streams: 5}\n- {name: a, path: /a}\n- {name: three, path: /three, concurrent: true}\n- {name: b, path: /b}\n"
        )
    assert gauge.most == {"/a": 1, "/b": 1, "/five": 5, "/three": 3}
    assert [(s.probe, s.phase) for s in recording.streams] == [
        ("a", "stream"),
        ("b", "stream"),
        *[("five", "concurrency")] * 5,
        *[("three", "concurrency")] * 3,
    ]
    assert [s.stream for s in recording.streams] == [1, 1, 1, 2, 3, 4, 5, 1, 2, 3]
    a, b = recording.streams[:2]
    assert a.run_ns + a.times.ended_ns <= b.run_ns


async def test_nothing_else_is_asked_where_the_health_check_fails():
    """
    A health path that does not answer 200 ends the run before any stream is opened.
    """
    async with raw_server(answering(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")) as base:
        recording = await _run(f"version: 1\ntarget: {{url: '{base}', health: /h}}\nprobes: [{{name: a, path: /a}}]\n")
    assert [(s.probe, s.phase, s.head and s.head.status) for s in recording.streams] == [("health", "connect", 503)]
    assert recording.interrupted is None


async def _silence(_: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(SSE_HEAD + chunk(b"data: 1\n\n"))
    await writer.drain()
    await asyncio.sleep(30)


async def test_the_budget_ends_the_run_and_keeps_what_was_measured():
    """
    When the budget is used up the streams that run are ended, later ones are not opened, and the recording says why.
    """
    async with raw_server(_silence) as base:
        recording = await _run(
            f"version: 1\nbudget: 3s\ntarget: {{url: '{base}'}}\nprobes: [{{name: a, path: /a}}, {{name: b, path: /b}}]\n"
        )
    assert recording.interrupted == "budget"
    assert [(s.probe, s.ended, s.reason, len(s.events)) for s in recording.streams] == [("a", "timeout", "budget", 1)]


async def test_a_stop_ends_every_stream_at_once():
    """
    A signal ends all streams that run; each keeps what it had received.
    """
    stop, asked = Stop(), 0

    async def serve(request: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        if asked == 4:
            asyncio.get_running_loop().call_later(0.5, stop.trip, "SIGTERM")
        await _silence(request, writer)

    async with raw_server(serve) as base:
        recording = await _run(f"version: 1\ntarget: {{url: '{base}'}}\nprobes: [{{name: a, path: /a, streams: 4}}]\n", stop)
    assert recording.interrupted == "SIGTERM"
    assert [(s.ended, s.reason, len(s.events)) for s in recording.streams] == [("timeout", "interrupted", 1)] * 4


async def test_the_loops_own_lag_is_sampled():
    """
    The recording states the measuring machine's own error.
    """
    async with raw_server(answering(SSE_HEAD + chunk(b"data: 1\n\n") + chunk(b""))) as base:
        recording = await _run(f"version: 1\ntarget: {{url: '{base}'}}\nprobes: [{{name: a, path: /a, until: {{duration: 1s}}}}]\n")
    lag = recording.environment
    assert 0 <= lag.loop_lag_p50 <= lag.loop_lag_p99 <= lag.loop_lag_max
