"""What types cannot say of a scenario: parts that need or exclude each other, and times in which nothing can happen."""

import ipaddress
import re
from collections.abc import Callable, Collection
from urllib.parse import urlsplit

import msgspec

from sse_check.confidence import MOST_CONFIDENCE
from sse_check.hosts import why_never
from sse_check.scenario.derive import split, start_order, stream_timeout
from sse_check.scenario.model import Criteria, LimitSearch, Probe, Scenario
from sse_check.scenario.presets import missing_of
from sse_check.scenario.values import nearest
from sse_check.units import format_duration

_MAX_SERVICES = 10
_MOST_STREAMS = 200_000  # all are planned before the first is opened, in half a kilobyte each


def check_sense(
    scenario: Scenario, wrong_at: Callable[[str, str, str], None], said: Callable[[str], bool], assumed: Collection[str] = ()
) -> None:
    """Note what makes no sense by `wrong_at(path, what is wrong, what would be right)`.

    `said` tells whether a path stood in the file, or is a default. `assumed` are the paths whose value a variable will bring:
    how long two times are beside each other is not known before.
    """
    names: dict[str, int] = {}
    for number, probe in enumerate(scenario.probes):
        at = f"probes[{number}]"
        for name in (one.name for one in split(probe)):
            if name in names:
                wrong_at(f"{at}.name", f'the name "{name}" is taken by probes[{names[name]}].', "Give each probe its own name.")
            names.setdefault(name, number)
        if (probe.path is None) == (probe.url is None):
            wrong = "a probe has a path or a whole url, not both." if probe.path else "the probe has neither path nor url."
            wrong_at(at, wrong, "Write path: /events, or url: https://app.example.test/events.")
        if probe.path is not None and scenario.target.url is None:
            wrong_at(f"{at}.path", "a path needs the target's url.", "Add target: {url: https://app.example.test}.")
        if said(f"{at}.until") and all(end is None for end in msgspec.structs.astuple(probe.until)):
            wrong_at(f"{at}.until", "the end is not said.", 'Write {event: complete}, {events: 20}, {data: "[DONE]"} or {duration: 30s}.')
        if probe.until.json == {}:
            wrong_at(f"{at}.until.json", "no field is named.", "Write for example {type: done}.")
        for name, value in (("timeout", probe.timeout), ("until.duration", probe.until.duration), ("expect.every", probe.expect.every)):
            if value == 0:
                wrong_at(f"{at}.{name}", "nothing can happen in no time.", "Write for example 30s.")
        known = not any(path.startswith((f"{at}.", "criteria.", "budget")) for path in assumed)
        if known and probe.timeout is not None and probe.until.duration is not None and probe.timeout < probe.until.duration:
            wrong_at(
                f"{at}.timeout",
                "sse-check would give up before the planned duration is over.",
                "Make timeout longer than until.duration.",
            )
        if known and (mistake := ramp_mistake(scenario, probe)) is not None:
            wrong_at(f"{at}.ramp", *mistake)
        _check_way(scenario, probe, at, wrong_at)
    if (streams := sum(probe.stream_count * len(split(probe)) for probe in scenario.probes)) > _MOST_STREAMS:
        wrong_at("probes", f"{streams:,} streams are asked for in all.", f"At most {_MOST_STREAMS:,} are opened in a run.")
    _check_confidence(scenario.criteria, wrong_at)
    for number, fallback in enumerate(scenario.fallbacks):
        at = f"fallbacks[{number}]"
        option = fallback.websocket or fallback.batch
        if option is None or (fallback.websocket and fallback.batch):
            wrong_at(at, "a fallback is one of websocket and batch.", "Write - websocket: {path: /ws} or - batch: {path: /result}.")
        elif (option.path is None) == (option.url is None) or (option.path is not None and scenario.target.url is None):
            wrong_at(at, "a fallback has either a path at the target or a whole url.", "Write for example {path: /ws}.")
    for host, addresses in scenario.target.resolve.items():
        for address in addresses.split(","):
            if _version_of(address.strip()) is None:
                wrong_at(
                    f"target.resolve.{host}",
                    f'"{address}" is no IP address.',
                    "Write an IPv4 or IPv6 address, as 192.0.2.7, or several with commas.",
                )
            elif (why := why_never(address.strip())) is not None:
                wrong_at(f"target.resolve.{host}", f"{address.strip()} is never asked: {why}.", "Write the address of the deployment.")
    if scenario.target.tls.key is not None and scenario.target.tls.cert is None:
        wrong_at("target.tls.key", "a key alone shows nobody who asks.", "Add cert: client.pem, the certificate it belongs to.")
    if scenario.target.health is not None and scenario.target.url is None:
        wrong_at("target.health", "a health path needs the target's url.", "Add url: https://app.example.test.")
    if scenario.budget == 0:
        wrong_at("budget", "nothing can happen in no time.", "Write for example 10m.")
    _check_services(scenario, wrong_at)


def ramp_mistake(scenario: Scenario, probe: Probe) -> tuple[str, str] | None:
    """What is wrong with the time over which a probe's streams are opened, and what would be right; None where nothing is."""
    if probe.ramp is None:
        return None
    if probe.stream_count == 1:
        return "one stream has nothing to spread.", "Ask for several streams, or leave ramp out."
    if probe.ramp == 0:
        return "nothing can be spread over no time.", "Write for example 10s, or leave ramp out: all at once."
    if probe.ramp >= scenario.budget:
        return "the run's budget is over before the last stream is opened.", f"Make ramp shorter than {format_duration(scenario.budget)}."
    if probe.ramp >= (longest := stream_timeout(scenario, probe)):
        return (
            f"the first stream is over, after {format_duration(longest)} at the latest, before the last is opened: never are all open.",
            "Make ramp shorter, or let the streams last longer.",
        )
    return None


