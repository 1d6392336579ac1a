"""The verdict of a starved, frozen or poor machine: never a wrong `not-viable`, and nothing that is held back called viable.

The server is a process of its own, and where that is permitted of a higher priority, as a deployment is another machine: what starves is
the machine that measures. Each run beside a neighbour is a real one, `sse-check run` as users start it.
"""

import asyncio
import json
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final
from unittest import mock

from sse_check.demo import demo_scenario
from sse_check.origin.faults import FAULTS
from sse_check.pipeline import check
from sse_check.scenario import Probe, Scenario, Target, Until
from sse_check.transport import arrival
from tests.hostile.row import Row
from tests.support.process import COMMAND, ROOT, serving
from tests.support.servers import SSE_HEAD, answering, chunk, raw_server

_row = partial(Row, part="machine")

# --- starved and frozen -------------------------------------------------------------------------------------------------

# What each run asks of a stream that is as it should be. Criteria are of a whole scenario, so there are several.
_USUAL: Final = "{name: at once, path: '/events?count=10&every=100ms', until: {event: complete}, streams: 3}"
_FAST: Final = "{name: fast, path: '/events?count=100&every=20ms', until: {event: complete}}"
_STAMPED: Final = (
    "{name: stamped, path: '/events?count=10&every=100ms', until: {event: complete}, timestamps: {field: sent_at, unit: s}, "
    "expect: {events: 11, every: 100ms}}"
)
_SOON: Final = "{name: soon, path: '/events?count=5&every=100ms&first=150ms', until: {event: complete}, streams: 3}"
SCENARIOS: Final = (
    f"probes: [{_USUAL}, {_FAST}, {_STAMPED}]",
    f"criteria: {{first_event: 300ms}}\nprobes: [{_USUAL}, {_SOON}, {_FAST}]",
    f"criteria: {{first_event: 1s, event_deadline: 4s, decide: early}}\nprobes: [{_USUAL}, {_FAST}, {_STAMPED}]",
    f"criteria: {{event_deadline: 500ms, deadline_from: sent}}\nprobes: [{_USUAL}, {_STAMPED}]",
)
# A fault of which the verdict is viable, with a warning.
_WARNINGS: Final = frozenset({"no-heartbeat", "redirected"})
_AT_A_TIME: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Starvation:
    """What keeps the measuring process from a processor: busy neighbours, on its own core where `pinned`; its priority; stops at random.

    `frozen` is for how many seconds at least and at most it is stopped each time, as a virtual machine is paused. `quota` is the share
    of a core that a control group leaves it.
    """

    attempt: str
    hogs: int = 0
    pinned: bool = False
    nice: int = 0
    frozen: tuple[float, float] | None = None
    quota: float | None = None


