"""Observe, judge, publish: the only place that knows both halves."""

import asyncio
import os
import signal
import tempfile
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from sse_check.diagnosis import FollowUp, follow_ups
from sse_check.interruption import Interruption
from sse_check.probe import LiveStream, Stop
from sse_check.recording import Recording, from_lines, merge, to_lines
from sse_check.redaction import Redactor, implied_secrets
from sse_check.report import Result, build_result, junit_xml, report_json, summary_markdown
from sse_check.scenario import Scenario
from sse_check.verdict import judge

_T = TypeVar("_T")


class ReportDirError(Exception):
    """The report directory cannot be written; the message says which and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A run that is over: what was observed, and what it comes to. `stopped_by` is the signal that interrupted it, if anything did."""

    recording: Recording
    result: Result
    stopped_by: signal.Signals | None = None


class Audience:
    """Who follows a run while it lasts; nothing that is said to it holds a secret. This one does not listen."""

    def stage(self, title: str) -> None:
        """A new part of the run begins."""

    def tell(self, line: str) -> None:
        """Something happened beside the streams. Called from any thread."""

    def watch(self, probe: str, stream: LiveStream) -> None:
        """A stream is about to be opened; `probe` is the name to show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Observing:
    """What every part of one run needs."""

    scenario: Scenario
    redactor: Redactor
    stop: Stop
    hosts: tuple[str, ...] | None
    audience: Audience


async def check(
    scenario: Scenario,
    *,
    secrets: Iterable[str] = (),
    hosts: tuple[str, ...] | None = None,
    interruption: Interruption | None = None,
    audience: Audience | None = None,
) -> Checked:
    """Start the scenario's services, observe what it asks for, judge it, and try the fallbacks where SSE is not viable.

    A signal ends it in order: what was measured is judged. Raises UsageError, before anything is sent, where services
    are wanted and no container engine answers, and where a certificate's file cannot be used.
    """
    # Imported here: a recording is judged without aiohttp, which takes longer to import than the judging.
    from sse_check.schedule import tls_context
    from sse_check.services import deployed

    tls_context(scenario)
    loop = asyncio.get_running_loop()
    run = _Observing(
        scenario=scenario,
        redactor=Redactor([*secrets, *_undeclared(scenario)]),
        stop=Stop(),
        hosts=hosts,
        audience=audience or Audience(),
    )
    interruption = interruption or Interruption()
    with interruption.asking(lambda name: _soon(loop, run.stop, name)):
        if scenario.services:
            run.audience.stage("Starting the services")
        async with deployed(
            scenario.services, stop=run.stop, budget=scenario.budget, redactor=run.redactor, tell=run.audience.tell
        ) as services:
            recording = await _observed(run, services.addresses, ready=not services.failed)
            wanted = services.failed or judge(recording).verdict != "viable"
            recording = msgspec.structs.replace(recording, services=await services.recordings(logs=wanted))
            if scenario.services:
                run.audience.stage("Removing the services")
    return Checked(recording=recording, result=build_result(recording, judge(recording)), stopped_by=interruption.by)


def _soon(loop: asyncio.AbstractEventLoop, stop: Stop, why: str) -> None:
    """Trip `stop` from a signal handler, which runs between any two steps of the loop."""
    loop.call_soon_threadsafe(stop.trip, why)


async def _observed(run: _Observing, addresses: Mapping[str, str], *, ready: bool) -> Recording:
    """The streams, their follow-ups, and the fallbacks if they are needed; without services that are ready, nothing is asked."""
    from sse_check.fallbacks import try_fallbacks
    from sse_check.schedule import Run, Session, plan, plan_again

    scenario, hosts = run.scenario, run.hosts

    def watch(live: LiveStream) -> None:
        run.audience.watch(run.redactor.text(live.plan.probe), live)

    session = Session(scenario, Run(redactor=run.redactor, stop=run.stop, hosts=hosts, addresses=addresses, watch=watch))
    try:
        if ready:
            run.audience.stage(run.redactor.text(f"Probing {urlsplit(scenario.base_url).hostname}"))
            await session.observe(plan(scenario, hosts=hosts, addresses=addresses))
        again = _follow_ups(scenario, session.recording())
        if again:
            run.audience.stage("Asking again, with one factor changed")
        for question in again:
            probe = next(p for p in scenario.probes if run.redactor.text(p.name) == question.probe)
            groups = plan_again(
                scenario, probe, question.factor, question.times, last_event_id=question.last_event_id, hosts=hosts, addresses=addresses
            )
            await session.observe(groups)
        recording = session.recording()
    finally:
        session.close()
    if judge(recording).verdict == "not-viable" and scenario.fallbacks:
        run.audience.stage("Trying the fallbacks")
        tried = await _unless_stopped(try_fallbacks(scenario, redactor=run.redactor, hosts=hosts, addresses=addresses), run.stop)
        # Stopped half way, the streams still tell what they told; only that nothing was found to fall back to is not known.
        recording = msgspec.structs.replace(recording, fallbacks=tried or (), interrupted=recording.interrupted or run.stop.why)
    return recording


async def _unless_stopped(work: Coroutine[None, None, _T], stop: Stop) -> _T | None:
    """The result of something that takes a while, or None if the run is stopped before."""
    doing, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    await asyncio.wait({doing, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finished = doing.done()
    for task in (doing, stopping):
        task.cancel()
    await asyncio.gather(doing, stopping, return_exceptions=True)
    return doing.result() if finished else None


def _follow_ups(scenario: Scenario, recording: Recording) -> tuple[FollowUp, ...]:
    """What a first look leaves open and a further stream would decide; nothing where the scenario does not want any."""
    return follow_ups(judge(recording).metrics) if scenario.follow_up and recording.interrupted is None else ()


def _undeclared(scenario: Scenario) -> list[str]:
    """Credentials in the scenario that were not declared as secrets."""
    headers = [*scenario.target.headers.items(), *(pair for probe in scenario.probes for pair in probe.headers.items())]
    headers += [pair for service in scenario.services.values() for pair in service.env.items()]
    urls = [scenario.target.url or "", *(scenario.url_of(probe) for probe in scenario.probes)]
    urls += [probe.compare.direct for probe in scenario.probes if probe.compare]
    urls += [value for service in scenario.services.values() for value in service.env.values() if "://" in value]
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