def _check_confidence(criteria: Criteria, wrong_at: Callable[[str, str, str], None]) -> None:
    confidence = criteria.confidence
    if confidence is None:
        return
    if not 0 < confidence <= MOST_CONFIDENCE:
        wrong_at("criteria.confidence", f"nothing is measured with {confidence:g} % confidence.", "Write for example 95%.")
    if criteria.success_rate == 100:
        wrong_at(
            "criteria.confidence",
            "no number of events proves a success rate of 100 %.",
            "Make success_rate less, for example 99%, or leave confidence out.",
        )


def _version_of(text: str) -> str | None:
    """Which version of IP an address is of, as a scenario has it; None where it is no address."""
    try:
        return f"v{ipaddress.ip_address(text).version}"
    except ValueError:
        return None


def _check_way(scenario: Scenario, probe: Probe, at: str, wrong_at: Callable[[str, str, str], None]) -> None:
    """The parts of a probe that change how it is asked: its preset, its protocol, its search for limits, its resume."""
    if (missing := missing_of(probe)) is not None:
        wrong_at(at, *missing)
    if probe.protocol != "http/1.1" and scenario.url_of(probe).startswith("http:"):
        wrong_at(f"{at}.protocol", "browsers speak HTTP/2 over TLS only.", "Ask an https:// URL, or leave protocol out.")
    version = _version_of(urlsplit(scenario.url_of(probe)).hostname or "")
    if version is not None and probe.ip not in ("any", version):
        wrong_at(f"{at}.ip", f"the URL's host is an IP{version} address.", "Name the host, or leave ip out.")
    if probe.resume is not None and probe.method != "GET":
        wrong_at(f"{at}.resume", f"nobody resumes a {probe.method}: EventSource reconnects with GET.", "Leave resume out.")
    if probe.resume is not None and probe.until.events is not None and probe.until.events <= probe.resume.after:
        wrong_at(f"{at}.resume.after", "the stream is over by then.", f"Cut it before its {probe.until.events} events have come.")
    if probe.limits is not None and probe.preset in ("mcp", "mcp-sse"):
        wrong_at(f"{at}.limits", "a search for limits has no conversation.", "Give it a probe of its own, without the preset.")
    elif probe.limits is not None:
        _check_limits(scenario, probe.limits, f"{at}.limits", wrong_at)


def _check_limits(scenario: Scenario, limits: LimitSearch, at: str, wrong_at: Callable[[str, str, str], None]) -> None:
    if limits.until == 0:
        wrong_at(f"{at}.until", "nothing can happen in no time.", "Write for example 150s.")
    elif limits.until >= scenario.budget:
        wrong_at(f"{at}.until", "the run's budget is over by then.", f"Raise budget above {format_duration(limits.until)}.")
    for kind, path in limits.paths.items():
        key = kind.replace("-", "_")
        placeholders = re.findall(r"\{[^{}]*\}", path)
        if wrong := [text for text in placeholders if kind != "heartbeat" or text not in ("{seconds}", "{bytes}")]:
            wrong_at(f"{at}.{key}", f'"{wrong[0]}" is not put in here.', "Only heartbeat has {seconds} and {bytes}.")
        elif kind == "heartbeat" and "{seconds}" not in placeholders:
            wrong_at(f"{at}.{key}", "several intervals are tried, and the path does not say which.", "Write {seconds} where it stands.")
    if limits.paths and scenario.target.url is None:
        wrong_at(at, "a path needs the target's url.", "Add target: {url: https://app.example.test}.")


def _check_services(scenario: Scenario, wrong_at: Callable[[str, str, str], None]) -> None:
    services = scenario.services
    if len(services) > _MAX_SERVICES:
        wrong_at("services", f"{len(services)} services are named.", f"At most {_MAX_SERVICES} are started.")
        return  # to look at each beside all others would take long
    for name, service in services.items():
        at = f"services.{name}"
        if name == "localhost":
            wrong_at(at, 'a service cannot be called "localhost".', "Give it a name of its own, such as app.")
        if (service.image is None) == (service.build is None):
            wrong = "a service has an image or a build, not both." if service.image else "the service has neither image nor build."
            wrong_at(at, wrong, "Write image: nginx:1.29, or build: . for a directory with a Dockerfile.")
        if service.ready.http is not None and service.port is None:
            wrong_at(f"{at}.ready.http", "a path needs the service's port.", "Add port: 8000.")
        if service.ready.within == 0:
            wrong_at(f"{at}.ready.within", "nothing gets ready in no time.", "Write for example 60s.")
        behind = service.in_front_of
        if behind is None:
            continue
        if behind not in services:
            wrong_at(f"{at}.in_front_of", f'there is no service "{behind}".', nearest(behind, services, "Services here"))
        elif name == behind or start_order(services).index(behind) > start_order(services).index(name):
            wrong_at(f"{at}.in_front_of", f'"{name}" and "{behind}" stand in front of each other.', "Let the way end at the application.")
        elif services[behind].port is None:
            wrong_at(f"services.{behind}", "a service that another stands in front of needs its port.", "Add port: 8000.")