STARVED: Final = (
    Starvation(attempt="2 busy neighbours", hogs=2),
    Starvation(attempt="8 busy neighbours", hogs=8),
    Starvation(attempt="4 busy neighbours on its own core", hogs=4, pinned=True),
    Starvation(attempt="4 busy neighbours on its own core, at the lowest priority", hogs=4, pinned=True, nice=19),
    Starvation(attempt="stopped for 50 to 400 ms, again and again", frozen=(0.05, 0.4)),
    Starvation(attempt="stopped for 1 to 3 s, again and again", frozen=(1.0, 3.0)),
    Starvation(attempt="a tenth of a core", quota=0.1),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a run came to: its verdict, the codes of what was found, the longest lag of its loop in seconds."""

    verdict: str
    codes: tuple[str, ...]
    lag: float


@contextmanager
def _deployment() -> Iterator[str]:
    """The embedded server as a process that goes before the measuring one, as far as this user may have that."""
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, -10)
    try:
        with serving() as base:
            with suppress(PermissionError):
                os.setpriority(os.PRIO_PROCESS, 0, 0)
            yield base
    finally:
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, 0)


@contextmanager
def _hogs(number: int, core: int | None) -> Iterator[None]:
    """So many processes that do nothing but keep a core busy, while the context lasts."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)]
    try:
        for process in busy:
            if core is not None:
                os.sched_setaffinity(process.pid, {core})
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


@contextmanager
def _group(quota: float) -> Iterator[Path | None]:
    """A control group with so much of a core; None where this user may not make one (cgroup v1 and v2, cpu controller)."""
    for top, files in ((Path("/sys/fs/cgroup/cpu"), ("cpu.cfs_quota_us",)), (Path("/sys/fs/cgroup"), ("cpu.max",))):
        group = top / f"sse-check-{os.getpid()}-{threading.get_ident()}"
        try:
            group.mkdir()
            (group / files[0]).write_text(str(round(quota * 100_000)), encoding="ascii")
        except OSError:
            with suppress(OSError):
                group.rmdir()
            continue
        try:
            yield group
        finally:
            with suppress(OSError):
                group.rmdir()
        return
    yield None


def checked(scenario: str, starved: Starvation, *, seed: int) -> Seen:
    """One run, starved all the while. Raises AssertionError where it ends with another status than that of a verdict."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        plan = folder / "scenario.yml"
        plan.write_text(f"version: 1\n{scenario}\n", encoding="utf-8")
        core = max(os.sched_getaffinity(0)) if starved.pinned else None
        group = None if starved.quota is None else stack.enter_context(_group(starved.quota))
        stack.enter_context(_hogs(starved.hogs, core))
        process = subprocess.Popen(
            [*COMMAND, "run", str(plan), "--report-dir", str(folder / "report"), "--format", "json"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        os.setpriority(os.PRIO_PROCESS, process.pid, starved.nice)
        if core is not None:
            os.sched_setaffinity(process.pid, {core})
        if group is not None:
            (group / "cgroup.procs").write_text(str(process.pid), encoding="ascii")
        if starved.frozen is not None:
            threading.Thread(target=_freeze, args=(process, starved.frozen, random.Random(seed)), daemon=True).start()
        try:
            out, err = process.communicate(timeout=180)
        finally:
            process.kill()
        assert process.returncode in (0, 1, 3), f"status {process.returncode}: {err[-2000:]}"
        report: dict[str, Any] = json.loads(out)
    codes = dict.fromkeys(finding["code"] for finding in report["findings"])
    return Seen(verdict=report["verdict"], codes=tuple(codes), lag=report["environment"]["loop_lag_max"])


def _freeze(process: "subprocess.Popen[str]", lengths: tuple[float, float], rng: random.Random) -> None:
    """Stop a process and let it go on, at random, until it is over."""
    time.sleep(rng.uniform(0.2, 1.0))
    while process.poll() is None:
        process.send_signal(signal.SIGSTOP)
        time.sleep(rng.uniform(*lengths))
        process.send_signal(signal.SIGCONT)
        time.sleep(rng.uniform(0.2, 1.2))


def starving(starved: Starvation, *, runs: int) -> Row:
    """So many runs against a healthy server: viable or inconclusive."""
    with _deployment() as base, ThreadPoolExecutor(_AT_A_TIME) as pool:
        plans = [f"target: {{url: '{base}'}}\n{SCENARIOS[number % len(SCENARIOS)]}" for number in range(runs)]
        seen = list(pool.map(lambda plan: checked(plan[1], starved, seed=plan[0]), enumerate(plans)))
    verdicts = Counter(run.verdict for run in seen)
    wrong = [run.codes for run in seen if run.verdict == "not-viable"]
    said = f"{_counted(verdicts)}; the loop was up to {max(run.lag for run in seen):.2f} s late"
    return _row(attempt=f"healthy streams, {starved.attempt}", seen=said + (f"; wrong: {wrong[0]}" if wrong else ""), held=not wrong)


def faults(starved: Starvation) -> Iterator[Row]:
    """Each fault of the embedded server by a starved machine: named, or inconclusive, never viable."""
    with _deployment() as base, ThreadPoolExecutor(_AT_A_TIME) as pool:
        names = [name for name in FAULTS if name not in ("refused", "concurrency-limited")]  # nothing to ask; takes several streams
        runs = pool.map(lambda name: checked(_faulty(base, name), starved, seed=1), names)
        for name, run in zip(names, runs, strict=True):
            good = run.verdict != "viable" or name in _WARNINGS
            named = run.verdict != "not-viable" or name in run.codes or (name == "resume-broken" and "truncated" in run.codes)
            said = f"{run.verdict}: {', '.join(run.codes) or 'no finding'}"
            yield _row(attempt=f"the fault {name}, {starved.attempt}", seen=said, held=good and named)


def _faulty(base: str, fault: str) -> str:
    """The demo's first probe, as a scenario."""
    path = demo_scenario(base, fault).probes[0].path
    expect = ", expect: {heartbeat: 1s}" if fault == "no-heartbeat" else ""
    return f"target: {{url: '{base}'}}\nprobes: [{{name: ten events, path: '{path}', until: {{event: complete}}, timeout: 7s{expect}}}]"


def _counted(verdicts: Counter[str]) -> str:
    return ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))


