"""What a run asks of the machine, what the machine has, and what is said before anything is sent."""

import os
import resource
import socket
import subprocess
from pathlib import Path

import pytest

from sse_check.capacity import EVENT_BYTES, SPARE_FILES, STREAM_BYTES, TLS_STREAM_BYTES, Demand, demand, lacking, overloaded
from sse_check.planning import Planner
from sse_check.resources import Resources, read_resources
from sse_check.scenario import load
from tests.support.process import COMMAND, ROOT, sse_check

MIB = 1024**2


def asked(probes: str) -> Demand:
    """What a scenario with these probes asks for."""
    text = f"version: 1\ntarget: {{url: https://a.test, health: /health}}\nprobes:\n{probes}"
    scenario = load(text.encode(), file="s.yml")
    return demand(scenario, Planner(scenario).groups())


# --- what a run asks for ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("probes", "streams", "connections", "to_one"),
    [
        ("  - {name: a, path: /a}\n", 1, 1, 1),
        # Groups follow each other: the larger one counts, not both.
        ("  - {name: a, path: /a, streams: 500}\n  - {name: b, path: /b, streams: 300}\n", 500, 500, 500),
        ("  - {name: a, path: /a, streams: 100}\n  - {name: b, url: 'http://b.test:81/', streams: 300}\n", 300, 300, 300),
        # A ramp opens the last streams later, while the first are still open.
        ("  - {name: a, path: /a, streams: 500, ramp: 10s}\n", 500, 500, 500),
        # Over HTTP/2 the streams share a connection.
        ("  - {name: a, path: /a, streams: 500, protocol: h2}\n", 500, 1, 1),
        # The older transport of MCP posts its messages beside the stream.
        ("  - {name: a, path: /a, streams: 50, preset: mcp-sse, body: {name: tool}}\n", 50, 100, 100),
    ],
)
def test_the_largest_group_of_streams_counts(probes, streams, connections, to_one):
    """
    As many connections as streams are open at once, one where they share it.
    """
    wanted = asked(probes)
    assert (wanted.streams, wanted.connections, wanted.to_one) == (streams, connections, to_one)


def test_memory_is_that_of_the_open_streams_and_of_all_that_is_recorded():
    """
    The recording of a group is kept while the next one runs; TLS takes more than plain HTTP.
    """
    wanted = asked(
        "  - {name: a, path: /a, streams: 10, expect: {events: 100}}\n"
        "  - {name: b, url: 'http://b.test/', streams: 20, expect: {every: 100ms}, until: {duration: 5s}}\n"
    )
    assert wanted.events == 10 * 100 + 20 * 50
    assert wanted.memory == max(10 * TLS_STREAM_BYTES, 20 * STREAM_BYTES) + 2000 * EVENT_BYTES


@pytest.mark.parametrize(
    ("hints", "rate", "cores"),
    [
        ("", 0, 0),  # nothing is known, so nothing is said
        ("expect: {events: 100}", 0, 0),
        ("expect: {every: 100ms}", 30_000, 0.75),
        ("expect: {events: 100}, until: {duration: 10s}", 30_000, 0.75),
        ("expect: {every: 0.1ms}", 30_000_000, 3000 * (1000 * 25e-6 + 9000 * 2e-6)),  # most of a stream's events share reads
    ],
)
def test_the_rate_is_told_by_the_hints(hints, rate, cores):
    """
    3,000 streams by how often they expect an event, or by how many in what time.
    """
    wanted = asked(f"  - {{name: a, path: /a, streams: 3000, {hints}}}\n")
    assert wanted.rate == pytest.approx(rate)
    assert wanted.cores == pytest.approx(cores)


# --- what a machine does not have -------------------------------------------------------------------------------------

ENOUGH = Resources(open_files=10, most_files=1_048_576, ports=28_232, memory=4096 * MIB, cores=4.0)


