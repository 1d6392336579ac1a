"""When bytes arrived, and how far off that may be: by the kernel's stamps, and where there are none."""

import asyncio
import os
import selectors
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trustme

from sse_check.calibration import calibrate
from sse_check.machine import Machine
from sse_check.plan import StreamPlan
from sse_check.precision import event_errors
from sse_check.probe import Stop, observe
from sse_check.recording import StreamRecording
from sse_check.redaction import Redactor
from sse_check.scenario import Until
from sse_check.transport import Request
from sse_check.transport.arrival import Arrivals, Loop, Polls
from sse_check.transport.wire import _Records

# What these prove, the kernel's stamps of TCP, is Linux's alone; CI runs there, and skips none. What holds without is tested everywhere.
linux = pytest.mark.skipif(sys.platform != "linux", reason="no other system stamps what TCP receives")

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
# How far a stamp may be from the sender's own time on a busy machine; what the tests keep a reader busy for is ten times as long.
CLOSE_NS = 20_000_000
BUSY_S = 0.2
SLEEP_S = 0.5
EVENTS = 5
EVERY_S = 0.02


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """An authority of the tests' own."""
    return trustme.CA()


def contexts(authority: trustme.CA) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's side of TLS, and that of a client who trusts it."""
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    return server, client


class Sender(threading.Thread):
    """Answers one request in a thread of its own: the head, and after a while events, noting when each was sent."""

    def __init__(self, context: ssl.SSLContext | None, after: float | None, tail: bytes) -> None:
        super().__init__(daemon=True)
        self._tail = tail
        self._context = context
        self._after = after
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.sent_ns: list[int] = []
        self.asked = False

    def run(self) -> None:
        sock, _ = self._listening.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._context is not None:
            sock = self._context.wrap_socket(sock, server_side=True)
        with sock, self._listening:
            sock.recv(65536)
            sock.sendall(HEAD)
            self.asked = True
            time.sleep(self._after or 0.1)
            events = [b"data: %d\n\n" % number for number in range(EVENTS)]
            for part in events if self._after is None else [b"".join(events)]:
                self.sent_ns.append(time.monotonic_ns())
                sock.sendall(part)
                time.sleep(EVERY_S)
            time.sleep(2 * EVERY_S)
            sock.sendall(self._tail)
            time.sleep(2 * BUSY_S)


@contextmanager
def sending(context: ssl.SSLContext | None = None, *, after: float | None = None, tail: bytes = b"") -> Iterator[Sender]:
    """A sender while the context lasts; `after` so many seconds all events in one write. `tail` follows a while after the last."""
    sender = Sender(context, after, tail)
    sender.start()
    yield sender
    sender.join(5)


async def received(sender: Sender, *, tls: ssl.SSLContext | None = None, busy: bool = True) -> StreamRecording:
    """What is recorded of the sender's events by a process that is `busy` with something else when they come."""
    url = f"{'https' if tls else 'http'}://127.0.0.1:{sender.port}/"
    request = Request(method="GET", url=url, headers=(), tls=tls, addresses={"127.0.0.1": "127.0.0.1"})
    plan = StreamPlan(probe="p", stream=1, phase="stream", request=request, until=Until(events=EVENTS), timeout=5.0)

    def elsewhere() -> None:
        if not sender.asked:
            loop.call_later(0.01, elsewhere)  # the request is not out, and would never be
            return
        while not sender.sent_ns:
            time.sleep(0.001)
        time.sleep(BUSY_S)

    loop = asyncio.get_running_loop()
    if busy:
        loop.call_later(0.05, elsewhere)
    return await observe(plan, clock=time.monotonic_ns, redactor=Redactor(), run_started_ns=0, stop=Stop())


def late_ns(stream: StreamRecording, sender: Sender) -> list[int]:
    """How much later than its sending each event is stamped."""
    return [stream.run_ns + at - sent for at, sent in zip(stream.events.at_ns, sender.sent_ns, strict=True)]


@linux
@pytest.mark.parametrize("over_tls", [False, True], ids=["plain", "TLS"])
async def test_what_waited_to_be_read_is_stamped_when_it_arrived(authority, over_tls):
    """
    The reader was busy for 0.2 s, and several events waited in the socket: the last has the time at which it came, the others
    came no earlier than their error says.
    """
    server, client = contexts(authority) if over_tls else (None, None)
    with sending(server) as sender:
        stream = await received(sender, tls=client)
    late, errors = late_ns(stream, sender), event_errors(stream)
    assert stream.clock == "kernel"
    assert 0 <= late[-1] < CLOSE_NS
    assert late[0] > CLOSE_NS  # it shares the stamp of the last
    assert all(0 <= by <= error + CLOSE_NS for by, error in zip(late, errors, strict=True))
    assert errors[-1] == 0 < errors[0]


