"""Real proxies over TLS with HTTP/2: what is true of a deployment over HTTP/1.1 is found over HTTP/2 too, and what is HTTP/2's own is named."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest

from tests.lab.cases import CASES, Case
from tests.lab.deployments import origin_of, prime
from tests.lab.over_tls import running_over_tls
from tests.lab.proxies import HAPROXY, NGINX
from tests.support.process import sse_check_in_time

pytestmark = pytest.mark.lab

PROTOCOLS: Final = ("over HTTP/1.1", "over HTTP/2")

# By their names in cases.py: of each proxy that speaks HTTP/2 some that stream, and some of each fault that they have.
SAME: Final = (
    "nginx-unbuffered",
    "nginx-unbuffered-together",
    "nginx-gzip-unbuffered",
    "nginx-heartbeats",
    "nginx-default",
    "nginx-read-timeout",
    "nginx-limit-conn",
    "nginx-cache",
    "nginx-upstream-down",
    "nginx-redirect",
    "nginx-single-page-app",
    "nginx-closes-unanswered",
    "nginx-origin-stalls",
    "haproxy-no-delay",
    "haproxy-compression",
    "haproxy-wait-for-body",
    "haproxy-timeout-server",
    "haproxy-maxconn",
    "haproxy-upstream-down",
    "caddy-default",
    "caddy-encode",
    "caddy-response-buffers",
    "caddy-read-timeout",
    "caddy-write-timeout",
    "caddy-max-conns",
    "traefik-default",
    "traefik-compress",
    "traefik-buffering",
    "traefik-write-timeout",
    "traefik-in-flight",
    "apache-default",
    "apache-deflate",
    "apache-proxy-timeout",
    "envoy-no-timeout",
    "envoy-compressor",
    "envoy-lua-body",
    "envoy-route-timeout",
    "envoy-idle-timeout",
    "envoy-circuit-breaker",
    "varnish-pass",
    "varnish-no-streaming",
    "varnish-between-bytes-timeout",
    "node-compression",
    "node-timer",
    "node-look-ahead",
    "node-breaks-off",
)
# What is true over each protocol where that differs, as `curl -N` with time stamps shows it too. Over TLS in HTTP/1.1 nginx
# keeps what it was not told to flush until its ssl_buffer_size of 16 KB is full or the response ends; in HTTP/2 it
# writes every frame at once. Apache's mod_http2 takes what a filter has, whether or not the filter is done.
DIFFERENT: Final[dict[str, tuple[str | None, str | None]]] = {
    "nginx-buffered-http-1.1": ("buffered-full", None),
    "nginx-gzip-buffered": ("buffered-full", "compressed-buffered"),
    "nginx-head-with-first-event": ("buffered-full", "delayed-headers"),
    "nginx-default-large-events": ("buffered-full", "buffered-block"),  # 18 KB: one such buffer and a rest, or five of 4 KB
    "apache-external-filter": ("buffered-full", None),
}
BY_NAME: Final = {case.name: case for case in CASES}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What sse-check said of a deployment that it asked over both protocols."""

    status: int
    report: dict[str, Any]
    stderr: str

    def errors(self, protocol: str) -> list[tuple[str, str]]:
        """The faults over one protocol, by the probe without it: each with its code."""
        return [
            (finding["probe"].removesuffix(f" {protocol}"), finding["code"])
            for finding in self.report["findings"]
            if finding["severity"] == "error" and finding["probe"].endswith(protocol)
        ]

    def spoken(self, protocol: str) -> set[str | None]:
        """The protocols in which the streams of one kind were answered; None: not at all."""
        return {result["protocol"] for result in self.report["test_results"] if result["probe"].endswith(protocol)}

    @property
    def account(self) -> str:
        """For the reader of a failed test."""
        return f"{json.dumps(self.report['findings'], indent=1)}\n{self.stderr}"


def observe(case: Case, embedded: str, directory: Path, *, streams: int | None = None) -> Outcome:
    """`sse-check run` on the case over TLS, each probe over both protocols."""
    directory.mkdir()
    assert case.proxy is not None
    with origin_of(case, embedded) as origin, running_over_tls(case.proxy, case.config, origin) as (plain, base):
        prime(case, plain)
        return asked(case.scenario(base), directory)


def asked(scenario: dict[str, Any], directory: Path) -> Outcome:
    """`sse-check run` on a scenario whose probes are asked over both protocols."""
    scenario["target"]["tls"] = {"verify": False}
    for probe in scenario["probes"]:
        probe["protocol"] = "both"
    path = directory / "scenario.yml"
    path.write_text(json.dumps(scenario))  # JSON is YAML
    done = sse_check_in_time("run", path, "--report-dir", directory / "run")
    report = directory / "run/report.json"
    assert report.exists(), done.stderr
    return Outcome(status=done.returncode, report=json.loads(report.read_text()), stderr=done.stderr)


