"""More than one machine: every stream is one machine's, all work out the same, and begin together."""

import asyncio
import json
import re
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sse_check.errors import UsageError
from sse_check.pipeline import check
from sse_check.scenario import Service
from sse_check.shards import Part, check_part, instant_text, read_part, share, timetable
from tests.support.process import COMMAND, ROOT, serving, sse_check
from tests.support.streams import probe, scenario

NAMES = ("--shard", "--start-at")
AT = 1_768_473_000.0  # 2026-01-15T10:30:00Z


@dataclass(frozen=True)
class Plan:
    """A stream to be opened."""

    probe: str
    stream: int
    phase: str
    timeout: float = 30.0
    opens_after: float = 0.0


def groups_of(counts: list[int], *, health: bool = False) -> list[list[Plan]]:
    """The groups of a scenario with probes of so many streams."""
    alone = [[Plan(f"p{n}", 1, "stream")] for n, count in enumerate(counts) if count == 1]
    together = [[Plan(f"p{n}", k, "concurrency") for k in range(1, count + 1)] for n, count in enumerate(counts) if count > 1]
    return [*([[Plan("health", 1, "connect", 15.0)]] if health else []), *alone, *together]


@given(counts=st.lists(st.integers(1, 12), min_size=1, max_size=6), of=st.integers(1, 9))
def test_every_stream_is_in_exactly_one_shard(counts, of):
    """
    Whatever the scenario, and however many shards; the groups keep their places, and none of them is larger than its fair share.
    """
    groups = groups_of(counts)
    shares = [share(groups, Part(index=index, of=of)) for index in range(1, of + 1)]

    for number, group in enumerate(groups):
        parts = [mine[number] for mine in shares]
        assert sorted((plan for part in parts for plan in part), key=lambda plan: plan.stream) == group
        assert max(map(len, parts)) <= -(-len(group) // of)


def test_a_share_keeps_the_numbers_of_the_whole():
    """
    Of ten streams shard 1 of 4 has the first, fifth and ninth; the health check is everybody's.
    """
    health, together = share(groups_of([10], health=True), Part(index=1, of=4))

    assert [plan.stream for plan in together] == [1, 5, 9]
    assert [plan.probe for plan in health] == ["health"]


def test_what_a_probe_has_once_is_made_by_one_shard():
    """
    A search for limits and a resume belong to the shard with the probe's first stream.
    """
    plan = scenario(probe("a"), probe("b"), probe("c", streams=5), probe("d"))
    makers = {p.name: [index for index in (1, 2, 3) if Part(index=index, of=3).has_first(plan, p)] for p in plan.probes}

    assert makers == {"a": [1], "b": [2], "c": [1], "d": [3]}


@pytest.mark.parametrize(
    ("shard", "start_at", "environ", "part"),
    [
        ("", "", {}, Part()),
        ("2/4", "", {}, Part(index=2, of=4)),
        ("4/4", "2026-01-15T10:30:00Z", {}, Part(index=4, of=4, start_at=AT)),
        ("1/4", "2026-01-15t11:30:00.5+01:00", {}, Part(index=1, of=4, start_at=AT + 0.5)),
        ("job/4", "", {"JOB_COMPLETION_INDEX": "0"}, Part(index=1, of=4)),
        ("job/4", "", {"JOB_COMPLETION_INDEX": "3"}, Part(index=4, of=4)),
        ("", "2026-01-15T10:30:00Z", {"JOB_COMPLETION_INDEX": "3"}, Part(start_at=AT)),
    ],
)
def test_shards_count_from_one_and_the_pods_of_a_job_from_zero(shard, start_at, environ, part):
    """
    `2/4` is the second of four; `job/4` is the pod's own index in an Indexed Job, plus one. An instant has a zone.
    """
    assert read_part(shard, start_at, environ, names=NAMES) == part


@pytest.mark.parametrize(
    ("shard", "start_at", "environ", "message"),
    [
        ("0/4", "", {}, "no shard 0/4.*write 1/4 to 4/4"),
        ("5/4", "", {}, "no shard 5/4"),
        ("2", "", {}, '"2" is no shard.*2/4'),
        ("1/0", "", {}, "no shard 1/0"),
        ("job/4", "", {}, "needs JOB_COMPLETION_INDEX"),
        ("job/4", "", {"JOB_COMPLETION_INDEX": "4"}, "JOB_COMPLETION_INDEX=4.*completions"),
        ("", "2026-01-15T10:30:00", {}, "no instant.*2026-01-15T10:30:00Z"),
        ("", "2026-01-15", {}, "no instant"),
        ("", "2026-13-15T10:30:00Z", {}, "no instant"),
        ("", "+90s", {}, "no instant"),
    ],
)
def test_a_wrong_part_says_what_would_be_right(shard, start_at, environ, message):
    """
    The message names the option, or the variable, that it was given by.
    """
    with pytest.raises(UsageError, match=rf"^({'|'.join(NAMES)}): .*{message}"):
        read_part(shard, start_at, environ, names=NAMES)


@pytest.mark.parametrize(
    ("plan", "part", "message"),
    [
        ([probe(streams=3)], Part(index=4, of=4), "shard 4/4: some of 4 shards would have no stream.* 3 at most"),
        ([probe(streams=3)], Part(index=1, of=4), "shard 1/4: some of 4 shards would have no stream"),
        ([probe(streams=8)], Part(start_at=AT - 95), "2026-01-15T10:28:25Z: by this machine's clock that was 95s ago"),
        ([probe(streams=8)], Part(start_at=AT + 7200), "that is 120m away.*within the next 60m"),
        ([probe("a", timeout=400.0), probe("b", streams=8)], Part(start_at=AT), "takes 7.2m in all, and the budget is 5m"),
    ],
)
def test_a_part_that_cannot_be_played_is_refused_before_anything_is_sent(plan, part, message):
    """
    Each shard refuses alike where some would have nothing to do; one that comes late would not be open together with the others.
    """
    with pytest.raises(UsageError, match=message):
        check_part(replace(scenario(*plan), budget=300.0), part, AT)


def test_services_are_not_shared():
    """
    Each machine would start its own, and the streams would not be open at one deployment.
    """
    with pytest.raises(UsageError, match="services"):
        check_part(replace(scenario(probe(streams=8)), services={"app": Service(build=".")}), Part(index=1, of=4), AT)


def test_all_machines_work_out_the_same_timetable():
    """
    The health check before the instant, the first streams at it, and each further group when the one before must be over.
    """
    groups = groups_of([1, 1, 8], health=True)

    for index in (1, 2, 3):
        assert timetable(groups, Part(index=index, of=3, start_at=AT)) == [AT - 15, AT, AT + 31, AT + 62, AT + 93]
    assert timetable(groups, Part(index=1, of=3)) == [None] * 5


# --- on loopback ------------------------------------------------------------------------------------------------------

SCENARIO = """\
version: 1
name: Shared out
target: {{url: "{url}", health: /health}}
probes:
  - {{name: alone, path: "/events?count=3&every=50ms", until: {{event: complete}}, timeout: 1s}}
  - {{name: together, path: "/events?count=4&every=100ms", until: {{event: complete}}, streams: 10, expect: {{events: 4, every: 100ms}}}}
"""


def counted(report: dict[str, Any]) -> list[tuple[Any, ...]]:
    """What a report says of its streams, without their times."""
    return [(r["probe"], r["stream"], r["passed"], r["total_events"], r["expected_events"], r["codes"]) for r in report["test_results"]]


@pytest.mark.alone  # they have to be there by an instant
def test_shards_on_the_command_line(tmp_path):
    """
    Three machines with a share each: none says yes by itself, all together say what one machine says, and two of them are an error.
    """
    with serving() as base:
        (tmp_path / "s.yml").write_text(SCENARIO.format(url=base))
        start_at = instant_text(int(time.time()) + 5)

        def part(index: int) -> Any:
            return sse_check("run", "s.yml", "--shard", f"{index}/3", "--start-at", start_at, "--report-dir", f"part-{index}", cwd=tmp_path)

        with ThreadPoolExecutor(3) as pool:
            parts = list(pool.map(part, (1, 2, 3)))
        one = sse_check("run", "s.yml", "--format", "json", cwd=tmp_path)
    recordings = [f"part-{index}/recording.ndjson" for index in (3, 1, 2)]
    together = sse_check("judge", *recordings, "--format", "json", cwd=tmp_path)
    two = sse_check("judge", *recordings[:2], cwd=tmp_path)

    assert [done.returncode for done in parts] == [3, 3, 3], [done.stderr for done in parts]
    assert "shard 2 of 3" in parts[1].stdout
    assert (one.returncode, together.returncode) == (0, 0), together.stdout + together.stderr
    assert together.stderr == ""
    assert counted(json.loads(together.stdout)) == counted(json.loads(one.stdout))
    assert two.returncode == 2
    assert re.search("shard 2 of 3 is missing", two.stderr)
    records = [json.loads(line) for name in recordings for line in (tmp_path / name).read_text().splitlines()]
    assert {tuple(r["shard"].items()) for r in records if r["record"] == "run"} == {
        (("index", index), ("of", 3), ("start_at", start_at)) for index in (1, 2, 3)
    }


async def test_streams_begin_at_the_instant_and_in_their_own_time(server):
    """
    No stream of the first group is asked for before the instant, and none of the second while the first may last.
    """
    plan = scenario(
        probe("alone", url=f"{server}/events?count=2&every=50ms", timeout=1.0, until={"event": "complete"}),
        probe("together", url=f"{server}/events?count=2&every=50ms", streams=4, until={"event": "complete"}),
    )
    start_at = time.time() + 0.7
    parts = await asyncio.gather(*(check(plan, part=Part(index=index, of=2, start_at=start_at)) for index in (1, 2)))
    sent = {(s.probe, s.stream): s.sent_at for checked in parts for s in checked.recording.streams}

    assert sorted(sent) == [("alone", 1), *(("together", number) for number in (1, 2, 3, 4))]
    assert sent["alone", 1] >= start_at
    assert min(at for (name, _), at in sent.items() if name == "together") >= start_at + 2.0


def test_a_signal_ends_the_wait(server, tmp_path):
    """
    Whoever interrupts a machine that waits gets its recording at once, in which nothing was asked.
    """
    line = [*COMMAND, "probe", f"{server}/events", "--shard", "1/2", "--start-at", instant_text(int(time.time()) + 600)]
    process = subprocess.Popen([*line, "--report-dir", tmp_path], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    with process.stderr as said:
        assert "all begin at" in said.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 143
    records = [json.loads(record)["record"] for record in (tmp_path / "recording.ndjson").read_text().splitlines()]
    assert records == ["run", "end"]
