"""Observe, judge, publish: the only place that knows both halves."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import urlsplit

import msgspec

from sse_check.alternatives import silence_to_hold
from sse_check.arms import arms, sizes_between
from sse_check.baseline import Run as Baseline
from sse_check.bounds import Account, run_bytes
from sse_check.diagnosis import FollowUp, follow_ups, open_sizes
from sse_check.interruption import Interruption
from sse_check.merging import merge
from sse_check.recording import Calibration, Recording, from_lines, to_lines
from sse_check.redaction import Redactor, implied_secrets, named_texts
from sse_check.report import Report, Result, build_report, junit_xml, openmetrics, report_html, report_json, summary_markdown
from sse_check.reportdir import BEFORE, RECORDING, REPORT, ReportDir
from sse_check.resources import read_resources
from sse_check.scenario import Probe, Scenario, WebSocketFallback
from sse_check.shards import WHOLE, Part, check_part, instant_text, share, timetable
from sse_check.units import format_duration
from sse_check.verdict import judge

if TYPE_CHECKING:
    from sse_check.journal import Journal
    from sse_check.live import LiveStream
    from sse_check.planning import Planner
    from sse_check.probe import Stop
    from sse_check.schedule import Session

_T = TypeVar("_T")
# How often the size of a heartbeat that gets through is looked for more closely: by powers of two, then between two of them.
_SIZE_ROUNDS: Final = 2
# How long to wait for an instant before the clock is read again: it may be set meanwhile.
_LOOK_AGAIN_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A run that is over: what was observed, and what it comes to.

    `stopped_by` is the signal that interrupted it, if anything did. `unwritten` are the files of the report directory that could not
    be written, by the reason.
    """

    recording: Recording
    report: Report
    stopped_by: signal.Signals | None = None
    unwritten: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def result(self) -> Result:
        """What report.json holds."""
        return self.report.result