# --- names --------------------------------------------------------------------------------------------------------------

_STREAM: Final = answering(SSE_HEAD + b"".join(chunk(b"data: %d\n\n" % n) for n in range(3)) + chunk(b""))
_NAME: Final = "app.example.test"


@dataclass(frozen=True, slots=True, kw_only=True)
class LookUps:
    """What the system's resolver answers, again and again: a number is an error of getaddrinfo, a text are addresses.

    `after` so many seconds. `verdict` and `said` are what it must come to.
    """

    attempt: str
    answers: tuple[int | str, ...]
    verdict: str
    said: str = ""
    after: float = 0.0


LOOK_UPS: Final = (
    LookUps(attempt="every other look-up fails for now", answers=(socket.EAI_AGAIN, "127.0.0.1"), verdict="viable"),
    LookUps(attempt="every look-up fails for now", answers=(socket.EAI_AGAIN,), verdict="inconclusive", said="name resolution"),
    LookUps(attempt="there is no such name", answers=(socket.EAI_NONAME,), verdict="not-viable", said="could not be resolved"),
    LookUps(attempt="a slow resolver", answers=("127.0.0.1",), after=0.3, verdict="viable"),
    LookUps(attempt="a dead address before one that lives", answers=("127.0.0.2 127.0.0.1",), verdict="viable"),
    LookUps(attempt="a dead address only", answers=("127.0.0.2",), verdict="not-viable", said="Connect call failed"),
)
_WORDS: Final = {socket.EAI_AGAIN: "Temporary failure in name resolution", socket.EAI_NONAME: "Name or service not known"}


async def resolved(case: LookUps) -> Row:
    """Three streams at once of a host whose look-ups go like this."""
    asked = 0

    def look_up(host: str, port: int, *_: object, **__: object) -> list[tuple[Any, ...]]:
        nonlocal asked
        found = case.answers[asked % len(case.answers)]
        asked += 1
        time.sleep(case.after)
        if isinstance(found, int):
            raise socket.gaierror(found, _WORDS[found])
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found.split()]

    async with raw_server(_STREAM) as base:
        target = Target(url=f"http://{_NAME}:{base.rpartition(':')[2]}")
        probes = (Probe(name="stream", path="/", until=Until(events=3), streams=3),)
        with mock.patch.object(socket, "getaddrinfo", look_up):
            result = (await check(Scenario(version=1, target=target, probes=probes))).result
    said = " ".join(result.reasons)
    return _row(
        attempt=f"names: {case.attempt}",
        seen=f"{result.verdict}, {asked} look-ups; {result.reasons[0][:120]}",
        held=result.verdict == case.verdict and case.said in said,
    )


