"""The benchmarks' server and clients, compiled: what the one sends the others receive."""

import pytest

from benchmarks.figures import TOOL
from benchmarks.processes import BenchError, Server, build
from benchmarks.sampling import C_KERNEL, C_OWN, Bench, Load

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    scratch = tmp_path_factory.mktemp("bench")
    build(scratch)
    with Server(scratch / "server") as server:
        yield Bench(scratch, server, None, None, scratch / "no peers")


@pytest.mark.parametrize("client", [TOOL, C_KERNEL, C_OWN])
@pytest.mark.parametrize(
    "load",
    [
        Load(streams=3, count=2000, shape="full"),
        Load(streams=3, count=2000, shape="bare"),
        Load(streams=5, count=4, every_s=0.05, shape="spread"),
        Load(streams=5, count=4, every_s=0.05, shape="once"),
    ],
    ids=lambda load: load.shape,
)
def test_a_client_receives_what_the_server_sends(bench, client, load):
    """
    Every event of every stream arrives and says when it was sent: not after its arrival, and not long before.
    """
    sample = bench.sample(client, load, errors=True)
    assert sample.lost == 0
    assert len(sample.errors) == load.events
    # Where wall clock and monotonic clock stand to each other is looked at a few times, and a busy machine may pause in each.
    assert all(-50_000_000 < error < 5_000_000_000 for error in sample.errors)


def test_streams_are_held_until_their_memory_is_read(bench):
    """
    Idle streams stay open, without an event, until the memory of the process was read.
    """
    sample = bench.sample(C_OWN, Load(streams=20, shape="hold"))
    assert sample.lost == 0
    assert sample.idle_kib > 0


def test_a_client_that_fails_is_named(bench):
    """
    A peer that cannot run is an error with its command, not a figure.
    """
    with pytest.raises(BenchError, match="no peers` was not found"):
        bench.sample("aiperf", Load(streams=1))