class Audience:
    """Who follows a run while it lasts; nothing that is said to it holds a secret. This one does not listen."""

    def stage(self, title: str) -> None:
        """A new part of the run begins."""

    def tell(self, line: str) -> None:
        """Something happened beside the streams. Called from any thread."""

    def watch(self, probe: str, stream: "LiveStream") -> None:
        """A stream is about to be opened; `probe` is the name to show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Observing:
    """What every part of one run needs."""

    scenario: Scenario
    redactor: Redactor
    stop: "Stop"
    hosts: tuple[str, ...] | None
    audience: Audience
    calibration: Calibration | None
    part: Part
    journal: "Journal | None"


async def check(
    scenario: Scenario,
    *,
    secrets: Iterable[str] = (),
    hosts: tuple[str, ...] | None = None,
    interruption: Interruption | None = None,
    audience: Audience | None = None,
    baseline: Baseline | None = None,
    calibrate: Callable[[], Awaitable[Calibration | None]] | None = None,
    part: Part = WHOLE,
    directory: ReportDir | None = None,
) -> Checked:
    """Start the scenario's services, observe what it asks for, judge it, and try the fallbacks where SSE is not viable.

    With a `baseline` it is then compared with that run. `calibrate` is asked what the machine can resolve. What is
    measured is kept in the report `directory` while the run lasts. A signal ends it in order: what was measured is judged. Raises UsageError, before anything is sent, where services are wanted and no container engine answers, where a certificate's
    file cannot be used, and where this machine cannot carry its streams, or cannot play its part among several.
    """
    # Imported here: a recording is judged without what observes, which takes longer to import than the judging.
    from sse_check.capacity import prepare
    from sse_check.journal import Journal
    from sse_check.planning import Planner
    from sse_check.probe import Stop
    from sse_check.services import deployed

    planner = Planner(scenario, hosts=hosts)
    check_part(scenario, part, time.time())
    searched = [plan for probe in scenario.probes if probe.limits for plan in planner.search(probe, arms(probe.limits.until))]
    too_much = prepare(scenario, [group for group in (*share(planner.groups(), part), searched) if group])
    loop = asyncio.get_running_loop()
    redactor, audience = Redactor([*secrets, *_undeclared(scenario)]), audience or Audience()
    run = _Observing(
        scenario=scenario,
        redactor=redactor,
        stop=Stop(),
        hosts=hosts,
        audience=audience,
        journal=None if directory is None else Journal(directory, redactor=redactor, tell=audience.tell),
        calibration=None if calibrate is None else await calibrate(),
        part=part,
    )
    for line in too_much:
        run.audience.tell(line)
    interruption = interruption or Interruption()
    with interruption.asking(lambda name: _soon(loop, run.stop, name)):
        if scenario.services:
            run.audience.stage("Starting the services")
        async with deployed(
            scenario.services, stop=run.stop, budget=scenario.budget, redactor=run.redactor, tell=run.audience.tell
        ) as services:
            recording = await _observed(run, services.addresses, ready=not services.failed)
            wanted = services.failed or (bool(scenario.services) and judge(recording).verdict != "viable")
            recording = msgspec.structs.replace(recording, shard=part.shard, services=await services.recordings(logs=wanted))
            if scenario.services:
                run.audience.stage("Removing the services")
    return Checked(recording=recording, report=build_report(recording, baseline=baseline), stopped_by=interruption.by)


def _soon(loop: asyncio.AbstractEventLoop, stop: "Stop", why: str) -> None:
    """Trip `stop` from a signal handler, which runs between any two steps of the loop."""
    loop.call_soon_threadsafe(stop.trip, why)


async def _observed(run: _Observing, addresses: Mapping[str, str], *, ready: bool) -> Recording:
    """The streams, their follow-ups, and the fallbacks if they are needed; without services that are ready, nothing is asked."""
    from sse_check.early import Early
    from sse_check.fallbacks import try_fallbacks
    from sse_check.planning import Planner
    from sse_check.schedule import Run, Session

    scenario, hosts = run.scenario, run.hosts

    def watch(live: "LiveStream") -> None:
        run.audience.watch(run.redactor.text(live.plan.probe), live)
        if run.journal is not None:
            run.journal.watch(live)

    planner = Planner(scenario, hosts=hosts, addresses=addresses)
    groups = planner.groups()
    begins = timetable(groups, run.part)
    if ready and run.part.start_at is not None:
        run.audience.stage("Waiting for the common instant")
        left = run.part.start_at - time.time()
        when = f"in {format_duration(left)}" if left > 0 else f"{format_duration(-left)} ago"
        run.audience.tell(f"all begin at {instant_text(run.part.start_at)}: {when} by this machine's clock")
        await _until(begins[0], run.stop)
    observing = Run(
        redactor=run.redactor,
        stop=run.stop,
        hosts=hosts,
        addresses=addresses,
        watch=watch,
        calibration=run.calibration,
        account=Account(run_bytes(read_resources().memory)),
        decide=Early(scenario, run.redactor, run.calibration) if scenario.criteria.decide == "early" else None,
    )
    session = Session(scenario, observing)
    if run.journal is not None:
        whose = msgspec.structs.replace(session.recording(), shard=run.part.shard)
        run.journal.begin(whose, session.began_ns, lag_max=session.lag_max, machine=session.environment)
    try:
        if ready:
            run.audience.stage(run.redactor.text(f"Probing {urlsplit(scenario.base_url).hostname}"))
            for begin, group in zip(begins, share(groups, run.part), strict=False):
                await _until(begin, run.stop)
                if group and not await session.observe([group]):
                    break
        again = _follow_ups(scenario, session.recording())
        if again or any(probe.resume or probe.limits for probe in _answered(run, session.recording())):
            await _until(begins[-1], run.stop)
        if again:
            run.audience.stage("Asking again, with one factor changed")
        for question in again:
            probe = next(p for p in scenario.probes if run.redactor.text(p.name) == question.probe)
            await session.observe(planner.again(probe, question.factor, question.times, last_event_id=question.last_event_id))
        await _resumed(run, session, planner)
        await _searched(run, session, planner)
        recording = session.recording()
    finally:
        session.close()
        if run.journal is not None:
            await run.journal.close()
    # A recording of millions of events takes a while to judge; so nothing is judged for nothing.
    if scenario.fallbacks and (outcome := judge(recording)).verdict == "not-viable":
        run.audience.stage("Trying the fallbacks")
        hold = silence_to_hold(outcome.findings)
        if any(fallback.websocket is not None and fallback.websocket.hold is None for fallback in scenario.fallbacks):
            run.audience.tell(f"a WebSocket has to stay open in silence for {format_duration(hold)}")
        tried = await _unless_stopped(try_fallbacks(scenario, redactor=run.redactor, hosts=hosts, addresses=addresses, hold=hold), run.stop)
        # Stopped half way, the streams still tell what they told; only that nothing was found to fall back to is not known.
        recording = msgspec.structs.replace(recording, fallbacks=tried or (), interrupted=recording.interrupted or run.stop.why)
    return recording


async def _until(instant: float | None, stop: "Stop") -> None:
    """Wait for an instant of the wall clock, in seconds since the epoch. A stop ends the wait."""
    while instant is not None and stop.why is None and (left := instant - time.time()) > 0:
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), min(left, _LOOK_AGAIN_S))


async def _resumed(run: _Observing, session: "Session", planner: "Planner") -> None:
    """Each stream that the scenario wants cut and asked for again, of those that were answered."""
    for probe in _answered(run, session.recording()):
        if probe.resume is not None and run.stop.why is None and not session.decided():
            run.audience.stage(f"Cutting a stream after {probe.resume.after} events, and asking for it again")
            await session.resume(planner.resume(probe), probe.resume.after, probe.instance)


async def _searched(run: _Observing, session: "Session", planner: "Planner") -> None:
    """The search for limits, of all probes at once; then what it leaves open of the size of heartbeats, in two steps."""
    probes = [(probe, probe.limits) for probe in _answered(run, session.recording()) if probe.limits is not None]
    if not probes or run.stop.why is not None or session.decided():
        return
    run.audience.stage(f"Looking for limits, for up to {format_duration(max(limits.until for _, limits in probes))}")
    wanted = {probe.name: arms(limits.until) for probe, limits in probes}
    for _ in range(1 + _SIZE_ROUNDS):
        already = len(session.recording().streams)
        await session.search([plan for probe, _ in probes for plan in planner.search(probe, wanted.get(probe.name, ()), first=already + 1)])
        sizes = open_sizes(judge(session.recording()).limits)
        wanted = {probe.name: sizes_between(*sizes[name]) for probe, _ in probes if (name := run.redactor.text(probe.name)) in sizes}
        if not wanted or run.stop.why is not None:
            return


def _answered(run: _Observing, recording: Recording) -> list[Probe]:
    """The probes whose first stream is this machine's, and of which one was answered: what is refused has no limits to be found."""
    answered = {s.probe for s in recording.streams if s.head is not None and s.head.status == 200}
    mine = [probe for probe in run.scenario.probes if run.part.has_first(run.scenario, probe)]
    return [probe for probe in mine if run.redactor.text(probe.name) in answered]