# --- what is lacking ----------------------------------------------------------------------------------------------------

# In a process of its own: the limits are lowered when the run has begun, so that nothing was said before it.
_RUN_WITH: Final = """
import asyncio, json, resource, sys
from pathlib import Path
from sse_check import capacity
from sse_check.pipeline import check
from sse_check.scenario import load
from sse_check.transport.arrival import Loop

scenario = load(sys.argv[1].encode(), file="s.yml")
def poor(*_):
    exec(sys.argv[2])
    return ()
capacity.prepare = poor
with asyncio.Runner(loop_factory=Loop) as runner:
    result = runner.run(check(scenario)).result
print(json.dumps({"verdict": result.verdict, "reasons": result.reasons, "codes": [f.code for f in result.findings]}))
"""
_OPEN: Final = "used = len(list(Path('/dev/fd').iterdir())); resource.setrlimit(resource.RLIMIT_NOFILE, (used + 20, used + 20))"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lack:
    """What is done to a process when its run has begun, what it asks for, and the words that must be said.

    `streams` are asked of `url`, or of the server.
    """

    attempt: str
    said: str
    poor: str = "pass"
    url: str = ""
    streams: int = 1


LACKS: Final = (
    Lack(attempt="open files run out in mid-run", poor=_OPEN, streams=60, said="Too many open files"),
    # Linux connects to no broadcast address: by its own rule (EACCES), or for want of a route (ENETUNREACH).
    Lack(attempt="this machine forbids the connection", url="http://255.255.255.255/", said="[Errno 1"),
    Lack(
        attempt="no thread to ask the resolver in",
        url="http://app.example.test/",
        poor="import threading; threading.Thread.start = lambda self: (_ for _ in ()).throw(RuntimeError('can\\'t start new thread'))",
        said="start new thread",
    ),
)


def lacking(case: Lack, base: str) -> Row:
    """A run in a process that lacks something: inconclusive, with the system's words."""
    url = case.url or f"{base}/events?count=20&every=100ms"
    plan = f"version: 1\nprobes: [{{name: p, url: '{url}', until: {{event: complete}}, streams: {case.streams}}}]"
    done = subprocess.run(
        [sys.executable, "-c", _RUN_WITH, plan, case.poor],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    if done.returncode:
        return _row(attempt=case.attempt, seen=f"status {done.returncode}: {done.stderr.strip()[-200:]}".replace("\n", " "), held=False)
    seen = json.loads(done.stdout)
    return _row(
        attempt=case.attempt,
        seen=f"{seen['verdict']}: {seen['reasons'][0][:160]}",
        held=seen["verdict"] == "inconclusive" and seen["codes"] == ["runner-noise"] and case.said in seen["reasons"][0],
    )


def few_files() -> Row:
    """A hard limit below what the streams need: said before anything is sent."""
    plan = "version: 1\nprobes: [{name: p, url: 'http://127.0.0.1:9/', streams: 100}]"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "s.yml"
        file.write_text(plan, encoding="utf-8")
        done = subprocess.run(
            [*COMMAND, "run", str(file), "--report-dir", folder],
            cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (80, 80)),
        )  # fmt: skip
    first = (done.stderr.strip().splitlines() or [""])[-1]
    return _row(
        attempt="100 streams, a hard limit of 80 open files",
        seen=f"status {done.returncode}: {first[:160]}",
        held=done.returncode == 2 and "open files" in done.stderr,
    )


# --- clocks -------------------------------------------------------------------------------------------------------------


