"""From a scenario to the streams that are to be opened: which requests, with which headers, and when each has shown enough."""

import socket
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec

from sse_check.arms import HEADER as ARM_HEADER
from sse_check.arms import SIZE_BEATS, SIZE_EVERY_S, told
from sse_check.plan import StreamPlan
from sse_check.probe import own_headers
from sse_check.recording import Arm, Factor, Phase
from sse_check.scenario import Probe, Scenario, Until, join_url, planned_until, stream_timeout
from sse_check.transport import Request, resuming
from sse_check.transport.tls import Certificates

HEALTH: Final = "health"  # how the health check is called among the probes

_HEALTH_TIMEOUT: Final = 15.0
_SPARE_S: Final = 0.5  # between the planned end of a stream and giving it up
_FAMILIES: Final = {"any": socket.AF_UNSPEC, "both": socket.AF_UNSPEC, "v4": socket.AF_INET, "v6": socket.AF_INET6}


class Planner:
    """Plans the streams of one scenario. It opens none.

    `hosts` are patterns of the hosts that may be reached, None: all; `addresses` the host names of the run's own services,
    and where they are reached.
    """

    def __init__(self, scenario: Scenario, *, hosts: tuple[str, ...] | None = None, addresses: Mapping[str, str] | None = None) -> None:
        """Raises UsageError where a certificate's file cannot be used."""
        self._scenario = scenario
        self._hosts = hosts
        self._addresses = {**scenario.target.resolve, **(addresses or {})}
        self._certificates = Certificates(scenario)

    def groups(self) -> list[list[StreamPlan]]:
        """The streams that the scenario asks for: groups that follow each other, of streams that are opened together."""
        scenario = self._scenario
        alone = [probe for probe in scenario.probes if probe.stream_count == 1]
        together = [probe for probe in scenario.probes if probe.stream_count > 1]
        groups = [self._streams(probe, "stream") for probe in alone] + [self._streams(probe, "concurrency") for probe in together]
        if scenario.target.health is None or scenario.target.url is None:
            return groups
        request = self._request(join_url(scenario.target.url, scenario.target.health), "GET", scenario.target.headers, None)
        health = StreamPlan(
            probe=HEALTH, stream=1, phase="connect", request=request, until=Until(), timeout=_HEALTH_TIMEOUT, hosts=self._hosts
        )
        return [[health], *groups]

    def again(self, probe: Probe, factor: Factor, times: int, *, last_event_id: str = "") -> list[list[StreamPlan]]:
        """Follow-ups of a probe: single streams, one after the other, with one factor changed."""
        original = self._streams(probe, "follow-up")[0]
        request = original.request
        if factor == "identity":
            kept = tuple((name, value) for name, value in request.headers if name.lower() != "accept-encoding")
            request = replace(request, headers=(*kept, ("Accept-Encoding", "identity")))
        elif factor == "resume":
            request = resuming(request, last_event_id)
        elif factor == "direct" and probe.compare is not None:
            request = self._direct(request, probe.compare.direct)
        return [[replace(original, request=request, factor=factor, stream=number)] for number in range(1, times + 1)]

    def search(self, probe: Probe, wanted: Sequence[Arm], *, first: int = 1) -> list[StreamPlan]:
        """The streams of a search for limits, numbered from `first`: these arms, and the same past the proxies, if there is a way."""
        assert probe.limits is not None
        asked = replace(self._streams(probe, "limits")[0], preset=None)
        plans = []
        for number, arm in enumerate(wanted, first):
            # Those that are to find a size need only see a few heartbeats.
            for_a_size = arm.kind == "heartbeat" and arm.every == SIZE_EVERY_S
            seconds = min(probe.limits.until, SIZE_BEATS * SIZE_EVERY_S) if for_a_size else probe.limits.until
            request = replace(asked.request, headers=(*asked.request.headers, (ARM_HEADER, told(arm))))
            path = probe.limits.paths.get(arm.kind)
            if path is not None:
                put_in = path.replace("{seconds}", f"{arm.every:g}").replace("{bytes}", str(arm.size))
                request = replace(request, url=join_url(self._scenario.target.url or "", put_in))
            plan = replace(asked, stream=number, request=request, arm=arm, until=Until(duration=seconds), timeout=seconds + _SPARE_S)
            plans.append(plan)
            if probe.compare is not None and path is None:
                plans.append(replace(plan, request=self._direct(request, probe.compare.direct), factor="direct"))
        return plans

    def resume(self, probe: Probe) -> StreamPlan:
        """The stream of a probe that is to be cut on purpose."""
        return self._streams(probe, "resume")[0]

    def _direct(self, request: Request, url: str) -> Request:
        """The request on the way past the proxies, which leads to the target's own application."""
        return replace(request, url=url, tls=self._certificates.context(), tls_elsewhere=self._certificates.context(shown=False))

    def _streams(self, probe: Probe, phase: Phase) -> list[StreamPlan]:
        scenario = self._scenario
        http2 = probe.protocol == "h2"
        # The target's headers are meant for the target: a probe with a URL of its own does not carry them elsewhere.
        shared = scenario.target.headers if probe.url is None else {}
        asked = self._request(scenario.url_of(probe), probe.method, {**shared, **probe.headers}, probe.body, http2=http2)
        request = replace(asked, family=_FAMILIES[probe.ip])
        timeout, until = stream_timeout(scenario, probe), planned_until(scenario, probe)
        return [
            StreamPlan(
                probe=probe.name,
                stream=number,
                phase=phase,
                request=request,
                until=until,
                timeout=timeout,
                hosts=self._hosts,
                preset=probe.preset,
                http2=http2,
                opens_after=(probe.ramp or 0.0) * (number - 1) / probe.stream_count,
            )
            for number in range(1, probe.stream_count + 1)
        ]

    def _request(
        self, url: str, method: str, headers: dict[str, str], body: str | dict[str, Any] | None, *, http2: bool = False
    ) -> Request:
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
                sent.append(("Content-Type", "application/json" if _is_json(body) else "text/plain; charset=utf-8"))
        return Request(
            method=method,
            url=url,
            headers=(*sent, *headers.items()),
            body=raw,
            tls=self._certificates.for_url(url, http2=http2),
            tls_elsewhere=self._certificates.context(shown=False, http2=http2),
            addresses=self._addresses,
        )


def _is_json(body: str) -> bool:
    """Whether a text is a JSON object or list, and so meant as one."""
    if not body.lstrip().startswith(("{", "[")):
        return False
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True