def test_what_is_not_known_is_no_obstacle():
    """
    A system that tells nothing is asked all the same, and so is one that has enough.
    """
    wanted = Demand(streams=10_000, connections=10_000, to_one=10_000, memory=1024 * MIB, rate=10_000, cores=0.25)
    for machine in (Resources(), ENOUGH):
        assert (lacking(machine, wanted), overloaded(machine, wanted)) == ([], ())


@pytest.mark.parametrize(
    ("machine", "wanted", "said"),
    [
        (
            Resources(open_files=10, most_files=256),
            Demand(connections=256 - SPARE_FILES - 10 + 1),
            [
                "open files: 183 connections at once need 257, and this process may have 256. "
                "Raise the limit (as root: ulimit -n 257; docker run --ulimit nofile=257:257), "
                "open fewer streams, or share them out over several machines (--shard)."
            ],
        ),
        (Resources(open_files=10, most_files=256), Demand(connections=256 - SPARE_FILES - 10), []),
        (
            Resources(ports=28_232),
            Demand(to_one=30_000),
            [
                "local ports: 30,000 connections to one address need as many, and this machine has 28,232. "
                'Widen them (sysctl -w net.ipv4.ip_local_port_range="1024 65535"), '
                "open fewer streams, or share them out over several machines (--shard)."
            ],
        ),
        (
            Resources(memory=512 * MIB),
            Demand(streams=10_000, memory=900 * MIB, events=5_000_000),
            [
                "memory: 10,000 streams at once and 5,000,000 expected events take about 900 MiB, and 512 MiB are free here. "
                "Give the container more (docker run --memory=…), open fewer streams, or share them out over several machines (--shard)."
            ],
        ),
    ],
)
def test_what_is_lacking_is_said_with_figures_and_a_cure(machine, wanted, said):
    """
    How much is needed, how much there is, and what to do; at the limit itself nothing.
    """
    assert lacking(machine, wanted) == said


@pytest.mark.parametrize(
    ("cores", "there"),
    [
        (None, "one core"),
        (8.0, "one core"),  # one event loop runs on one
        (0.5, "the 0.5 cores that this container may use"),
    ],
)
def test_more_events_than_a_core_can_take_are_told_and_not_refused(cores, there):
    """
    An estimate ends no run; it says the rate, what it takes, and what to do.
    """
    wanted = Demand(rate=60_000, cores=1.5)
    assert lacking(Resources(cores=cores), wanted) == []
    (said,) = overloaded(Resources(cores=cores), wanted)
    assert said.startswith(f"about 60,000 events a second are expected, for which {there} may be too slow (about 1.5 are needed)")
    assert "--shard" in said


# --- what a machine has -----------------------------------------------------------------------------------------------


