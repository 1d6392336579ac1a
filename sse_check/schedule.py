"""Which streams run when: the phases of a run, its budget, and its orderly end.

1. *connect*: the health check, if the scenario names one; where it is not answered with 200 nothing else is asked.
2. *stream*: each probe of one stream, alone and in the scenario's order.
3. *concurrency*: each probe of several streams, all of them at once.
"""

import asyncio
import platform
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.request import getproxies

import msgspec

from sse_check import __version__
from sse_check.errors import UsageError
from sse_check.place import gateway, inside
from sse_check.probe import LiveStream, Stop, StreamPlan, observe, own_headers
from sse_check.recording import Environment, Factor, Phase, Recording, StreamRecording, redact_scenario
from sse_check.redaction import Redactor
from sse_check.scenario import Probe, Scenario, Until, join_url, planned_until, stream_timeout
from sse_check.transport import Clock, Request

HEALTH: Final = "health"  # how the health check is called among the probes

_LAG_INTERVAL: Final = 0.02  # seconds between samples of the loop's lag
_MAX_LAG_SAMPLES: Final = 500_000
# Before a follow-up: servers and proxies notice only after a while that the streams before it are closed.
_SETTLE_S: Final = 0.5
_HEALTH_TIMEOUT: Final = 15.0
_FAMILIES: Final = {"any": socket.AF_UNSPEC, "both": socket.AF_UNSPEC, "v4": socket.AF_INET, "v6": socket.AF_INET6}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a run needs beside the scenario. `watch` is called with each stream before it is opened.

    `addresses` are the host names of the run's own services, and where they are reached.
    """

    redactor: Redactor
    stop: Stop
    clock: Clock = time.monotonic_ns
    hosts: tuple[str, ...] | None = None
    addresses: Mapping[str, str] = field(default_factory=dict)
    watch: Callable[[LiveStream], None] = lambda live: None


class Session:
    """One run: observes groups of streams as they are asked for, within the scenario's budget, and makes the recording."""

    def __init__(self, scenario: Scenario, run: Run) -> None:
        """Begin: from here on the budget counts. Needs a running event loop."""
        self._scenario = scenario
        self._run = run
        self._started_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._began = run.clock()
        self._lags: list[float] = []
        self._streams: list[StreamRecording] = []
        self._budget = asyncio.get_running_loop().call_later(scenario.budget, run.stop.trip, "budget")

    async def observe(self, groups: Sequence[Sequence[StreamPlan]]) -> None:
        """Open the groups one after the other, up to the first that the health check or a stop forbids.

        The loop's lag is sampled meanwhile, and only then: what happens between the streams delays none of them.
        """
        sampler = asyncio.ensure_future(_sample_lag(self._lags))
        try:
            await self._observe(groups)
        finally:
            sampler.cancel()
            await asyncio.gather(sampler, return_exceptions=True)

    async def _observe(self, groups: Sequence[Sequence[StreamPlan]]) -> None:
        for group in groups:
            if group[0].phase == "follow-up":
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._run.stop.wait(), _SETTLE_S)
            if self._run.stop.why is not None:
                return
            self._streams += await _together(group, self._run, self._began)
            if group[0].phase == "connect" and not _healthy(self._streams[-1]):
                return

    def recording(self) -> Recording:
        """What was observed so far."""
        return Recording(
            started_at=self._started_at,
            scenario=redact_scenario(self._scenario, self._run.redactor),
            environment=environment(self._lags, self._run.redactor),
            streams=tuple(self._streams),
            interrupted=self._run.stop.why,
        )

    def close(self) -> None:
        """The budget counts no more."""
        self._budget.cancel()


async def run(scenario: Scenario, run: Run) -> Recording:
    """Observe all that the scenario asks for. What was measured is returned however the run ends."""
    session = Session(scenario, run)
    try:
        await session.observe(plan(scenario, hosts=run.hosts, addresses=run.addresses))
        return session.recording()
    finally:
        session.close()


def plan(scenario: Scenario, *, hosts: tuple[str, ...] | None = None, addresses: Mapping[str, str] | None = None) -> list[list[StreamPlan]]:
    """The streams of a run: groups that follow each other, of streams that are opened together.

    Raises UsageError where a certificate's file cannot be used.
    """
    tls = tls_context(scenario)
    groups: list[list[StreamPlan]] = []
    if scenario.target.health is not None and scenario.target.url is not None:
        url = join_url(scenario.target.url, scenario.target.health)
        request = replace(_request(url, "GET", scenario.target.headers, None, tls), addresses=scenario.target.resolve)
        groups.append(
            [StreamPlan(probe=HEALTH, stream=1, phase="connect", request=request, until=Until(), timeout=_HEALTH_TIMEOUT, hosts=hosts)]
        )
    alone = [probe for probe in scenario.probes if probe.stream_count == 1]
    together = [probe for probe in scenario.probes if probe.stream_count > 1]
    groups += [_streams(scenario, probe, "stream", tls, hosts) for probe in alone]
    groups += [_streams(scenario, probe, "concurrency", tls, hosts) for probe in together]
    return [[reached_at(p, addresses or {}) for p in group] for group in groups]


