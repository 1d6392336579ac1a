"""When bytes arrived, and how far off that may be: by the kernel's stamps, and where there are none."""

import asyncio
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trustme

from sse_check.calibration import calibrate
from sse_check.live import StreamPlan
from sse_check.precision import event_errors
from sse_check.probe import Stop, observe
from sse_check.recording import StreamRecording
from sse_check.redaction import Redactor
from sse_check.scenario import Until
from sse_check.transport import Request
from sse_check.transport.arrival import Arrivals, Loop, Polls

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


class Sender(threading.Thread):
    """Answers one request in a thread of its own: the head, and after a while events, noting when each was sent."""

    def __init__(self, context: ssl.SSLContext | None, after: float | None) -> None:
        super().__init__(daemon=True)
        self._context = context
        self._after = after
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.sent_ns: list[int] = []

    def run(self) -> None:
        sock, _ = self._listening.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._context is not None:
            sock = self._context.wrap_socket(sock, server_side=True)
        with sock, self._listening:
            sock.recv(65536)
            sock.sendall(HEAD)
            time.sleep(self._after or 0.1)
            events = [b"data: %d\n\n" % number for number in range(EVENTS)]
            for part in events if self._after is None else [b"".join(events)]:
                self.sent_ns.append(time.monotonic_ns())
                sock.sendall(part)
                time.sleep(EVERY_S)
            time.sleep(2 * BUSY_S)


@contextmanager
def sending(context: ssl.SSLContext | None = None, *, after: float | None = None) -> Iterator[Sender]:
    """A sender while the context lasts; `after` so many seconds all events in one write."""
    sender = Sender(context, after)
    sender.start()
    yield sender
    sender.join(5)


async def received(sender: Sender, *, tls: ssl.SSLContext | None = None, busy: bool = True) -> StreamRecording:
    """What is recorded of the sender's events by a process that is `busy` with something else when they come."""
    url = f"{'https' if tls else 'http'}://127.0.0.1:{sender.port}/"
    request = Request(method="GET", url=url, headers=(), tls=tls, addresses={"127.0.0.1": "127.0.0.1"})
    plan = StreamPlan(probe="p", stream=1, phase="stream", request=request, until=Until(events=EVENTS), timeout=5.0)

    def elsewhere() -> None:
        while not sender.sent_ns:
            time.sleep(0.001)
        time.sleep(BUSY_S)

    if busy:
        asyncio.get_running_loop().call_later(0.05, elsewhere)
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
    server, client = None, None
    if over_tls:
        server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
        authority.issue_cert("127.0.0.1").configure_cert(server)
        authority.configure_trust(client)
    with sending(server) as sender:
        stream = await received(sender, tls=client)
    late, errors = late_ns(stream, sender), event_errors(stream)
    assert stream.clock == "kernel"
    assert 0 <= late[-1] < CLOSE_NS
    assert late[0] > CLOSE_NS  # it shares the stamp of the last
    assert all(0 <= by <= error + CLOSE_NS for by, error in zip(late, errors, strict=True))
    assert errors[-1] == 0 < errors[0]


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
def test_a_stamp_is_neither_in_the_future_nor_before_the_read_before_it(polls):
    """
    Whatever the wall clock says: what was read has come by then, and TCP keeps its order.
    """
    arrivals = Arrivals(polls)
    first = arrivals.stamp(_control(time.time_ns() + 10**9), emptied=True)
    assert first.kernel
    assert first.ns <= time.monotonic_ns()
    assert arrivals.stamp(_control(time.time_ns() - 10**9), emptied=True).ns == first.ns


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
def test_what_an_earlier_read_left_behind_may_be_as_old_as_that(polls):
    """
    A read that filled its buffer left bytes that were there before the loop looked again; a read that did not, left none.
    """
    for emptied in (True, False):
        arrivals = Arrivals(polls)
        time.sleep(0.005)
        first = arrivals.stamp(_control(time.time_ns()), emptied=emptied)
        time.sleep(0.02)
        polls.select(0)
        polls.select(0)
        second = arrivals.stamp(_control(time.time_ns()), emptied=True)
        assert (second.error_ns == second.ns - first.ns) is not emptied


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
