"""Real proxies that spoil the stream: which fallback comes through them, and which only seems to.

What each configuration does to an upgrade is the proxy's own: nginx takes the header Upgrade out unless it is told
otherwise, HAProxy passes it on and cuts the tunnel by its own clock, Apache upgrades where `upgrade=websocket` says so.
"""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from tests.lab.proxies import APACHE, CADDY, ENVOY, HAPROXY, NGINX, TRAEFIK, Config, Proxy, running
from tests.support.process import sse_check, sse_check_in_time

pytestmark = pytest.mark.lab

# Held back whole by buffers, and cut by whatever cuts after 2 s of silence.
STREAM: Final = "/events?count=4&every=250ms"
SILENT: Final = "/events?count=2&every=100ms&fault=stalled"
# Compressed by the application and never flushed: no proxy is needed to spoil it.
COMPRESSED: Final = "/events?count=4&every=250ms&fault=compressed-buffered"
ECHO: Final = {"websocket": {"path": "/ws", "send": "ping", "expect": "ping", "hold": "1s"}}
BATCH: Final = {"batch": {"path": "/batch", "expect": "complete"}}

_UPGRADE: Final = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;"
_MAP: Final = "map $http_upgrade $connection_upgrade { default upgrade; '' close; }"  # nginx's own advice (nginx.org, "WebSocket proxying")
# A location of its own, as most have it: the stream's keeps nginx's defaults, HTTP/1.0 to the origin and buffers.
_BUFFERED_WITH_UPGRADE: Final = {
    "http": _MAP,
    "location": "proxy_buffering on; gzip off; }\n    location /ws { proxy_pass http://@origin@; " + _UPGRADE,
}