@pytest.fixture
def outcome_over_both(server: str, tmp_path: Path) -> Callable[[str], Outcome]:
    """What sse-check says of a case by its name."""

    def outcome(name: str) -> Outcome:
        # Where the machine was too late to judge, a user is told to measure again. Nor are cuts at one age where a busy machine opens
        # the streams, and an origin sends, at any time.
        for attempt in range(3):
            result = observe(BY_NAME[name], server, tmp_path / f"{name}-{attempt}")
            alike = name in DIFFERENT or result.errors(PROTOCOLS[0]) == result.errors(PROTOCOLS[1])
            if alike and result.report["recommendation"] != "MEASURE AGAIN":
                break
        return result

    return outcome


@pytest.mark.parametrize("name", SAME)
def test_both_protocols_come_to_the_same(name: str, outcome_over_both: Callable[[str], Outcome]):
    """
    A deployment that streams is viable over both; one that does not shows the same faults over both, its own the first.
    """
    case, outcome = BY_NAME[name], outcome_over_both(name)
    first, second = (outcome.errors(protocol) for protocol in PROTOCOLS)
    healthy = case.label is None or case.severity == "warning"
    assert outcome.report["verdict"] == ("viable" if healthy else "not-viable"), outcome.account
    assert first == second, outcome.account
    assert ([code for _, code in second][:1] == []) if healthy else (second[0][1] == case.label), outcome.account
    assert outcome.spoken("over HTTP/1.1") <= {"http/1.1", None}
    assert outcome.spoken("over HTTP/2") <= {"h2", None}
    assert not any("same stream shows" in finding["message"] for finding in outcome.report["findings"]), outcome.account


@pytest.mark.parametrize("name", DIFFERENT)
def test_where_the_protocols_differ_each_shows_its_own(name: str, outcome_over_both: Callable[[str], Outcome]):
    """
    A proxy that treats the protocols differently has each fault found over the one that has it, and told from the other.
    """
    outcome = outcome_over_both(name)
    assert outcome.report["verdict"] == "not-viable", outcome.account
    labels = DIFFERENT[name]
    said = tuple(next((code for _, code in outcome.errors(protocol)), None) for protocol in PROTOCOLS)
    assert said == labels, outcome.account
    message = next(f["message"] for f in outcome.report["findings"] if f["probe"].endswith("over HTTP/1.1"))
    if labels[1] is None:
        assert "Over HTTP/2 the same stream shows no such fault." in message
    elif labels[0] != labels[1]:
        assert f"Over HTTP/2 the same stream shows another fault ({labels[1]})." in message


# --- what is HTTP/2's own ---------------------------------------------------------------------------------------------

_UNBUFFERED: Final = 'proxy_buffering off; proxy_http_version 1.1; proxy_set_header Connection "";'


@pytest.mark.parametrize("proxy", [NGINX, HAPROXY], ids=lambda proxy: proxy.name)
def test_the_limit_of_streams_on_one_connection_is_found_and_named(server, tmp_path, proxy):
    """
    Four streams where the proxy allows two on one connection: concurrency-limited over HTTP/2, with the 2, and fine over HTTP/1.1.
    """
    origin = server.removeprefix("http://")
    if proxy is NGINX:
        config = {"http": "http2_max_concurrent_streams 2;", "location": _UNBUFFERED}
    else:
        config = {"listen": "option http-no-delay"}
        tuned = proxy.files["haproxy.cfg"].replace("global\n", "global\n  tune.h2.max-concurrent-streams 2\n")
        proxy = replace(proxy, files={"haproxy.cfg": tuned})
    with running_over_tls(proxy, config, origin) as (_, base):
        probe = {"name": "together", "path": "/events?count=9&every=250ms", "until": {"event": "complete"}, "streams": 4}
        outcome = asked({"version": 1, "target": {"url": base}, "probes": [probe]}, tmp_path)
    assert (outcome.status, outcome.errors("over HTTP/1.1")) == (1, []), outcome.account
    assert outcome.errors("over HTTP/2") == [("together", "concurrency-limited")], outcome.account
    finding = outcome.report["findings"][0]
    assert (finding["confidence"], finding["evidence"]["max_concurrent_streams"], len(finding["streams"])) == ("certain", 2, 2)
    assert "only 2 streams on one HTTP/2 connection" in finding["message"]
    assert "Over HTTP/1.1 the same stream shows no such fault." in finding["message"]
