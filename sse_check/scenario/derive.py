"""What follows from a scenario: the order of its services, what compares with what, how long a stream is watched. Pure."""

from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import urlsplit

import msgspec

from sse_check.scenario.model import BatchFallback, Compare, Fallback, Probe, Scenario, Service, Until

# A probe that asks for both is two probes, so that each has its own verdict: the field, its values, and how they are called.
_VARIANTS: Final = (
    ("protocol", (("http/1.1", "over HTTP/1.1"), ("h2", "over HTTP/2"))),
    ("ip", (("v4", "over IPv4"), ("v6", "over IPv6"))),
)
# So many probes are looked at that ask the same: four are what `both` makes of one.
_MOST_ALIKE: Final = 16
# What stands behind the name of such a variant.
VARIANT_NAMES: Final = tuple(called for _, values in _VARIANTS for _, called in values)


def posted(scenario: Scenario, said: Callable[[str], bool]) -> Scenario:
    """The scenario with POST where a body is given and no method: nobody sends a body with GET. Presets know theirs.

    `said` tells whether a path stood in the file.
    """

    def method(at: str, of: Probe | BatchFallback) -> str:
        return "POST" if of.body is not None and not said(f"{at}.method") else of.method

    def fallback(at: str, of: Fallback) -> Fallback:
        if of.batch is None:
            return of
        return msgspec.structs.replace(of, batch=msgspec.structs.replace(of.batch, method=method(f"{at}.batch", of.batch)))

    probes = (
        probe if probe.preset else msgspec.structs.replace(probe, method=method(f"probes[{n}]", probe))
        for n, probe in enumerate(scenario.probes)
    )
    fallbacks = (fallback(f"fallbacks[{n}]", of) for n, of in enumerate(scenario.fallbacks))
    return msgspec.structs.replace(scenario, probes=tuple(probes), fallbacks=tuple(fallbacks))


def expanded(scenario: Scenario) -> Scenario:
    """The scenario with each probe that asks for `both` as two, and with what the target says for all.

    The hosts of `target.resolve` are written small: a host's name has no case.
    """
    probes = (msgspec.structs.replace(probe, instance=probe.instance or scenario.target.instance) for probe in scenario.probes)
    target = msgspec.structs.replace(scenario.target, resolve={host.lower(): text for host, text in scenario.target.resolve.items()})
    return msgspec.structs.replace(scenario, target=target, probes=tuple(variant for probe in probes for variant in split(probe)))


def split(probe: Probe) -> tuple[Probe, ...]:
    """A probe that asks for `both` of something as two, told apart by their names; any other as itself."""
    probes = [probe]
    for field, values in _VARIANTS:
        if getattr(probe, field) == "both":
            probes = [
                msgspec.structs.replace(one, name=f"{one.name} {called}", **{field: value}) for one in probes for value, called in values
            ]
    return tuple(probes)


def variants_of(scenario: Scenario) -> dict[str, tuple[Probe, ...]]:
    """For each probe, by its name, those that ask the same over another protocol or another version of IP."""
    encoder = msgspec.json.Encoder(order="deterministic")
    asked = [encoder.encode(msgspec.structs.replace(probe, name="", protocol="both", ip="both")) for probe in scenario.probes]
    alike: dict[bytes, list[Probe]] = {}
    for probe, what in zip(scenario.probes, asked, strict=True):
        alike.setdefault(what, []).append(probe)
    return {
        probe.name: tuple(other for other in alike[what][:_MOST_ALIKE] if other is not probe)
        for probe, what in zip(scenario.probes, asked, strict=True)
    }


def start_order(services: dict[str, Service]) -> list[str]:
    """The names of the services in the order in which they start: what stands in front of another comes after it.

    >>> start_order({"edge": Service(image="nginx", in_front_of="app"), "app": Service(build=".")})
    ['app', 'edge']
    """
    order: dict[str, None] = {}
    for name in services:
        order.update(dict.fromkeys(reversed([name, *_behind(services, name)])))
    return list(order)


def _behind(services: dict[str, Service], name: str) -> Iterator[str]:
    """The services that a request to this one reaches after it, in their order; ends where they go round."""
    seen = {name}
    while (after := services[name].in_front_of) is not None and after in services and after not in seen:
        seen.add(after)
        yield (name := after)


def compared(scenario: Scenario) -> Scenario:
    """The scenario with its own proxies told apart from the application: what they hold back, the application is asked for itself.

    A probe of a service that stands in front of another gets the last one behind as its `compare`, unless it has one.
    """

    def probe_with_compare(probe: Probe) -> Probe:
        parts = urlsplit(scenario.url_of(probe))
        host = parts.hostname or ""
        last = next(reversed(list(_behind(scenario.services, host))), None) if host in scenario.services else None
        if probe.compare is not None or last is None or (port := scenario.services[last].port) is None:
            return probe
        direct = f"http://{last}:{port}{parts.path}" + (f"?{parts.query}" if parts.query else "")
        return msgspec.structs.replace(probe, compare=Compare(direct=direct))

    return msgspec.structs.replace(scenario, probes=tuple(map(probe_with_compare, scenario.probes)))


def stream_timeout(scenario: Scenario, probe: Probe) -> float:
    """Seconds after which sse-check gives up on a stream of this probe.

    The probe's own `timeout`, else the longest of what the stream was given: the event deadline, its planned duration,
    and half as long again as its expected events take, with five seconds to spare.
    """
    if probe.timeout is not None:
        return probe.timeout
    criteria = scenario.criteria
    longest = max(criteria.event_deadline, criteria.first_event, probe.until.duration or 0.0, _expected_seconds(probe) * 1.5)
    return longest + 5.0


def planned_until(scenario: Scenario, probe: Probe) -> Until:
    """When a stream of this probe has shown enough: what the probe says.

    Where it says nothing, the stream's own end, or the event deadline (half as long again as its expected events take, if
    that is longer): a stream without an end is not watched for longer than its events can be on time.
    """
    if any(end is not None for end in msgspec.structs.astuple(probe.until)):
        return probe.until
    duration = max(scenario.criteria.event_deadline, _expected_seconds(probe) * 1.5)
    return Until(duration=duration if probe.timeout is None else min(duration, probe.timeout))


def _expected_seconds(probe: Probe) -> float:
    return (probe.expect.events or 0) * (probe.expect.every or 0.0)