def run(proxy: Proxy, config: Config, server: str, directory: Path, stream: str, *fallbacks: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """`sse-check run` through the proxy: its exit status and its report; `judge` on its recording must say the same."""
    scenario = directory / "scenario.yml"
    with running(proxy, config, server.removeprefix("http://")) as base:
        told = {
            "version": 1,
            "target": {"url": base},
            "probes": [{"name": "stream", "path": stream, "until": {"event": "complete"}, "timeout": "8s"}],
            "fallbacks": fallbacks,
        }
        scenario.write_text(json.dumps(told))  # JSON is YAML
        done = sse_check_in_time("run", scenario, "--report-dir", directory / "run")
    again = sse_check("judge", directory / "run/recording.ndjson", "--report-dir", directory / "judge")
    assert done.returncode == again.returncode, done.stderr + again.stderr
    assert (directory / "run/report.json").read_bytes() == (directory / "judge/report.json").read_bytes()
    return done.returncode, json.loads((directory / "run/report.json").read_text())


def told(report: dict[str, Any]) -> str:
    """For the reader of a failed test: what was found, and what was tried."""
    return json.dumps([report["findings"], report["fallbacks"]], indent=1)


def worked(report: dict[str, Any]) -> list[tuple[str, bool]]:
    """The fallbacks that were tried, in their order."""
    return [(fallback["kind"], fallback["worked"]) for fallback in report["fallbacks"]]


@pytest.mark.parametrize(
    ("proxy", "config", "stream", "code"),
    [
        pytest.param(NGINX, _BUFFERED_WITH_UPGRADE, STREAM, "buffered-full", id="nginx"),
        pytest.param(HAPROXY, {"listen": "timeout server 2s\n  timeout tunnel 1h"}, SILENT, "idle-timeout", id="HAProxy"),
        pytest.param(TRAEFIK, {}, COMPRESSED, "compressed-buffered", id="Traefik"),
        pytest.param(CADDY, {}, COMPRESSED, "compressed-buffered", id="Caddy"),
        pytest.param(APACHE, {"proxy_pass": "upgrade=websocket flushpackets=on"}, COMPRESSED, "compressed-buffered", id="Apache"),
        pytest.param(
            ENVOY,
            {"route": "timeout: 0s, upgrade_configs: [{upgrade_type: websocket}]"},
            COMPRESSED,
            "compressed-buffered",
            id="Envoy",
        ),
    ],
)
def test_where_the_stream_is_spoiled_and_a_websocket_comes_through_it_is_recommended(proxy, config, stream, code, server, tmp_path):
    """
    The stream is held back or cut, and the WebSocket upgrades, answers and stays open for longer than that through the same proxy.
    """
    held = {"websocket": {**ECHO["websocket"], "hold": "3s"}}
    status, report = run(proxy, config, server, tmp_path, stream, held, BATCH)
    assert (status, report["recommendation"]) == (1, "PUNT to WebSocket"), told(report)
    assert report["findings"][0]["code"] == code, told(report)
    assert worked(report) == [("websocket", True)], told(report)
    assert report["footing"] is None, told(report)


@pytest.mark.parametrize(
    ("proxy", "config", "stream"),
    [
        # The default: HTTP/1.0 to the origin, buffered, and no header Upgrade.
        pytest.param(NGINX, {}, STREAM, id="nginx by default"),
        pytest.param(NGINX, {"location": "proxy_http_version 1.1; proxy_read_timeout 2s;"}, SILENT, id="nginx with HTTP/1.1"),
        pytest.param(HAPROXY, {"listen": "timeout server 2s\n  http-request del-header Upgrade"}, SILENT, id="HAProxy without the header"),
        pytest.param(APACHE, {}, COMPRESSED, id="Apache by default"),
        pytest.param(ENVOY, {}, COMPRESSED, id="Envoy by default"),
    ],
)
def test_where_the_upgrade_is_dropped_the_batch_api_is_recommended(proxy, config, stream, server, tmp_path):
    """
    A proxy that takes the upgrade out of the request, or refuses it, leaves what needs no stream at all.
    """
    status, report = run(proxy, config, server, tmp_path, stream, ECHO, BATCH)
    assert (status, report["recommendation"]) == (1, "PUNT to batch API"), told(report)
    assert worked(report) == [("websocket", False), ("batch", True)], told(report)
    assert report["fallbacks"][0]["detail"].startswith("not upgraded: status "), told(report)


@pytest.mark.parametrize(
    ("proxy", "config", "stream"),
    [
        pytest.param(NGINX, {"location": "if ($uri = /batch) { return 502; }"}, STREAM, id="nginx"),
        pytest.param(
            HAPROXY,
            {"listen": "timeout server 2s\n  http-request del-header Upgrade\n  http-request deny deny_status 504 if { path /batch }"},
            SILENT,
            id="HAProxy",
        ),
    ],
)
def test_where_nothing_comes_through_the_run_says_blocked(proxy, config, stream, server, tmp_path):
    """
    The stream is spoiled, the upgrade dropped, the batch request refused: BLOCKED, exit status 1.
    """
    status, report = run(proxy, config, server, tmp_path, stream, ECHO, BATCH)
    assert (status, report["recommendation"]) == (1, "BLOCKED: no fallback works"), told(report)
    assert worked(report) == [("websocket", False), ("batch", False)], told(report)


@pytest.mark.parametrize(
    ("proxy", "config", "stream"),
    [
        pytest.param(
            NGINX,
            {"http": _MAP, "location": "proxy_read_timeout 2s; " + _UPGRADE},
            SILENT,
            id="nginx",
        ),
        pytest.param(HAPROXY, {"listen": "timeout server 2s\n  timeout tunnel 2s"}, SILENT, id="HAProxy"),
    ],
)
def test_a_websocket_that_the_proxy_cuts_in_silence_is_not_recommended(proxy, config, stream, server, tmp_path):
    """
    It upgrades, it echoes, and after 2 s of silence it is gone: held for 4 s it does not work, and the report tells after how long.
    """
    held = {"websocket": {**ECHO["websocket"], "hold": "4s"}}
    status, report = run(proxy, config, server, tmp_path, stream, held, BATCH)
    assert (status, report["recommendation"]) == (1, "PUNT to batch API"), told(report)
    cut = report["fallbacks"][0]
    assert (cut["worked"], cut["answered"] is not None) == (False, True), told(report)
    assert cut["held"] == pytest.approx(2.0, abs=0.5), told(report)
    assert "while it was held open in silence: the connection ended without a close frame (close code 1006)" in cut["detail"], told(report)


def test_the_hold_follows_the_limit_that_cut_the_stream(server, tmp_path):
    """
    nginx cuts stream and WebSocket alike after 5 s of silence: held for 6 s without a word of the scenario, it is found out.
    """
    config = {"http": _MAP, "location": "proxy_read_timeout 5s; " + _UPGRADE}
    without_hold = {"websocket": {key: value for key, value in ECHO["websocket"].items() if key != "hold"}}
    _, report = run(NGINX, config, server, tmp_path, SILENT, without_hold)
    assert report["recommendation"] == "BLOCKED: no fallback works", told(report)
    assert report["fallbacks"][0]["held"] == pytest.approx(5.0, abs=0.5), told(report)