def system(root: Path, files: dict[str, str]) -> Resources:
    """What is read of a system that has these files below its root."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    return read_resources(root)


MEMINFO = {"proc/meminfo": "MemTotal:       8388608 kB\nMemFree:          102400 kB\nMemAvailable:    4194304 kB"}
V2 = "sys/fs/cgroup"
V1 = "sys/fs/cgroup/memory"


@pytest.mark.parametrize(
    ("files", "memory"),
    [
        ({}, None),
        (MEMINFO, 4096 * MIB),
        # In a container with a namespace of its own: the mount is its group.
        (
            MEMINFO | {"proc/self/cgroup": "0::/", f"{V2}/memory.max": str(512 * MIB), f"{V2}/memory.current": str(200 * MIB)},
            312 * MIB,
        ),
        # Files that were read once take no memory from anybody, and `high` is where the kernel begins to take it back.
        (
            MEMINFO
            | {"proc/self/cgroup": "0::/", f"{V2}/memory.max": str(512 * MIB), f"{V2}/memory.high": str(400 * MIB)}
            | {f"{V2}/memory.current": str(200 * MIB), f"{V2}/memory.stat": f"anon 1\ninactive_file {150 * MIB}"},
            350 * MIB,
        ),
        ({"proc/self/cgroup": "0::/a", f"{V2}/a/memory.max": "max", f"{V2}/a/memory.current": "1"}, None),
        # A group above is limited, as a pod is.
        (
            {"proc/self/cgroup": "0::/pod/box", f"{V2}/pod/box/memory.max": "max", f"{V2}/pod/box/memory.current": "1"}
            | {f"{V2}/pod/memory.max": str(256 * MIB), f"{V2}/pod/memory.current": str(56 * MIB)},
            200 * MIB,
        ),
        # Version 1, in a container: the path is the machine's, and only the mount is there.
        (
            {"proc/self/cgroup": "5:cpu,cpuacct:/docker/x\n4:memory:/docker/x\n1:name=systemd:/docker/x"}
            | {f"{V1}/memory.limit_in_bytes": str(300 * MIB), f"{V1}/memory.usage_in_bytes": str(100 * MIB)}
            | {f"{V1}/memory.stat": f"inactive_file 0\ntotal_inactive_file {50 * MIB}"},
            250 * MIB,
        ),
    ],
)
def test_memory_is_what_the_machine_and_every_group_around_leave(tmp_path, files, memory):
    """
    The least of what the kernel calls available and what each control group, of either version, still allows.
    """
    assert system(tmp_path, files).memory == memory


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"proc/self/cgroup": "0::/", f"{V2}/cpu.max": "max 100000"}, None),
        ({"proc/self/cgroup": "0::/a", f"{V2}/cpu.max": "50000 100000", f"{V2}/a/cpu.max": "200000 100000"}, 0.5),
        ({"proc/self/cgroup": "2:cpu:/", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, None),
        ({"proc/self/cgroup": "2:cpu:/", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "25000", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, 0.25),
    ],
)  # fmt: skip
def test_a_containers_quota_of_the_processor_is_read(tmp_path, files, cores):
    """
    Of either version of control groups; without a quota nothing is limited.
    """
    assert system(tmp_path, files).cores == cores


def test_this_machine_is_read():
    """
    Ports and memory of the kernel that runs this, and the limit of this process.
    """
    machine = read_resources()
    assert machine.most_files == resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert machine.open_files >= 3
    assert (machine.ports or 0) > 1000
    assert (machine.memory or 0) > 1 * MIB


# --- before anything is sent ------------------------------------------------------------------------------------------


def probe(url: str, streams: int, *, soft: int, hard: int) -> subprocess.CompletedProcess[str]:
    """Run `sse-check probe` with these limits of open files."""
    return subprocess.run(
        [*COMMAND, "probe", url, "--streams", str(streams), "--duration", "1s"],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard)),
    )  # fmt: skip


def test_streams_beyond_the_hard_limit_of_open_files_are_refused_before_anything_is_sent():
    """
    Status 2, the limit and what to do; no connection is made.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = probe(f"http://127.0.0.1:{listener.getsockname()[1]}", 1000, soft=100, hard=200)
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert done.returncode == 2, done.stderr
    assert "open files: 1,000 connections at once need 1," in done.stderr
    assert "this process may have 200." in done.stderr
    assert "--ulimit nofile=" in done.stderr


def test_a_soft_limit_of_open_files_is_raised_as_far_as_needed(server):
    """
    More streams than the soft limit has files, and fewer than the hard one: all are opened and answered.
    """
    done = probe(f"{server}/events?count=3&every=200ms", 60, soft=40, hard=400)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "viable" in done.stdout


def test_a_rate_beyond_one_core_is_told_and_the_run_goes_on(server, tmp_path):
    """
    What is only an estimate is a line on stderr before the first stream is opened; the verdict is that of the streams.
    """
    scenario = tmp_path / "s.yml"
    scenario.write_text(
        f"version: 1\nprobes:\n  - {{name: a, url: '{server}/events?count=3&every=100ms', streams: 9, until: {{event: complete}}, expect: {{every: 0.01ms}}}}\n"
    )
    done = sse_check("run", scenario)
    assert done.returncode == 0, done.stdout
    assert done.stderr.index("about 900,000 events a second are expected, for which") < done.stderr.index("a #1")
