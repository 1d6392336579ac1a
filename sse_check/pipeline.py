"""Observe, judge, publish: the only place that knows both halves."""

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from sse_check.diagnosis import FollowUp, follow_ups
from sse_check.probe import LiveStream, Stop
from sse_check.recording import Recording, from_lines, merge, to_lines
from sse_check.redaction import Redactor, implied_secrets
from sse_check.report import Result, build_result, junit_xml, report_json, summary_markdown
from sse_check.scenario import Scenario
from sse_check.verdict import judge

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class ReportDirError(Exception):
    """The report directory cannot be written; the message says which and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A run that is over: what was observed, and what it comes to. `stopped_by` is the signal that interrupted it, if anything did."""

    recording: Recording
    result: Result
    stopped_by: signal.Signals | None = None


async def check(
    scenario: Scenario,
    *,
    secrets: Iterable[str] = (),
    hosts: tuple[str, ...] | None = None,
    watch: Callable[[LiveStream], None] = lambda live: None,
) -> Checked:
    """Observe what the scenario asks for, judge it, and try the fallbacks where SSE is not viable.

    SIGINT and SIGTERM end it in order: what was measured is judged. Raises OSError or ssl.SSLError, before anything is
    sent, where the scenario's CA file cannot be used.
    """
    # Imported here: a recording is judged without aiohttp, which takes longer to import than the judging.
    from sse_check.fallbacks import try_fallbacks
    from sse_check.schedule import Run, Session, plan, plan_again

    stop, redactor = Stop(), Redactor([*secrets, *_undeclared(scenario)])
    with _signals(stop) as seen:
        session = Session(scenario, Run(redactor=redactor, stop=stop, hosts=hosts, watch=watch))
        try:
            await session.observe(plan(scenario, hosts=hosts))
            for again in _follow_ups(scenario, session.recording()):
                probe = next(p for p in scenario.probes if redactor.text(p.name) == again.probe)
                await session.observe(
                    plan_again(scenario, probe, again.factor, again.times, last_event_id=again.last_event_id, hosts=hosts)
                )
            recording = session.recording()
        finally:
            session.close()
        if judge(recording).verdict == "not-viable" and scenario.fallbacks:
            tried = await try_fallbacks(scenario, redactor=redactor, hosts=hosts)
            recording = msgspec.structs.replace(recording, fallbacks=tried)
    return Checked(recording=recording, result=build_result(recording, judge(recording)), stopped_by=seen[0] if seen else None)


def _follow_ups(scenario: Scenario, recording: Recording) -> tuple[FollowUp, ...]:
    """What a first look leaves open and a further stream would decide; nothing where the scenario does not want any."""
    return follow_ups(judge(recording).metrics) if scenario.follow_up and recording.interrupted is None else ()


def _undeclared(scenario: Scenario) -> list[str]:
    """Credentials in the scenario that were not declared as secrets."""
    headers = [*scenario.target.headers.items(), *(pair for probe in scenario.probes for pair in probe.headers.items())]
    urls = [scenario.target.url or "", *(scenario.url_of(probe) for probe in scenario.probes)]
    return implied_secrets(headers, urls)


def rejudge(paths: Iterable[Path], scenario: Scenario | None) -> Checked:
    """Judge recordings again, several as one; by their own scenario or by another. No network.

    Raises RecordingError where a file is no recording, and OSError where it cannot be read.
    """
    recordings = []
    for path in paths:
        with path.open("rb") as lines:
            recordings.append(from_lines(lines, file=str(path)))
    recording = merge(recordings)
    if scenario is not None:
        recording = msgspec.structs.replace(recording, scenario=scenario)
    return Checked(recording=recording, result=build_result(recording, judge(recording)))


def prepare_report_dir(path: Path) -> None:
    """Make the report directory and see that it can be written, before anything is sent. Raises ReportDirError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise ReportDirError(f"{path}: the report directory cannot be written: {error.strerror}. Name another with --report-dir.") from None


def publish(checked: Checked, report_dir: Path) -> None:
    """Write the report directory; each file appears whole or not at all. The recording first: all else follows from it."""
    _write(report_dir / "recording.ndjson", to_lines(checked.recording))
    _write(report_dir / "report.json", [report_json(checked.result)])
    _write(report_dir / "summary.md", [summary_markdown(checked.result).encode()])
    _write(report_dir / "junit.xml", [junit_xml(checked.result)])


def _write(path: Path, parts: Iterable[bytes]) -> None:
    """Write beside the file, then put it in its place."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            file.writelines(parts)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


@contextlib.contextmanager
def _signals(stop: Stop) -> Iterator[list[signal.Signals]]:
    """While the context lasts, a signal trips `stop`; those that came are in the list, the first one first."""
    loop = asyncio.get_running_loop()
    seen: list[signal.Signals] = []

    def trip(number: signal.Signals) -> None:
        seen.append(number)
        stop.trip(number.name)

    for number in SIGNALS:
        loop.add_signal_handler(number, trip, number)
    try:
        yield seen
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
