"""What is measured of sse-check alone: its start, many streams for a minute, the edge of what one core carries, a long recording."""

import sys
from typing import Final

from benchmarks.figures import TOOL, Rounds, Row, percentile
from benchmarks.groups import Measuring, add_percentiles
from benchmarks.processes import ROOT, run
from benchmarks.sampling import Load, tool

_BARE: Final = "python -c pass"
_AIOHTTP: Final = "import aiohttp"
_STARTS: Final = 3  # for each round of the others: a start is short, and so its time varies more
# What the kernel and the server's send() add to the tool's own error: the limit of the p99 where nothing is loaded.
_PATH_NS: Final = 50_000
_PEAK_MIB: Final = 600  # a hundred bytes an event, and what a process takes that judges next to nothing
_JUDGE_TIMEOUT_S: Final = 900.0


def startup(m: Measuring) -> list[Row]:
    """CPU of the commands that need no network, over an interpreter that does nothing; and of importing aiohttp, to compare."""
    example = str(ROOT / "examples/quickstart.yml")
    validate = tool("validate", example, "--var", "BASE_URL=http://127.0.0.1:8080")
    commands = {
        _BARE: [sys.executable, "-c", "pass"],
        _AIOHTTP: [sys.executable, "-c", "import aiohttp"],
        "sse-check --version": tool("--version"),
        "sse-check validate": validate,
    }
    cpu: dict[str, list[float]] = {name: [] for name in commands}
    m.say("start-up")
    for _ in range(m.size.rounds * _STARTS):
        for name, command in commands.items():
            cpu[name].append(run(command, environment={"PYTHONPATH": str(ROOT)}).cpu_s * 1e3)
    return [
        Row(
            group="Start-up, CPU",
            name=name,
            unit="ms",
            values={TOOL: cpu[name], _BARE: cpu[_BARE], _AIOHTTP: cpu[_AIOHTTP]},
            against=_BARE,
            wanted=wanted,
            ratio=True,
        )
        for name, wanted in (("sse-check --version", 4), ("sse-check validate", 12))
    ]


def hold(m: Measuring) -> list[Row]:
    """Many streams in one process for a minute, an event a second each: what is lost, how late the stamps are, the memory."""
    load = Load(streams=m.size.held, count=m.size.held_s, every_s=1.0, shape="spread")
    group = f"{load.streams:,} streams held for {m.size.held_s} s, an event a second each"
    m.say(group)
    sample = m.bench.sample(TOOL, load, errors=True)
    late = Rounds()
    add_percentiles(late, TOOL, sample)
    return [
        Row(group=group, name="events and streams", unit="lost", values={TOOL: [sample.lost]}, wanted=0, worst=True),
        *(Row(group=group, name=name, unit="us", values=v, wanted=100 if name == "p99" else None) for name, v in late.values.items()),
        Row(group=group, name="peak of memory", unit="MiB", values={TOOL: [sample.used.peak_kib / 1024]}),
    ]


def saturation(m: Measuring) -> list[Row]:
    """More and more events until the core is full: the true error beside the one that the recording states."""
    streams = m.size.live_streams
    empty = m.bench.sample(TOOL, Load(streams=streams))
    rows = []
    for rate in m.size.saturating:
        load = Load(streams=streams, count=int(rate * m.size.error_s), every_s=1 / rate, shape="spread")
        group = f"Saturation, {streams:,} streams x {rate}/s"
        m.say(group)
        sample = m.bench.sample(TOOL, load, errors=True)
        share = (sample.used.cpu_s - empty.used.cpu_s) / m.size.error_s * 100
        figures: dict[str, tuple[str, float, float | None]] = {
            "CPU for each second of events": ("% of a core", share, None),
            "true p99": ("us", percentile(sorted(sample.errors), 0.99) / 1e3, None),
            "events and streams": ("lost", sample.lost, 0),
        }
        if sample.stated:
            beyond = sum(true > stated + _PATH_NS for true, stated in zip(sample.errors, sample.stated, strict=True))
            figures["stated p99"] = ("us", percentile(sorted(sample.stated), 0.99) / 1e3, None)
            figures["events later than stated"] = ("%", beyond / len(sample.errors) * 100, 1)
        rows += [Row(group=group, name=name, unit=unit, values={TOOL: [v]}, wanted=w) for name, (unit, v, w) in figures.items()]
        if not sample.stated:
            rows.append(Row(group=group, name="events later than stated", unit="%", values={}, wanted=1))
    return rows


def judge(m: Measuring) -> list[Row]:
    """A long recording judged, beside one of the same streams with a tenth of the events: an event may take a hundred bytes at most."""
    used = {}
    for name, events in ((TOOL, m.size.judged), ("a tenth", m.size.judged // 10)):
        m.say(f"judging {events:,} events")
        with m.bench.file("long.ndjson") as recording:
            run([sys.executable, "-m", "benchmarks.recordings", str(recording), str(events)], environment={"PYTHONPATH": str(ROOT)})
            reports = recording.with_name("judged")
            command = tool("judge", str(recording), "--report-dir", str(reports), "--fail-on", "never")
            used[name] = run(command, environment={"PYTHONPATH": str(ROOT)}, timeout=_JUDGE_TIMEOUT_S)
    group = f"A recording of {m.size.judged:,} events judged"
    times = {name: [u.seconds] for name, u in used.items()}
    peaks = {name: [u.peak_kib / 1024] for name, u in used.items()}
    return [
        Row(group=group, name="time", unit="s", values=times, against="a tenth"),
        Row(group=group, name="peak of memory", unit="MiB", values=peaks, against="a tenth", wanted=_PEAK_MIB),
    ]