async def clock_set(base: str) -> Row:
    """The wall clock of the measuring process is set forward and back while streams are open, and the kernel's stamps with it."""
    wall, wall_ns, of_kernel = time.time, time.time_ns, arrival._kernel_time
    began = time.monotonic()

    def by() -> int:
        age = time.monotonic() - began
        return 0 if age < 0.5 else 3 * 3600 if age < 1.0 else -3 * 3600

    def set_wall() -> float:
        return wall() + by()

    def set_wall_ns() -> int:
        return wall_ns() + by() * 10**9

    def kernel_time(ancillary: arrival.Ancillary, distance_ns: int) -> int | None:
        at = of_kernel(ancillary, distance_ns)
        return None if at is None else at + by() * 10**9

    probes = (Probe(name="three", path="/events?count=15&every=100ms", until=Until(event="complete"), streams=3),)
    with (
        mock.patch.object(time, "time", set_wall),
        mock.patch.object(time, "time_ns", set_wall_ns),
        mock.patch.object(arrival, "_kernel_time", kernel_time),
    ):
        checked = await check(Scenario(version=1, target=Target(url=base), probes=probes))
        took = time.monotonic() - began
    clocks = Counter[str](stream.clock for stream in checked.recording.streams)
    ends = max(stream.times.ended_ns for stream in checked.recording.streams) / 1e9
    said = f"{checked.result.verdict} after {took:.1f} s, the longest stream {ends:.1f} s; stamped by {_counted(clocks)}"
    good = checked.result.verdict == "viable" and ends < 60 and not checked.result.findings
    return _row(attempt="the wall clock is set by +3 hours, then by -6, in mid-run", seen=said, held=good)


# --- storms -------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _short_queue() -> AsyncIterator[str]:
    """A server in a thread of its own that queues one connection, and answers each with a short stream."""
    loop, ready, base = asyncio.new_event_loop(), threading.Event(), ""
    finish = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            await _STREAM(b"", writer)
            await writer.drain()
        writer.close()

    async def serve() -> None:
        nonlocal base
        server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1)
        base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        ready.set()
        await finish.wait()
        server.close()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    ready.wait(10)
    try:
        yield base
    finally:
        loop.call_soon_threadsafe(finish.set)
        thread.join(10)
        loop.close()


async def storm(streams: int, ramp: float | None = None) -> Row:
    """So many streams to a server that queues one connection (listen(2)), at once or one after the other in `ramp` seconds.

    Those that find no place are tried again by TCP after a second, and after three. At once that is this server's own limit on
    streams, and said as such; it refuses none, and over a ramp each is opened.
    """
    async with _short_queue() as base:
        began = time.monotonic()
        probes = (Probe(name="stream", path="/", until=Until(events=3), streams=streams, ramp=ramp),)
        result = (await check(Scenario(version=1, target=Target(url=base), probes=probes))).result
        took = time.monotonic() - began
    codes = {finding.code for finding in result.findings}
    held = result.verdict != "not-viable" or (ramp is None and codes <= {"concurrency-limited"})
    how = "at once" if ramp is None else f"within {ramp:g} s"
    said = f"{result.verdict} after {took:.1f} s; {result.reasons[0][:130]}"
    return _row(attempt=f"{streams:,} streams {how}, listen(1)", seen=said, held=held)


# --- the table ----------------------------------------------------------------------------------------------------------


def rows() -> Iterator[Row]:
    """Some minutes: 20 runs of each starvation, each fault twice, and what is lacking."""
    for starved in STARVED:
        yield starving(starved, runs=20)
    for starved in (STARVED[0], STARVED[5]):
        yield from faults(starved)
    for case in LOOK_UPS:
        yield _run(resolved(case))
    yield _run(resolved(LookUps(attempt="a resolver that takes 5 s", answers=("127.0.0.1",), after=5.0, verdict="viable")))
    with serving() as base:
        for lack in LACKS:
            yield lacking(lack, base)
        yield _run(clock_set(base))
    yield few_files()
    for streams, ramp in ((100, None), (1000, None), (100, 2.0), (1000, 20.0)):
        yield _run(storm(streams, ramp))


def _run(work: Any) -> Row:
    with asyncio.Runner(loop_factory=arrival.Loop) as runner:
        row: Row = runner.run(work)
    return row