async def _unless_stopped(work: Coroutine[None, None, _T], stop: "Stop") -> _T | None:
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
    """Credentials in the scenario, and in the environment's proxies, that were not declared as secrets."""
    from sse_check.machine import proxies  # here: what judges only needs no machine

    options = [option for fallback in scenario.fallbacks if (option := fallback.websocket or fallback.batch) is not None]
    headers = [*scenario.target.headers.items(), *(pair for part in (*scenario.probes, *options) for pair in part.headers.items())]
    bodies = [*(probe.body for probe in scenario.probes), *(o.send if isinstance(o, WebSocketFallback) else o.body for o in options)]
    headers += [pair for body in bodies for pair in named_texts(body)]
    headers += [pair for service in scenario.services.values() for pair in service.env.items()]
    urls = [scenario.target.url or "", *(scenario.url_of(probe) for probe in scenario.probes)]
    urls += [probe.compare.direct for probe in scenario.probes if probe.compare]
    urls += [path for probe in scenario.probes if probe.limits for path in probe.limits.paths.values()]
    urls += [scenario.fallback_url(option) for option in options]
    urls += [value for service in scenario.services.values() for value in service.env.values() if "://" in value]
    urls += proxies().values()  # a proxy may quote what it was sent, as servers do
    return implied_secrets(headers, urls)


def rejudge(paths: Iterable[Path], scenario: Scenario | None, *, baseline: Baseline | None = None, compare: Sequence[Path] = ()) -> Checked:
    """Judge recordings again, several as one; by their own scenario or by another. No network.

    They are compared with an earlier run: with its report (`baseline`), or with its recordings (`compare`).
    Raises RecordingError where a file is no recording, or a shard is missing, and OSError where a file cannot be read.
    """
    recording = _read(paths, scenario)
    before = _read(compare, scenario) if compare else None
    return Checked(recording=recording, report=build_report(recording, baseline=baseline, before=before))


def _read(paths: Iterable[Path], scenario: Scenario | None) -> Recording:
    recordings = []
    for path in paths:
        with path.open("rb") as lines:
            recordings.append(from_lines(lines, file=str(path)))
    recording = merge(recordings)
    return recording if scenario is None else msgspec.structs.replace(recording, scenario=scenario)


def publish(checked: Checked, directory: ReportDir) -> dict[str, list[str]]:
    """Write the report directory; each file appears whole or not at all. The recording first: all else follows from it.

    Returns the names of files that could not be written, by the reason: a disk that is full changes no verdict.
    """
    files: dict[str, Callable[[], Iterable[bytes]]] = {
        RECORDING: lambda: to_lines(checked.recording),
        REPORT: lambda: [report_json(checked.result)],
        "summary.md": lambda: [summary_markdown(checked.report).encode()],
        "report.html": lambda: [report_html(checked.report)],
        "junit.xml": lambda: [junit_xml(checked.result)],
        "metrics.prom": lambda: [openmetrics(checked.result)],
    }
    failed: dict[str, list[str]] = {}
    for name, parts in files.items():
        try:
            directory.write(name, parts())
        except OSError as error:
            failed.setdefault(error.strerror or str(error), []).append(name)
        else:
            if name == RECORDING:
                directory.remove(BEFORE)
    return failed
