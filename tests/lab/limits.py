"""Real proxies whose limits are known, alone and in a row, and what sse-check measures of them.

`python -m tests.lab.limits` prints the table: each limit as it was set and as it was measured.
"""

import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.lab.proxies import APACHE, CADDY, ENVOY, HAPROXY, NGINX, TRAEFIK, VARNISH, Config, Proxy, running
from tests.support.process import serving, sse_check_in_time

# They mostly wait; more at once, and the measuring machine itself would be late.
AT_ONCE: Final = 5
# What is measured may differ from what is set by this, whichever is more: proxies keep time by ticks of their own.
SHARE, SECONDS = 0.1, 0.5

_NGINX_STREAMS: Final = 'proxy_buffering off; proxy_http_version 1.1; proxy_set_header Connection "";'


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitCase:
    """A chain of proxies, the nearest to the client first, and its limits in seconds; None: there is none.

    `behind` are the limits of the chain without its first proxy, where it has more than one. `until` is how long is looked.
    """

    name: str
    chain: tuple[tuple[Proxy, Config], ...]
    idle: float | None
    total: float | None
    behind: tuple[float | None, float | None] | None = None
    until: float = 9.0


CASES: Final = (
    LimitCase(name="nginx, idle 2 s", chain=((NGINX, {"location": _NGINX_STREAMS + "proxy_read_timeout 2s;"}),), idle=2, total=None),
    LimitCase(name="Apache, idle 2 s", chain=((APACHE, {"server": "ProxyTimeout 2"}),), idle=2, total=None),
    LimitCase(
        name="HAProxy, idle 5 s", chain=((HAPROXY, {"listen": "option http-no-delay\n  timeout server 5s"}),), idle=5, total=None, until=12
    ),
    LimitCase(
        name="Caddy, idle 5 s", chain=((CADDY, {"reverse_proxy": "transport http {\n read_timeout 5s\n }"}),), idle=5, total=None, until=12
    ),
    LimitCase(
        name="Varnish, idle 10 s",
        chain=((VARNISH, {"recv": "return (pass);", "backend": ".between_bytes_timeout = 10s;"}),),
        idle=10,
        total=None,
        until=22,
    ),
    LimitCase(name="Envoy, idle 10 s", chain=((ENVOY, {"route": "timeout: 0s, idle_timeout: 10s"}),), idle=10, total=None, until=22),
    LimitCase(name="Envoy, total 6 s", chain=((ENVOY, {"route": "timeout: 6s"}),), idle=None, total=6),
    LimitCase(
        name="Traefik, total 6 s",
        chain=((TRAEFIK, {"entry_point": "transport: {respondingTimeouts: {writeTimeout: 6s}}"}),),
        idle=None,
        total=6,
    ),
    LimitCase(name="Caddy, total 6 s", chain=((CADDY, {"global": "servers {\n timeouts {\n write 6s\n }\n }"}),), idle=None, total=6),
    LimitCase(name="Envoy, idle 2 s and total 6 s", chain=((ENVOY, {"route": "timeout: 6s, idle_timeout: 2s"}),), idle=2, total=6),
    LimitCase(
        name="nginx, idle 2 s, before HAProxy, idle 5 s",
        chain=(
            (NGINX, {"location": _NGINX_STREAMS + "proxy_read_timeout 2s;"}),
            (HAPROXY, {"listen": "option http-no-delay\n  timeout server 5s"}),
        ),
        idle=2,
        total=None,
        behind=(5, None),
        until=12,
    ),
    LimitCase(
        name="nginx, idle 2 s, before Envoy, total 6 s",
        chain=((NGINX, {"location": _NGINX_STREAMS + "proxy_read_timeout 2s;"}), (ENVOY, {"route": "timeout: 6s"})),
        idle=2,
        total=6,
        behind=(None, 6),
    ),
    LimitCase(
        name="nginx without a limit", chain=((NGINX, {"location": _NGINX_STREAMS + "proxy_read_timeout 1h;"}),), idle=None, total=None
    ),
    LimitCase(name="Traefik as it is", chain=((TRAEFIK, {}),), idle=None, total=None),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What came out of a case: the report, and the limits of both ways in it."""

    status: int
    report: dict[str, Any]
    stderr: str

    def limits(self, way: str) -> dict[str, Any]:
        """The limits that were found on a way."""
        return next((found for found in self.report["limits"] if found["way"] == way), {})

    def seconds(self, way: str, kind: str) -> float | None:
        """One limit, in seconds; None where it was not reached."""
        value = self.limits(way)[kind]["seconds"]
        return None if value is None else float(value)


@contextmanager
def deployed(chain: Sequence[tuple[Proxy, Config]], embedded: str) -> Iterator[list[str]]:
    """The chain in front of the embedded server while the context lasts; gives the base URL of each proxy, the nearest first."""
    with ExitStack() as stack:
        bases: list[str] = []
        origin = embedded.removeprefix("http://")
        for proxy, config in reversed(chain):
            bases.insert(0, stack.enter_context(running(proxy, config, origin)))
            origin = bases[0].removeprefix("http://")
        yield bases


def measure(case: LimitCase, embedded: str, directory: Path) -> Measured:
    """`sse-check run` on the case, told nothing but how long to look, and the way past the first proxy where there is one."""
    directory.mkdir()
    with deployed(case.chain, embedded) as (edge, *rest):
        probe: dict[str, Any] = {"name": "stream", "path": "/events?count=4&every=200ms", "until": {"event": "complete"}}
        probe["limits"] = {"until": f"{case.until:g}s"}
        if rest:
            probe["compare"] = {"direct": f"{rest[0]}/events"}
        scenario = directory / "scenario.yml"
        scenario.write_text(json.dumps({"version": 1, "name": case.name, "target": {"url": edge}, "probes": [probe]}))
        done = sse_check_in_time("run", scenario, "--report-dir", directory / "report")
    return Measured(status=done.returncode, report=json.loads((directory / "report/report.json").read_text()), stderr=done.stderr)


def right(true: float | None, measured: float | None) -> bool:
    """Whether a measured limit is the true one: as near as it must be, or not found where there is none."""
    if true is None or measured is None:
        return true is measured
    return abs(measured - true) <= max(SHARE * true, SECONDS)


def _shown(seconds: float | None, until: float) -> str:
    return f"not reached in {until:g} s" if seconds is None else f"{seconds:.2f} s"


def main() -> int:
    """Measure all cases and print the table; 1 if a figure is wrong."""
    with tempfile.TemporaryDirectory() as directory, serving() as embedded, ThreadPoolExecutor(AT_ONCE) as pool:
        measured = list(pool.map(lambda case: measure(case, embedded, Path(directory) / case.name), CASES))
    print(f"{'deployment':45} {'limit':14} {'set':8} measured")
    wrong = 0
    for case, result in zip(CASES, measured, strict=True):
        rows = [("target", "", "idle", case.idle), ("target", "", "total", case.total)]
        if case.behind:
            rows += [("direct", " behind it", "idle", case.behind[0]), ("direct", " behind it", "total", case.behind[1])]
        for way, where, kind, true in rows:
            seconds = result.seconds(way, kind)
            good = right(true, seconds)
            wrong += not good
            set_to = "–" if true is None else f"{true:g} s"
            print(f"{case.name:45} {kind + where:14} {set_to:8} {_shown(seconds, case.until)}{'' if good else '   <-- wrong'}")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