@linux
@pytest.mark.parametrize("over_tls", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("tail", [b": heartbeat\n\n", b"retry: 1\n\n", b"data: the beginning of"], ids=["comment", "retry", "event"])
async def test_an_event_that_something_follows_in_its_read_is_not_exact(authority, over_tls, tail):
    """
    The stamp is that of what followed, which came later; the event came no earlier than its error says.
    """
    server, client = contexts(authority) if over_tls else (None, None)
    with sending(server, tail=tail) as sender:
        stream = await received(sender, tls=client)
    late, errors = late_ns(stream, sender), event_errors(stream)
    assert late[-1] > CLOSE_NS
    assert all(by <= error + CLOSE_NS for by, error in zip(late, errors, strict=True))


@linux
async def test_what_woke_the_reader_is_no_older_than_its_sleep():
    """
    Several events in one write to a reader that has slept for long: all share the last one's stamp, and the first is known to be no older
    than the reader's waking. A file that does not say how long that took leaves all of the sleep open.
    """
    errors = []
    for counted in (True, False):
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Loop)
        if not counted:
            loop.polls._waited_ns = None
        with sending(after=SLEEP_S) as sender:
            stream = await received(sender, busy=False)
        errors.append(event_errors(stream)[0] / 1e9)
    assert errors[0] < SLEEP_S / 2 < errors[1]


async def test_without_the_kernels_stamps_the_error_is_that_of_the_reader(monkeypatch: pytest.MonkeyPatch):
    """
    As on other systems: stamped when it was read, it says that it was this process, and that all may have come earlier.
    """
    monkeypatch.setattr("sse_check.transport.arrival._kernel_time", lambda ancillary, distance_ns: None)
    with sending() as sender:
        stream = await received(sender)
    late, errors = late_ns(stream, sender), event_errors(stream)
    assert stream.clock == "user"
    assert late[-1] > CLOSE_NS
    assert all(by <= error + CLOSE_NS for by, error in zip(late, errors, strict=True))


@linux
async def test_what_came_while_the_process_was_stopped_may_be_as_old_as_its_last_look(server: str):
    """
    As a container that is paused, or a virtual machine: it is no processor that was waited for, and the sleep that it interrupts looks
    longer. The server's own times say what the stamps are wrong by, and the recording admits as much.
    """
    url = f"{server}/events?count=60&every=20ms"
    plan = StreamPlan(
        probe="p", stream=1, phase="stream", request=Request(method="GET", url=url, headers=()), until=Until(events=60), timeout=9.0
    )
    machine = Machine()
    async with machine.watched():
        me = os.getpid()
        stopper = subprocess.Popen(["/bin/sh", "-c", f"sleep 0.3; kill -STOP {me}; sleep {SLEEP_S}; kill -CONT {me}"])
        stream = await observe(plan, clock=time.monotonic_ns, redactor=Redactor(), run_started_ns=0, stop=Stop())
        stopper.wait()
    sent = stream.events.numbers["sent_at"]
    late = [stream.sent_at + at / 1e9 - moment for at, moment in zip(stream.events.at_ns, sent, strict=True) if moment is not None]
    errors = event_errors(stream)
    assert stream.clock == "kernel"
    assert machine.lag_max > SLEEP_S / 2
    assert max(late) > SLEEP_S / 2
    assert all(by <= (error + CLOSE_NS) / 1e9 for by, error in zip(late, errors, strict=True))


def _control(at_ns: int) -> list[tuple[int, int, bytes]]:
    return [
        (
            socket.SOL_SOCKET,
            35,
            at_ns.to_bytes(16, "little") if not at_ns else b"".join(n.to_bytes(8, "little") for n in divmod(at_ns, 10**9)),
        )
    ]


@pytest.fixture
def polls() -> Iterator[Polls]:
    """A selector that has looked twice."""
    with Polls() as polls:
        polls.select(0)
        polls.select(0)
        yield polls


