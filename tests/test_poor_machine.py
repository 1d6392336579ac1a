"""What a machine lacks is said as the machine's: files, ports, routes, memory, threads, and answers of its resolver."""

import asyncio
import errno
import socket
import ssl

import pytest

from sse_check.transport.local import is_local
from sse_check.transport.resolve import addresses_of
from sse_check.transport.wire import Wire
from tests.hostile import machine
from tests.support.streams import codes, every, judged, probe, scenario, stream


@pytest.mark.parametrize("case", machine.LOOK_UPS, ids=lambda case: case.attempt)
async def test_a_resolver_that_fails_for_now_says_nothing_of_the_deployment(case: machine.LookUps):
    """
    A temporary failure is asked again, and where it stays it is the resolver's; that there is no such name is the deployment's.
    """
    row = await machine.resolved(case)
    assert row.held, row.seen


@pytest.mark.parametrize("case", machine.LACKS, ids=lambda case: case.attempt)
def test_what_a_machine_has_too_little_of_is_named_as_such(server: str, case: machine.Lack):
    """
    A real process with a real limit: it ends before it begins, or is inconclusive, with the system's words.
    """
    row = machine.lacking(case, server)
    assert row.held, row.seen


async def test_a_clock_that_is_set_during_a_run_changes_nothing(server: str):
    """
    The wall clock is set while streams are open: deadlines and arrivals are of the monotonic one.
    """
    row = await machine.clock_set(server)
    assert row.held, row.seen


async def test_over_a_ramp_a_short_queue_of_connections_refuses_nobody():
    """
    A server that queues one connection: who comes one after the other finds a place.
    """
    row = await machine.storm(40, ramp=1.0)
    assert row.held, row.seen


@pytest.mark.alone
@pytest.mark.parametrize("starved", machine.STARVED[:1], ids=lambda case: case.attempt)
def test_a_neighbour_that_takes_the_processor_makes_no_healthy_stream_not_viable(starved: machine.Starvation):
    """
    Real runs beside processes that only count; the table has many more of them.
    """
    row = machine.starving(starved, runs=2)
    assert row.held, row.seen


@pytest.mark.parametrize(
    ("error", "local"),
    [
        (OSError(errno.EMFILE, "Too many open files"), True),
        (OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address"), True),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), True),
        (OSError(errno.EPERM, "Operation not permitted"), True),
        (OSError(errno.ECONNREFUSED, "Connection refused"), False),
        (OSError(errno.EHOSTUNREACH, "No route to host"), False),
        (OSError(errno.ETIMEDOUT, "Connection timed out"), False),
        (ssl.SSLError(ssl.SSLErrorNumber.SSL_ERROR_SSL, "handshake failure"), False),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), True),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), False),
        (OSError("Multiple exceptions: [Errno 101] Connect call failed ('2001:db8::1', 80), [Errno 99] Connect call failed"), True),
        (OSError("Multiple exceptions: [Errno 101] Connect call failed ('2001:db8::1', 80), [Errno 111] Connect call failed"), False),
        (ValueError("no host"), False),
    ],
    ids=str,
)
def test_an_error_is_this_machines_only_where_nobody_else_can_have_answered(error: Exception, local: bool):
    """
    Of several addresses one that answered is enough; the numbers of OpenSSL and of the resolver are others than the system's.
    """
    assert is_local(error) is local


def test_streams_that_could_not_be_observed_count_for_nothing():
    """
    Neither for the criteria nor against them: two good ones of three leave it open, and a fault of another is still one.
    """
    of = scenario(probe(streams=3), event_deadline=30.0)
    good = [stream(every(1.0, 20), number=n, phase="concurrency") for n in (1, 2)]
    lacking = stream([], head=None, ended="error", reason="machine", error="Too many open files", number=3, phase="concurrency")
    held = stream([20.0] * 20, sent=every(1.0, 20), number=2, phase="concurrency")
    outcome = judged(*good, lacking, of=of)
    assert (outcome.verdict, [f.code for f in outcome.findings]) == ("inconclusive", ["runner-noise"])
    assert outcome.passed == (True, True, None)
    assert "1 of 3 streams could not be observed by the measuring machine itself: `Too many open files`" in outcome.reasons[0]
    assert judged(good[0], held, lacking, of=of).verdict == "not-viable"
    assert codes(lacking, of=of) == ["runner-noise"]


async def test_a_thousand_streams_ask_the_resolver_once(monkeypatch: pytest.MonkeyPatch):
    """
    And each begins with another of its addresses, as with a name server that turns them.
    """
    asked = []
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"192.0.2.{n}", 80)) for n in (1, 2, 3, 4)]

    def look_up(host: str, *_: object, **__: object) -> list[object]:
        asked.append(host)
        return list(found)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    ways = await asyncio.gather(*(addresses_of("app.example.test", 80, socket.AF_UNSPEC, {}) for _ in range(1000)))
    first = [way[0][2] for way in ways]
    assert asked == ["app.example.test"]
    assert {first.count(f"192.0.2.{n}") for n in (1, 2, 3, 4)} == {250}


async def test_a_look_up_that_failed_is_made_again(monkeypatch: pytest.MonkeyPatch):
    """
    Only what was found is kept.
    """
    answers = iter([socket.gaierror(socket.EAI_NONAME, "no"), [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 80))]])

    def look_up(*_: object, **__: object) -> object:
        if isinstance(answer := next(answers), Exception):
            raise answer
        return answer

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with pytest.raises(socket.gaierror):
        await addresses_of("app.example.test", 80, socket.AF_UNSPEC, {})
    assert await addresses_of("app.example.test", 80, socket.AF_UNSPEC, {}) == [(socket.AF_INET, 6, "192.0.2.1")]


async def test_a_read_for_which_there_is_no_memory_ends_the_stream(monkeypatch: pytest.MonkeyPatch):
    """
    It does not go on with a gap, which would look like lost events.
    """
    ours, theirs = socket.socketpair()
    ours.setblocking(False)

    class Receiver:
        error: OSError | None = None

        def received(self, stamp: object, data: bytes) -> None:
            raise MemoryError

        def written(self) -> None: ...

        def lost(self, error: OSError | None) -> None:
            self.error = error

    receiver = Receiver()
    with theirs:
        Wire(ours).attach(receiver)
        theirs.send(b"data: 1\n\n")
        await asyncio.sleep(0.05)
    assert receiver.error is not None
    assert is_local(receiver.error)