def plan_again(
    scenario: Scenario,
    probe: Probe,
    factor: Factor,
    times: int,
    *,
    last_event_id: str = "",
    hosts: tuple[str, ...] | None = None,
    addresses: Mapping[str, str] | None = None,
) -> list[list[StreamPlan]]:
    """Follow-ups of a probe: single streams, one after the other, with one factor changed."""
    original = _streams(scenario, probe, "follow-up", tls_context(scenario), hosts)[0]
    request = original.request
    if factor == "identity":
        kept = tuple((name, value) for name, value in request.headers if name.lower() != "accept-encoding")
        request = replace(request, headers=(*kept, ("Accept-Encoding", "identity")))
    elif factor == "resume":
        request = replace(request, headers=(*request.headers, ("Last-Event-ID", last_event_id)))
    elif factor == "direct" and probe.compare is not None:
        request = replace(
            request, url=probe.compare.direct, tls=tls_context(scenario) if probe.compare.direct.startswith("https:") else None
        )
    again = reached_at(replace(original, request=request, factor=factor), addresses or {})
    return [[replace(again, stream=number)] for number in range(1, times + 1)]


def reached_at(plan: StreamPlan, addresses: Mapping[str, str]) -> StreamPlan:
    """The plan with the addresses of the run's own services beside those that the scenario gives."""
    return replace(plan, request=replace(plan.request, addresses={**plan.request.addresses, **addresses}))


def _streams(scenario: Scenario, probe: Probe, phase: Phase, tls: ssl.SSLContext, hosts: tuple[str, ...] | None) -> list[StreamPlan]:
    url = scenario.url_of(probe)
    # The target's headers are meant for the target: a probe with a URL of its own does not carry them elsewhere.
    shared = scenario.target.headers if probe.url is None else {}
    request = replace(
        _request(url, probe.method, {**shared, **probe.headers}, probe.body, tls),
        addresses=scenario.target.resolve,
        family=_FAMILIES[probe.ip],
    )
    timeout, until = stream_timeout(scenario, probe), planned_until(scenario, probe)
    return [
        StreamPlan(
            probe=probe.name,
            stream=number,
            phase=phase,
            request=request,
            until=until,
            timeout=timeout,
            hosts=hosts,
            preset=probe.preset,
            http2=probe.protocol == "h2",
        )
        for number in range(1, probe.stream_count + 1)
    ]


def _request(url: str, method: str, headers: dict[str, str], body: str | dict[str, Any] | None, tls: ssl.SSLContext) -> Request:
    """The request with sse-check's own headers under the scenario's."""
    given = {name.lower() for name in headers}
    sent = [(name, value) for name, value in own_headers(url) if name.lower() not in given]
    raw: bytes | None = None
    if isinstance(body, dict):
        raw = msgspec.json.encode(body)
        if "content-type" not in given:
            sent.append(("Content-Type", "application/json"))
    elif body is not None:
        raw = body.encode()
        if "content-type" not in given:
            sent.append(("Content-Type", "text/plain; charset=utf-8"))
    secure = url.startswith("https:")
    return Request(method=method, url=url, headers=(*sent, *headers.items()), body=raw, tls=tls if secure else None)


def tls_context(scenario: Scenario) -> ssl.SSLContext:
    """How certificates are verified, and which one is shown. Raises UsageError where a file of them cannot be used."""
    tls = scenario.target.tls
    context = ssl.create_default_context()
    if tls.ca is not None:
        try:
            context.load_verify_locations(tls.ca)
        except (OSError, ssl.SSLError) as error:
            raise _unusable("ca", tls.ca, "holds no certificate that can be used", error) from None
    if tls.cert is not None:
        try:
            # Without a password of ours a key that needs one would be asked for at the terminal.
            context.load_cert_chain(tls.cert, tls.key, password="")
        except (OSError, ssl.SSLError) as error:
            raise _unusable("cert", tls.cert, "and its private key cannot be used", error) from None
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _unusable(key: str, file: str, wrong: str, error: OSError) -> UsageError:
    why = getattr(error, "reason", None) or error.strerror or type(error).__name__
    return UsageError(f"target.tls.{key}: {file} {wrong} ({why}). Name a PEM file.")


async def _together(group: Sequence[StreamPlan], run: Run, began: int) -> list[StreamRecording]:
    lives = [LiveStream(p) for p in group]
    for live in lives:
        run.watch(live)
    return await asyncio.gather(
        *(observe(live.plan, clock=run.clock, redactor=run.redactor, run_started_ns=began, stop=run.stop, live=live) for live in lives)
    )


def _healthy(stream: StreamRecording) -> bool:
    """The scenario's own condition for going on, not a judgement: the health path must answer 200."""
    return stream.head is not None and stream.head.status == 200


async def _sample_lag(lags: list[float]) -> None:
    """How late the event loop wakes a sleeper, in seconds, again and again: the run's own measurement error."""
    while len(lags) < _MAX_LAG_SAMPLES:
        due = time.monotonic() + _LAG_INTERVAL
        await asyncio.sleep(_LAG_INTERVAL)
        lags.append(max(0.0, time.monotonic() - due))


def environment(lags: list[float], redactor: Redactor) -> Environment:
    """The measuring machine, and its lag over the run."""
    ordered = sorted(lags) or [0.0]
    where = inside()
    proxies = {kind: url for kind, url in getproxies().items() if kind in ("http", "https", "all")}
    return Environment(
        version=__version__,
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        loop_lag_p50=round(ordered[len(ordered) // 2], 6),
        loop_lag_p99=round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))], 6),
        loop_lag_max=round(ordered[-1], 6),
        loop_lag_samples=len(lags),
        proxies=tuple(f"{kind}: {redactor.url(url)}" for kind, url in sorted(proxies.items())),
        inside=where,
        gateway=gateway() if where else None,
    )