@linux
@pytest.mark.parametrize("by_s", [1, -1], ids=["in the future", "before the read before it"])
def test_a_stamp_that_cannot_be_true_is_not_believed(polls, by_s):
    """
    Whatever the wall clock was set to meanwhile: what was read has come by then, and TCP keeps its order.
    """
    arrivals = Arrivals(polls)
    first = arrivals.stamp(_control(time.time_ns()), emptied=True)
    second = arrivals.stamp(_control(time.time_ns() + by_s * 10**9), emptied=True)
    assert (first.kernel, second.kernel, second.exact) == (True, False, False)
    assert first.ns <= second.ns <= time.monotonic_ns()
    assert second.error_ns == second.ns - first.ns


@linux
@pytest.mark.parametrize("by_s", [3600, -3600], ids=["forward", "back"])
def test_a_read_around_a_jump_of_the_wall_clock_is_stamped_by_this_process(polls, by_s, monkeypatch: pytest.MonkeyPatch):
    """
    The kernel's stamp is of one side of the jump, the distance between the clocks of the other; the next turn is exact again.
    """
    wall = time.time_ns
    arrivals = Arrivals(polls)
    stamped = _control(wall())
    monkeypatch.setattr(time, "time_ns", lambda: wall() + by_s * 10**9)
    polls.select(0)
    before = arrivals.stamp(stamped, emptied=True)
    polls.select(0)
    after = arrivals.stamp(_control(time.time_ns()), emptied=True)
    assert (before.kernel, after.kernel) == (False, True)
    assert before.ns <= after.ns <= time.monotonic_ns()


@linux
@pytest.mark.parametrize("ancillary", [[], _control(0), [(socket.SOL_SOCKET, 35, b"short")]], ids=["none", "zero", "short"])
def test_a_read_without_a_stamp_is_stamped_by_this_process(polls, ancillary):
    """
    The first packets after stamps were asked for have none.
    """
    stamp = Arrivals(polls).stamp(ancillary, emptied=True)
    assert (stamp.kernel, stamp.ns <= time.monotonic_ns()) == (False, True)


@linux
def test_what_an_earlier_read_left_behind_may_be_older_than_its_stamp(polls):
    """
    A read that filled its buffer left bytes that were there before the loop looked again. The kernel may have joined them with the last
    bytes of that read, and stamped both by the newest: neither of the two is exact, and only the stamp before is surely older.
    """
    for emptied in (True, False):
        arrivals = Arrivals(polls)
        stamps = []
        for whole in (True, emptied, True):
            time.sleep(0.005)
            stamps.append(arrivals.stamp(_control(time.time_ns()), emptied=whole))
            polls.select(0)
            polls.select(0)
        before, _, after = stamps
        assert [stamp.exact for stamp in stamps] == [True, emptied, True]
        assert (abs(after.error_ns - (after.ns - before.ns)) < 1000) is not emptied


@linux
def test_the_loop_looked_when_its_look_began(monkeypatch: pytest.MonkeyPatch):
    """
    To list what is ready takes long where thousands are: what came meanwhile was not looked for.
    """

    def slowly(selector: selectors.DefaultSelector, timeout: float | None = None) -> list[object]:
        time.sleep(0.02)
        return [None] * 2000

    monkeypatch.setattr(selectors.DefaultSelector, "select", slowly)
    with Polls() as polls:
        began = time.monotonic_ns()
        polls.select(0)
        polls.select(0)
        assert polls.before_ns - began < 10_000_000


@linux
async def test_the_calibration_says_who_stamped_and_how_exactly():
    """
    Against the embedded server, with this machine's own stamps.
    """
    found = await calibrate()
    assert found is not None
    assert found.clock == "kernel"
    assert found.samples >= 100
    assert 0 < found.error_p50 <= found.error_p99 <= found.error_max


def test_the_tests_run_in_the_loop_of_a_run():
    """
    In any other loop the stamps would be this process's.
    """
    loop = Loop()
    try:
        assert loop.polls.distance_ns == pytest.approx(time.monotonic_ns() - time.time_ns(), abs=10**9)
    finally:
        loop.close()


def test_the_end_of_a_tls_record_is_seen():
    """
    However the bytes are cut: a record that has only begun may be newer than all that could be read.
    """
    records = b"".join(b"\x17\x03\x03" + size.to_bytes(2, "big") + bytes(size) for size in (0, 1, 300, 16_401))
    ends = [0, 5, 11, 316, len(records)]
    for step in (1, 2, 3, 5, 7, 316, 5000, len(records)):
        following = _Records()
        for at in range(0, len(records), step):
            part = records[at : at + step]
            assert following.end_with(part) is (at + len(part) in ends)
